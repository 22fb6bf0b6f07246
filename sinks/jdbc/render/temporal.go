// SPDX-License-Identifier: Apache-2.0

package render

// What Debezium emits for infinite timestamps (ms or µs) and dates (days, already wrapped to 32 bits there).
const (
	InfinityLong      = 9223372036825200000
	MinusInfinityLong = -9223372036832400000
	InfinityDay       = -2147472692
	MinusInfinityDay  = -2147472691
)

// MicrosPerDay is the length of a day in µs.
const MicrosPerDay = 86_400_000_000

// Day appends the proleptic Gregorian date of days since 1970-01-01; bc says that the year counts backwards. The
// arithmetic is in eras of 400 years, with the year beginning in March.
func Day(dst []byte, days int64) (out []byte, bc bool) {
	z := days + 719468
	era := z / 146097
	if z < 0 {
		era = (z - 146096) / 146097
	}
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day := doy - (153*mp+2)/5 + 1
	month := mp + 3
	if month > 12 {
		month -= 12
	}
	year := yoe + era*400
	if month <= 2 {
		year++
	}
	if year <= 0 {
		year, bc = 1-year, true
	}
	dst = append(Padded(dst, year, 4), '-')
	dst = append(Padded(dst, month, 2), '-')
	return Padded(dst, day, 2), bc
}

// Clock appends [-]HH:MM:SS[.ffffff]; hours are as many as there are.
func Clock(dst []byte, micros int64) []byte {
	u := uint64(micros)
	if micros < 0 {
		dst = append(dst, '-')
		u = -u
	}
	seconds, fraction := u/1_000_000, u%1_000_000
	dst = append(Padded(dst, int64(seconds/3600), 2), ':')
	dst = append(Padded(dst, int64(seconds/60%60), 2), ':')
	dst = Padded(dst, int64(seconds%60), 2)
	if fraction == 0 {
		return dst
	}
	return Padded(append(dst, '.'), int64(fraction), 6)
}

// Padded appends a number that is not negative with at least width digits.
func Padded(dst []byte, n int64, width int) []byte {
	var buf [20]byte
	i := len(buf)
	for n > 0 || width > 0 {
		i--
		buf[i] = byte('0' + n%10)
		n /= 10
		width--
	}
	return append(dst, buf[i:]...)
}

// RoundDiv divides by a positive number, rounding half up.
func RoundDiv(n, div int64) int64 {
	if div == 1 {
		return n
	}
	q, r := n/div, n%div
	if r < 0 {
		q, r = q-1, r+div
	}
	if 2*r >= div {
		q++
	}
	return q
}
