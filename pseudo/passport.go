package pseudo

import "strings"

// The rules of a passport number, which is unique only among those of the
// state that issued it: ICAO Doc 9303, part 3 for the codes of states, part 4
// for the number.
const (
	rulePassportState  = "want the issuing state before the number, as in IDN|number: its three-letter code of ICAO Doc 9303"
	rulePassportNumber = "want after the | 5 to 9 ASCII letters and digits, a digit among them, as in the passport's second line"
)

// normalPassport returns state, "|" and number in capitals. Spaces, hyphens
// and the filler < of the machine-readable lines are dropped. Whether a code
// is that of a state is not checked: states come and go.
func normalPassport(value string) (normal, broken string) {
	state, number, ok := strings.Cut(value, "|")
	if state = compact(state); !ok || !stateCode(state) {
		return "", rulePassportState
	}
	if state == "DEU" {
		state = "D" // Germany's passports have its one-letter code
	}
	number = compact(number)
	if len(number) < 5 || len(number) > 9 || !strings.ContainsAny(number, "0123456789") {
		return "", rulePassportNumber
	}
	for i := range len(number) {
		if !alphanumeric(number[i]) {
			return "", rulePassportNumber
		}
	}
	if len(state)+1+len(number) == len(value) && value[:len(state)] == state && value[len(state)+1:] == number {
		return value, "" // without an allocation
	}
	return state + "|" + number, ""
}

// stateCode reports whether s has the shape of a code of ICAO Doc 9303 part 3,
// section 5: three letters, or D for Germany.
func stateCode(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return len(s) == 3 || s == "D"
}

// compact returns s in capitals without separators, fillers and invisible
// characters. Only ASCII has capitals here: a letter that merely looks like one
// must not become one.
func compact(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '<' || separator(r) || invisible(r):
			return -1
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, s)
}
