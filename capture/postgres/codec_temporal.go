// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"math"
	"sync/atomic"

	"freshet/change"
	"freshet/schema"
)

// What infinity looks like where the Connect type has no infinity. These numbers are the reference's: consumers know them.
const (
	infiniteDate         = -2147472692
	minusInfiniteDate    = -2147472691
	infiniteIsoDate      = "-5877611-06-21Z"
	minusInfiniteIsoDate = "-5877611-06-22Z"

	infiniteMillis          = 9223372036825200
	minusInfiniteMillis     = -9223372036832400
	infiniteIsoInstant      = "+294247-01-10T04:00:25.2Z"
	minusInfiniteIsoInstant = "-290308-12-21T19:59:27.6Z"
)

// The texts of the epoch that stand for function defaults such as now().
const (
	epochDate    = "1970-01-01"
	epochTime    = "00:00:00"
	epochInstant = "1970-01-01 00:00:00"
)

// As defaults, infinities and the end of the day are the extremes of Java's types, or none: see form.defaults.
var (
	dateDefaults      = map[string]any{"infinity": int64(169560311), "-infinity": int64(-170999002)} // the low bits of them
	isoDateDefaults   = map[string]any{"infinity": "+999999999-12-31Z", "-infinity": "-999999999-01-01Z"}
	isoTimeDefaults   = map[string]any{endOfDay: "23:59:59.999999999Z"}
	microsDefaults    = map[string]any{"infinity": int64(math.MinInt64 + 999_998), "-infinity": int64(math.MinInt64)}
	isoMomentDefaults = map[string]any{"infinity": "+999999999-12-31T23:59:59.999999999Z", "-infinity": "-999999999-01-01T00:00:00Z"}
	noDefaults        = map[string]any{"infinity": nil, "-infinity": nil}
)

// endOfDay is the time 24:00, which Java's clock does not have.
const endOfDay = "24:00:00"

// defaultDigits is the precision of temporal types that declare none.
const defaultDigits = 6

// digits is the declared number of fractional digits of the seconds.
func (u typeUse) digits() int {
	if u.typmod < 0 || u.typmod > defaultDigits {
		return defaultDigits
	}
	return int(u.typmod)
}

func temporalType(kind schema.Kind, name string) schema.Type {
	return schema.Type{Kind: kind, Name: name, Version: 1}
}

func numberForm(kind schema.Kind, name, zero string, decode decodeFunc) form {
	return form{typ: temporalType(kind, name), decode: decode, fallback: int64(0), zero: zero, defaulted: true}
}

func isoForm(name, fallback, zero string, u typeUse, decode decodeFunc) form {
	return form{typ: temporalType(schema.String, name), decode: decode, fallback: fallback, unavailable: placeholderText(u.o), zero: zero, defaulted: true}
}

// with is the form with other defaults.
func (f form) with(defaults map[string]any) form {
	f.defaults = defaults
	return f
}

func dateForm(u typeUse) form {
	switch u.o.Time {
	case "isostring":
		return isoForm(schema.IsoDate, "1970-01-01Z", epochDate, u, decodeIsoDate).with(isoDateDefaults)
	case "connect":
		return numberForm(schema.Int32, schema.ConnectDate, epochDate, decodeDate).with(dateDefaults)
	}
	return numberForm(schema.Int32, schema.Date, epochDate, decodeDate).with(dateDefaults)
}

func decodeDate(_ *change.Batch, text []byte) (change.Value, error) {
	days, inf, ok := parseDate(text)
	switch {
	case !ok || days != int64(int32(days)):
		return change.Value{}, badValue("date", text, "it is not a date in ISO style")
	case inf > 0:
		return change.IntValue(infiniteDate), nil
	case inf < 0:
		return change.IntValue(minusInfiniteDate), nil
	}
	return change.IntValue(days), nil
}

