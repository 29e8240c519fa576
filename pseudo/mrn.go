package pseudo

import (
	"strings"
	"unicode"
)

// The rules of a medical record number. Every facility counts its own from 1,
// so without the facility one number is that of a patient in each of them.
const (
	ruleMRNFacility = "want the facility before the number, as in facility|number: 1 to 128 printable ASCII characters without a space or another |"
	ruleMRNNumber   = "want after the | 1 to 32 ASCII letters and digits, with spaces, dots, hyphens or slashes between them"
)

// maxFacility and maxMRN are the longest facility and number, in bytes of their
// canonical forms.
const (
	maxFacility = 128
	maxMRN      = 32
)

// normalMRN returns facility, "|" and number. The facility is an identifier
// that a program fills in, perhaps a URL, and stays as it is; the number is
// typed by people.
func normalMRN(value string) (normal, broken string) {
	facility, number, ok := strings.Cut(strings.TrimFunc(value, invisible), "|")
	facility = strings.TrimRightFunc(facility, invisible)
	if !ok || len(facility) == 0 || len(facility) > maxFacility || strings.ContainsFunc(facility, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", ruleMRNFacility
	}
	number, ok = recordNumber(strings.TrimLeftFunc(number, invisible))
	if !ok {
		return "", ruleMRNNumber
	}
	if len(facility)+1+len(number) == len(value) && value[len(facility)+1:] == number {
		return value, "" // without an allocation
	}
	return facility + "|" + number, ""
}

// recordNumber returns a number in capitals. Leading zeros stay: whether they
// count is the facility's to know. Where separators only part digits into
// groups of two or of three, as in 00-12-34, they are dropped; any other may
// tell numbers apart, such as 2020/1-23 and 2020/12-3, and becomes a hyphen.
func recordNumber(s string) (string, bool) {
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
	if s == "" || len(s) > 4*maxMRN || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return "", false
	}
	groups := []string{s} // on the stack, for a number without separators
	if strings.ContainsFunc(s, between) {
		groups = strings.FieldsFunc(s, between)
	}
	size := len(groups[0])
	grouped := size == 2 || size == 3
	for _, g := range groups {
		for i := range len(g) {
			if !alphanumeric(g[i]) {
				return "", false
			}
		}
		grouped = grouped && isDigits(g, size)
	}
	hyphen := "-"
	if grouped {
		hyphen = ""
	}
	s = strings.ToUpper(strings.Join(groups, hyphen))
	return s, len(s) <= maxMRN
}

// between reports whether r parts the groups of a medical record number.
func between(r rune) bool { return r == '/' || separator(r) || unicode.IsSpace(r) }
