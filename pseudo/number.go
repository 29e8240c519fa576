package pseudo

import "unicode"

// maxDigits is the most digits that any number of this package has; a scan
// stops there, so that its cost does not depend on hostile input.
const maxDigits = 16

// isDigits reports whether s is n ASCII digits.
func isDigits(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if s[i]-'0' > 9 { // a byte below '0' wraps around
			return false
		}
	}
	return true
}

// pair returns the number that the two digits of s at i write.
func pair(s string, i int) int { return int(s[i]-'0')*10 + int(s[i+1]-'0') }

// digitsOf returns the n digits that value writes, alone or in groups.
func digitsOf(value string, n int) (digits string, ok bool) {
	if isDigits(value, n) {
		return value, true
	}
	s, ok := scan(value, false)
	if !ok || s.n != n {
		return "", false
	}
	return s.text(), true
}

// number is a string of digits as somebody typed it.
type number struct {
	digits [maxDigits]byte
	n      int
	plus   bool // a plus sign stood before the first digit
	opened int  // how many digits stood before the last "("
	trunk  bool // there was a "(0)"
}

func (s *number) text() string { return string(s.digits[:s.n]) }

// scan reads the ASCII digits of value. Between digits it allows white space,
// dots and hyphens; around them white space and invisible characters (which
// travel with text copied from spreadsheets and address books); and for a
// telephone number one plus sign and parentheses. Digits of other scripts are
// refused and not converted: they come from a damaged import, and a guess
// there would find the wrong person.
func scan(value string, phone bool) (s number, ok bool) {
	joined := true // whether the last mark may be followed by the end
	for _, r := range value {
		switch {
		case '0' <= r && r <= '9':
			if s.n == maxDigits {
				return number{}, false
			}
			s.digits[s.n] = byte(r)
			s.n++
			joined = true
		case invisible(r):
		case separator(r):
			if s.n == 0 {
				return number{}, false
			}
			joined = false
		case !phone || !s.sign(r):
			return number{}, false
		}
	}
	return s, joined
}

// sign reads what only a telephone number may have beside its digits.
func (s *number) sign(r rune) bool {
	switch r {
	case '+':
		if s.plus || s.n > 0 {
			return false
		}
		s.plus = true
	case '(':
		s.opened = s.n
	case ')':
		s.trunk = s.trunk || s.n == s.opened+1 && s.digits[s.opened] == '0'
	default:
		return false
	}
	return true
}

// separator reports whether r groups digits.
func separator(r rune) bool {
	switch r {
	case '-', '.', '\u2010', '\u2011', '\u2012', '\u2013', '\u2212':
		return true
	}
	return false
}

// invisible reports whether r is white space or a format character, such as
// the no-break space, the byte order mark and the marks of text direction.
func invisible(r rune) bool {
	if r <= '~' {
		return r == ' ' || '\t' <= r && r <= '\r'
	}
	return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)
}
