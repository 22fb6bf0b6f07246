// SPDX-License-Identifier: Apache-2.0

package dateformat

import "strings"

// parsed are the fields that a text gave. Each has the order in which it was set, 0 for not at all: of fields that contradict
// each other the last one counts.
type parsed struct {
	f     *Format
	text  string
	at    int
	value [128]int64 // by letter
	order [128]int
	next  int
	zone  int64 // ms east of Greenwich
	twos  bool  // the year has two digits, and is the first of the century
}

func (p *parsed) set(letter byte, v int64) {
	p.next++
	p.value[letter], p.order[letter] = v, p.next
}

func (p *parsed) get(letter byte, without int64) int64 {
	if p.order[letter] == 0 {
		return without
	}
	return p.value[letter]
}

// Parse reads a time, ms since the epoch. ok is false where the text does not begin with a date of the pattern.
func (f *Format) Parse(text string) (ms int64, ok bool) {
	p := parsed{f: f, text: text}
	for i := range f.fields {
		x := &f.fields[i]
		if x.letter == 0 {
			if !strings.HasPrefix(p.text[p.at:], x.literal) {
				return 0, false
			}
			p.at += len(x.literal)
			continue
		}
		if !p.field(x, i+1 < len(f.fields) && f.fields[i+1].digits()) {
			return 0, false
		}
	}
	if ms = p.millis(); p.twos && ms < f.begin {
		p.value['y'] += 100
		ms = p.millis()
	}
	return ms, true
}

// digits says whether the field is read as a number: one right before it ends after as many digits as it has letters.
func (x *field) digits() bool {
	switch x.letter {
	case 'M', 'L':
		return x.width <= 2
	case 0, 'G', 'E', 'a', 'z', 'Z', 'X':
		return false
	}
	return true
}

// field reads one field, after blanks.
func (p *parsed) field(x *field, abutting bool) bool {
	start := p.at
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
	if p.at == len(p.text) {
		return false
	}
	switch {
	case x.letter == 'G':
		return p.name('G', eras[:], 0)
	case x.letter == 'a':
		return p.name('a', halves[:], 0)
	case x.letter == 'E':
		return p.name('E', dayNames[:], 3)
	case (x.letter == 'M' || x.letter == 'L') && x.width > 2:
		return p.name('M', monthNames[:], 3)
	case x.letter == 'z' || x.letter == 'Z':
		return p.zoneName()
	case x.letter == 'X':
		return p.isoZone(x.width)
	}
	end := len(p.text)
	if abutting {
		if end = start + x.width; end > len(p.text) {
			return false
		}
	}
	first := p.at
	n, ok := p.integer(end)
	if ok {
		p.number(x, n, p.text[first:p.at])
	}
	return ok
}

// integer reads digits, with a minus sign perhaps, as Java's int.
func (p *parsed) integer(end int) (int64, bool) {
	i := p.at
	negative := i < end && p.text[i] == '-'
	if negative {
		i++
	}
	first, n := i, int64(0)
	for ; i < end && p.text[i] >= '0' && p.text[i] <= '9'; i++ {
		if n = n*10 + int64(p.text[i]-'0'); n < 0 || n >= 1<<59 {
			n = 1 << 58 // beyond all that is a date; Java's numbers saturate too
		}
	}
	if i == first {
		return 0, false
	}
	if negative {
		n = -n
	}
	p.at = i
	return int64(int32(n)), true
}

// number sets a field that was read as a number.
func (p *parsed) number(x *field, n int64, digits string) {
	letter := x.letter
	switch letter {
	case 'y', 'Y':
		if x.width <= 2 && len(digits) == 2 && digits[0] != '-' {
			p.twos = letter == 'y' && n == p.f.century%100
			if n < p.f.century%100 {
				n += 100
			}
			n += p.f.century / 100 * 100
		}
	case 'M', 'L':
		letter = 'M'
		n--
	case 'k':
		letter = 'H'
		if n == 24 {
			n = 0
		}
	case 'h':
		letter = 'K'
		if n == 12 {
			n = 0
		}
	case 'u':
		letter = 'E'
		n = mod(n, 7)
	}
	p.set(letter, n)
}

// name reads one of some names, whole or its first letters (short of them; 0 is the whole alone), in any case.
func (p *parsed) name(letter byte, names []string, short int) bool {
	for _, whole := range []bool{true, false} {
		for i, name := range names {
			if !whole {
				if short == 0 {
					continue
				}
				name = name[:short]
			}
			if len(p.text)-p.at >= len(name) && strings.EqualFold(p.text[p.at:p.at+len(name)], name) {
				p.at += len(name)
				p.set(letter, int64(i))
				return true
			}
		}
	}
	return false
}