func decodeIsoDate(b *change.Batch, text []byte) (change.Value, error) {
	days, inf, ok := parseDate(text)
	switch {
	case !ok:
		return change.Value{}, badValue("date", text, "it is not a date in ISO style")
	case inf > 0:
		return b.Text(infiniteIsoDate), nil
	case inf < 0:
		return b.Text(minusInfiniteIsoDate), nil
	}
	mark := len(b.Arena)
	b.Arena = append(appendDate(b.Arena, dateOf(days)), 'Z')
	return b.TextFrom(mark), nil
}

func timeForm(u typeUse) form {
	mode := u.o.Time
	// step is what times are cut to: whole milliseconds in arrays, as consumers know them.
	step := int64(1)
	if u.inArray {
		step = 1000
	}
	switch {
	case mode == "isostring":
		return isoForm(schema.IsoTime, "00:00:00Z", epochTime, u, isoTimeDecoder(step)).with(isoTimeDefaults)
	case mode == "connect":
		return clockForm(schema.Int32, schema.ConnectTime, 1000, step)
	case mode == "nanoseconds":
		return clockForm(schema.Int64, schema.NanoTime, 1_000_000_000, step)
	case mode == "adaptive" && u.digits() <= 3:
		return clockForm(schema.Int32, schema.Time, 1000, step)
	}
	return clockForm(schema.Int64, schema.MicroTime, microsPerSecond, step)
}

// clockForm is a time of day in so many parts of a second. The end of the day as default is the last part of it.
func clockForm(kind schema.Kind, name string, perSecond, step int64) form {
	return numberForm(kind, name, epochTime, timeDecoder(perSecond, step)).with(map[string]any{endOfDay: secondsPerDay*perSecond - 1})
}

// timeDecoder gives the time of day in so many parts of a second; 24:00:00 is a whole day of them.
func timeDecoder(perSecond, step int64) decodeFunc {
	return func(_ *change.Batch, text []byte) (change.Value, error) {
		seconds, micros, ok := parseTime(text)
		if !ok {
			return change.Value{}, badValue("time", text, "it is not a time")
		}
		return change.IntValue(seconds*perSecond + scaleMicros(micros-micros%step, perSecond)), nil
	}
}

// scaleMicros cuts microseconds to milliseconds or extends them to nanoseconds.
func scaleMicros(micros, perSecond int64) int64 {
	if perSecond < microsPerSecond {
		return micros / (microsPerSecond / perSecond)
	}
	return micros * (perSecond / microsPerSecond)
}

func isoTimeDecoder(step int64) decodeFunc {
	return func(b *change.Batch, text []byte) (change.Value, error) {
		seconds, micros, ok := parseTime(text)
		if !ok {
			return change.Value{}, badValue("time", text, "it is not a time")
		}
		return clockText(b, seconds%secondsPerDay, micros-micros%step), nil
	}
}

func clockText(b *change.Batch, seconds, micros int64) change.Value {
	mark := len(b.Arena)
	b.Arena = append(appendClock(b.Arena, seconds, micros, asNeeded), 'Z')
	return b.TextFrom(mark)
}

func timestampForm(u typeUse) form {
	mode := u.o.Time
	switch {
	case mode == "isostring":
		return isoForm(schema.IsoTimestamp, "1970-01-01T00:00:00Z", epochInstant, u, decodeIsoTimestamp).with(isoMomentDefaults)
	case mode == "connect":
		return numberForm(schema.Int64, schema.ConnectTimestamp, epochInstant, decodeMillis).with(noDefaults)
	case mode == "nanoseconds":
		return numberForm(schema.Int64, schema.NanoTimestamp, epochInstant, decodeNanos).with(noDefaults)
	case mode != "microseconds" && u.digits() <= 3:
		return numberForm(schema.Int64, schema.Timestamp, epochInstant, decodeMillis).with(noDefaults)
	}
	return numberForm(schema.Int64, schema.MicroTimestamp, epochInstant, microsDecoder(u.saturated)).with(microsDefaults)
}

func badTimestamp(text []byte) error {
	return badValue("timestamp", text, "it is not a timestamp in ISO style")
}

