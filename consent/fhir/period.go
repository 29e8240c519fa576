package fhir

import "time"

// bound reads a FHIR date or dateTime. What is less precise than a second lies in
// the consent's zone. An end includes all of its precision: the year, the month,
// the day, the second that it names; so it returns the first time after it.
func bound(text string, zone *time.Location, end bool) (t time.Time, ok bool) {
	var err error
	next := func() time.Time { return t.AddDate(0, 0, 1) }
	switch len(text) {
	case len("2006"):
		t, err = time.ParseInLocation("2006", text, zone)
		next = func() time.Time { return t.AddDate(1, 0, 0) }
	case len("2006-01"):
		t, err = time.ParseInLocation("2006-01", text, zone)
		next = func() time.Time { return t.AddDate(0, 1, 0) }
	case len("2006-01-02"):
		t, err = time.ParseInLocation("2006-01-02", text, zone)
	default:
		t, err = time.Parse(time.RFC3339Nano, text)
		unit, fits := precision(text)
		if !fits {
			return t, false
		}
		next = func() time.Time { return t.Add(unit) }
	}
	if err != nil || t.IsZero() || t.Year() < 1 {
		return t, false
	}
	if end {
		t = next()
	}
	return t, true
}

// precision returns the unit that the last digit of a dateTime's seconds counts.
// It refuses what package time reads besides RFC 3339: an hour of one digit, a
// comma for the point, and more than nine digits after it.
func precision(text string) (unit time.Duration, ok bool) {
	const whole = len("2006-01-02T15:04:05")
	if len(text) <= whole || text[13] != ':' || text[whole] == ',' {
		return 0, false
	}
	unit = time.Second
	if text[whole] != '.' {
		return unit, true
	}
	for _, c := range text[whole+1:] {
		switch {
		case c < '0' || c > '9':
			return unit, true
		case unit == time.Nanosecond:
			return 0, false
		}
		unit /= 10
	}
	return unit, true
}

// period reads a Period as [from, until).
func (p *provision) period(name string) (from, until time.Time) {
	e := p.one(name)
	if e == nil {
		return from, until
	}
	read := func(name string, end bool) (t time.Time) {
		if text := e.text(name); text != "" {
			var ok bool
			if t, ok = bound(text, p.in.o.Zone, end); !ok {
				p.in.fail(e.at(name), ErrMalformed)
			}
		}
		return t
	}
	from, until = read("start", false), read("end", true)
	e.ignore("id")
	if !e.whole() {
		p.unsupported(e.path)
		return time.Time{}, time.Time{}
	}
	if !from.IsZero() && !until.IsZero() && !from.Before(until) {
		p.in.fail(e.path, ErrMalformed)
	}
	return from, until
}

// endText writes the end of [from, until) as the last moment that it includes,
// such that bound reads until again.
func endText(until time.Time, zone *time.Location) (string, bool) {
	if until.Nanosecond() == 0 {
		return timeText(until.Add(-time.Second), zone, time.RFC3339)
	}
	return timeText(until.Add(-time.Nanosecond), zone, "2006-01-02T15:04:05.000000000Z07:00")
}

func startText(from time.Time, zone *time.Location) (string, bool) {
	return timeText(from, zone, time.RFC3339Nano)
}

func timeText(t time.Time, zone *time.Location, layout string) (string, bool) {
	t = t.In(zone)
	if _, offset := t.Zone(); offset%60 != 0 {
		t = t.UTC() // FHIR cannot write the local mean times of before about 1930
	}
	return t.Format(layout), 1 <= t.Year() && t.Year() <= 9999
}