// zones are names of zones with their hours east of Greenwich. Longer names come before those that they begin with.
var zones = []struct {
	name  string
	hours int64
}{
	{"Coordinated Universal Time", 0},
	{"Greenwich Mean Time", 0},
	{"UTC", 0},
	{"UT", 0},
	{"EST", -5},
	{"EDT", -4},
	{"CST", -6},
	{"CDT", -5},
	{"MST", -7},
	{"MDT", -6},
	{"PST", -8},
	{"PDT", -7},
	{"WEST", 1},
	{"WET", 0},
	{"CEST", 2},
	{"CET", 1},
	{"EEST", 3},
	{"EET", 2},
	{"MSK", 3},
	{"JST", 9},
}

// zoneName reads +hhmm, GMT+hh:mm, or a name.
func (p *parsed) zoneName() bool {
	rest := p.text[p.at:]
	if rest[0] == '+' || rest[0] == '-' {
		return p.offset(2, false)
	}
	if len(rest) >= 3 && strings.EqualFold(rest[:3], "GMT") {
		p.at += 3
		if p.at < len(p.text) && (p.text[p.at] == '+' || p.text[p.at] == '-') {
			return p.offset(0, true)
		}
		return true
	}
	for _, z := range zones {
		if len(rest) >= len(z.name) && strings.EqualFold(rest[:len(z.name)], z.name) {
			p.at += len(z.name)
			p.zone = z.hours * 3_600_000
			return true
		}
	}
	return false
}

// isoZone reads Z, or +hh, +hhmm, +hh:mm by the number of letters.
func (p *parsed) isoZone(width int) bool {
	if p.text[p.at] == 'Z' {
		p.at++
		return true
	}
	return (p.text[p.at] == '+' || p.text[p.at] == '-') && p.offset(width, width == 3)
}

// offset reads a sign, hours and minutes. width 0 takes one digit of hours, 1 no minutes.
func (p *parsed) offset(width int, colon bool) bool {
	sign := int64(1)
	if p.text[p.at] == '-' {
		sign = -1
	}
	p.at++
	hours, n := p.upTo(2)
	if n == 0 || n == 1 && width > 0 || hours > 23 {
		return false
	}
	var minutes int64
	if width != 1 {
		if colon {
			if p.at == len(p.text) || p.text[p.at] != ':' {
				return false
			}
			p.at++
		}
		if minutes, n = p.upTo(2); n != 2 || minutes > 59 {
			return false
		}
	}
	p.zone = sign * (hours*60 + minutes) * 60_000
	return true
}

// upTo reads at most so many digits.
func (p *parsed) upTo(most int) (v int64, n int) {
	for ; n < most && p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9'; n++ {
		v = v*10 + int64(p.text[p.at]-'0')
		p.at++
	}
	return v, n
}

// millis puts the fields together.
func (p *parsed) millis() int64 {
	hours := p.get('H', 0)
	if half := max(p.order['K'], p.order['a']); half > 0 && (p.order['H'] == 0 || p.order['K'] > 0 && p.order['a'] > 0 && half > p.order['H']) {
		hours = p.get('K', 0) + 12*p.get('a', 0)
	}
	return p.days()*millisPerDay + hours*3_600_000 + p.get('m', 0)*60_000 + p.get('s', 0)*1000 + p.get('S', 0) - p.zone
}

// days finds the day: by the month and its day, by the day of the year, or by the week and its day, whichever came last.
func (p *parsed) days() int64 {
	year := p.get('y', 1970)
	if p.order['G'] > 0 && p.value['G'] == 0 {
		year = 1 - year
	}
	if p.order['Y'] > p.order['y'] {
		return weekOne(p.value['Y']) + (p.get('w', 1)-1)*7 + p.get('E', 0)
	}
	day, inYear, week := p.order['d'], p.order['D'], 0
	if p.order['w'] > 0 && p.order['E'] > 0 {
		week = max(p.order['w'], p.order['E'])
	} else if day == 0 && inYear == 0 && p.order['w'] > p.order['M'] {
		week = p.order['w']
	}
	switch {
	case week > day && week > inYear:
		return weekOne(year) + (p.value['w']-1)*7 + p.get('E', 0)
	case inYear > day:
		return daysOf(year, 1, p.value['D'])
	case day == 0 && p.order['E'] > p.order['M']: // the first such day of the month
		first := daysOf(year, p.get('M', 0)+1, 1)
		return first + mod(p.value['E']-mod(first+4, 7), 7)
	}
	return daysOf(year, p.get('M', 0)+1, p.get('d', 1))
}