func decodeMillis(_ *change.Batch, text []byte) (change.Value, error) {
	t, ok := parseInstant(text, false)
	switch {
	case !ok:
		return change.Value{}, badTimestamp(text)
	case t.inf > 0:
		return change.IntValue(infiniteMillis), nil
	case t.inf < 0:
		return change.IntValue(minusInfiniteMillis), nil
	}
	return change.IntValue(t.millis()), nil
}

// microsDecoder counts timestamps after the year 294247 that int64 cannot hold and gives its greatest number for them.
func microsDecoder(saturated *atomic.Int64) decodeFunc {
	return func(_ *change.Batch, text []byte) (change.Value, error) {
		t, ok := parseInstant(text, false)
		switch {
		case !ok:
			return change.Value{}, badTimestamp(text)
		case t.inf > 0:
			return change.IntValue(infiniteMillis * 1000), nil
		case t.inf < 0:
			return change.IntValue(minusInfiniteMillis * 1000), nil
		}
		micros, exact := mulAdd(t.seconds, microsPerSecond, t.micros)
		if !exact {
			saturated.Add(1)
		}
		return change.IntValue(micros), nil
	}
}

// decodeNanos refuses what int64 cannot hold. The second and its fraction are converted apart, so that the last second
// before the least number is refused as a whole.
func decodeNanos(_ *change.Batch, text []byte) (change.Value, error) {
	t, ok := parseInstant(text, false)
	switch {
	case !ok:
		return change.Value{}, badTimestamp(text)
	case t.inf != 0:
		return change.IntValue(extremeOf(int64(t.inf))), nil
	}
	nanos, exact := mulAdd(t.seconds, 1_000_000_000, t.micros*1000)
	if !exact || t.seconds < math.MinInt64/1_000_000_000 {
		return change.Value{}, badValue("timestamp", text, "nanoseconds reach from 1677-09-21 to 2262-04-11; another time.precision.mode can hold it")
	}
	return change.IntValue(nanos), nil
}

func decodeIsoTimestamp(b *change.Batch, text []byte) (change.Value, error) {
	t, ok := parseInstant(text, false)
	switch {
	case !ok:
		return change.Value{}, badTimestamp(text)
	case t.inf > 0:
		return b.Text(infiniteIsoInstant), nil
	case t.inf < 0:
		return b.Text(minusInfiniteIsoInstant), nil
	}
	mark := len(b.Arena)
	b.Arena = appendInstant(b.Arena, t, asNeeded)
	return b.TextFrom(mark), nil
}

// zonedTimeForm is timetz: the same in every time.precision.mode, and without defaults.
func zonedTimeForm(u typeUse) form {
	f := isoForm(schema.ZonedTime, "00:00:00Z", "", u, decodeZonedTime)
	f.defaulted = false
	return f
}

func decodeZonedTime(b *change.Batch, text []byte) (change.Value, error) {
	seconds, micros, ok := parseZonedTime(text)
	if !ok {
		return change.Value{}, badValue("timetz", text, "it is not a time with offset")
	}
	return clockText(b, seconds, micros), nil
}

// zonedTimestampForm is timestamptz: UTC with exactly the declared digits, the same in every time.precision.mode. Where
// none are declared values have none, and a default has its own.
func zonedTimestampForm(u typeUse) form {
	digits := u.digits()
	if digits == 0 {
		digits = asNeeded
	}
	f := isoForm(schema.ZonedTimestamp, "1970-01-01T00:00:00Z", epochInstant+"+00", u, func(b *change.Batch, text []byte) (change.Value, error) {
		t, ok := parseInstant(text, true)
		switch {
		case !ok:
			return change.Value{}, badValue("timestamptz", text, "it is not a timestamp with offset in ISO style")
		case t.inf != 0:
			return b.TextOf(text), nil
		}
		mark := len(b.Arena)
		b.Arena = appendInstant(b.Arena, t, digits)
		return b.TextFrom(mark), nil
	})
	return f.with(noDefaults)
}
