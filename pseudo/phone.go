package pseudo

import "strings"

// The rules of a telephone number. The canonical form is that of ITU-T E.164:
// a plus sign, the country code, the national number, at most 15 digits in all.
const (
	rulePhoneText   = "want at most 16 digits, with spaces, dots, hyphens or parentheses between them and at most one plus sign before"
	rulePhoneWorld  = "want 8 to 15 digits after the plus sign, the first not 0"
	rulePhoneTrunk  = "want an international number without (0)"
	rulePhonePrefix = "want a number that begins with + and a country code, with 628, or with a single 0 for Indonesia"
	rulePhoneLocal  = "want an Indonesian number: 8 and 8 to 11 more digits, the first not 0, for a mobile; or an area code and number of 8 to 11 digits"
)

func normalPhone(value string) (normal, rule string) {
	if len(value) > 3 && value[0] == '+' && value[1:3] != "62" && isDigits(value[1:], len(value)-1) {
		if !world(value[1:]) {
			return "", rulePhoneWorld
		}
		return value, ""
	}
	if national, ok := strings.CutPrefix(value, "+62"); ok && isDigits(national, len(national)) && indonesian(national) {
		return value, ""
	}
	s, ok := scan(value, true)
	if !ok || s.n == 0 {
		return "", rulePhoneText
	}
	if s.plus && s.trunk && !strings.HasPrefix(s.text(), "62") {
		return "", rulePhoneTrunk
	}
	return international(s.text(), s.plus)
}

// international returns the E.164 form of digits that were written with or
// without a plus sign.
//
// A number without a plus sign is taken for Indonesian only where it can be
// nothing else that people write: a single trunk 0, or 62 and then a mobile
// number, eleven digits or more (62 alone also begins numbers of area codes
// abroad, which have ten).
// "00" is refused: in Indonesia it only begins the access codes of the
// carriers (001, 007, 008 …), so where "001" ends and the country begins
// cannot be known. A bare foreign number is refused and never guessed.
func international(digits string, plus bool) (normal, rule string) {
	national := ""
	switch {
	case plus && len(digits) > 2 && strings.HasPrefix(digits, "62"):
		national = digits[2:]
		if national[0] == '0' {
			national = national[1:] // "+62 (0)812": the trunk 0 stays at home
		}
	case plus:
		if !world(digits) {
			return "", rulePhoneWorld
		}
		return "+" + digits, ""
	case strings.HasPrefix(digits, "628"):
		national = digits[2:]
		if !mobile(national) {
			return "", rulePhoneLocal
		}
	case len(digits) > 1 && digits[0] == '0' && digits[1] != '0':
		national = digits[1:]
	default:
		return "", rulePhonePrefix
	}
	if !indonesian(national) {
		return "", rulePhoneLocal
	}
	return "+62" + national, ""
}

// world reports whether digits may be an international number of a country
// other than Indonesia. ITU-T E.164 sets the maximum of 15 digits.
func world(digits string) bool {
	if len(digits) < 8 || len(digits) > 15 || digits[0] == '0' {
		return false
	}
	return !strings.HasPrefix(digits, "62")
}

// indonesian reports whether digits may be the national number of a person in
// Indonesia: mobile, or fixed line with its area code (2 to 7 and 9). Short
// codes (1…) and service numbers (80…) belong to nobody.
func indonesian(digits string) bool {
	if mobile(digits) {
		return true
	}
	if len(digits) < 8 || len(digits) > 11 {
		return false
	}
	return '2' <= digits[0] && digits[0] <= '7' || digits[0] == '9'
}

// mobile reports whether digits may be the national number of an Indonesian
// mobile telephone: 8, a digit other than 0, and 7 to 10 more.
func mobile(digits string) bool {
	return len(digits) >= 9 && len(digits) <= 12 && digits[0] == '8' && digits[1] != '0'
}
