// SPDX-License-Identifier: Apache-2.0

package dateformat

// The calendar of java.util.GregorianCalendar: Julian before 1582-10-15, weeks begin on Sunday and the first is that of
// January 1st.

const (
	millisPerDay = 24 * 60 * 60 * 1000
	// cutover is 1582-10-15, days since the epoch.
	cutover = -141427
	// julianShift is the number of days between March 1st of year 0 in the Julian calendar and the epoch.
	julianShift    = 719470
	gregorianShift = 719468
)

// moment is a time taken apart.
type moment struct {
	days                         int64 // since the epoch
	year, month, day, weekday    int64 // year 0 is 1 BC; month from 1; Sunday is 0
	hour, minute, second, millis int64
}

func momentOf(ms int64) moment {
	m := moment{days: floorDiv(ms, millisPerDay)}
	rest := mod(ms, millisPerDay)
	m.hour, m.minute, m.second, m.millis = rest/3_600_000, rest/60_000%60, rest/1000%60, rest%1000
	m.year, m.month, m.day = civil(m.days)
	m.weekday = mod(m.days+4, 7)
	return m
}

func (m *moment) era() int {
	if m.year <= 0 {
		return 0
	}
	return 1
}

func (m *moment) yearOfEra() int64 {
	if m.year <= 0 {
		return 1 - m.year
	}
	return m.year
}

func (m *moment) dayOfYear() int64 { return m.days - daysOf(m.year, 1, 1) + 1 }

// week is the week of the year, and the year that it belongs to.
func (m *moment) week() (year, week int64) {
	if m.days >= weekOne(m.year+1) {
		return m.year + 1, 1
	}
	return m.year, (m.days-weekOne(m.year))/7 + 1
}

// weekOne is the Sunday on or before January 1st.
func weekOne(year int64) int64 {
	first := daysOf(year, 1, 1)
	return first - mod(first+4, 7)
}

// civil is the date of a day. Years begin in March, so that a leap day is the last of its year.
func civil(days int64) (year, month, day int64) {
	var inYear int64
	if days >= cutover {
		z := days + gregorianShift
		era := floorDiv(z, 146097)
		inEra := z - era*146097
		y := (inEra - inEra/1460 + inEra/36524 - inEra/146096) / 365
		inYear = inEra - (365*y + y/4 - y/100)
		year = y + era*400
	} else {
		z := days + julianShift
		era := floorDiv(z, 1461)
		inEra := z - era*1461
		y := (inEra - inEra/1460) / 365
		inYear = inEra - 365*y
		year = y + era*4
	}
	m := (5*inYear + 2) / 153
	day = inYear - (153*m+2)/5 + 1
	if month = m + 3; month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

// daysOf is the day of a date whose month and day may be out of range.
func daysOf(year, month, day int64) int64 {
	year += floorDiv(month-1, 12)
	month = mod(month-1, 12) + 1
	if month <= 2 {
		year--
		month += 12
	}
	inYear := (153*(month-3)+2)/5 + day - 1
	gregorian := year*365 + floorDiv(year, 4) - floorDiv(year, 100) + floorDiv(year, 400) + inYear - gregorianShift
	if gregorian >= cutover {
		return gregorian
	}
	return year*365 + floorDiv(year, 4) + inYear - julianShift
}

func floorDiv(a, n int64) int64 {
	q := a / n
	if a%n < 0 {
		q--
	}
	return q
}

func mod(a, n int64) int64 { return a - floorDiv(a, n)*n }
