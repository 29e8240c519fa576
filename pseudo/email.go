package pseudo

import "strings"

// The rules of an e-mail address: the Mailbox of RFC 5321 without quoted
// strings and address literals, whose lengths are those of its section 4.5.3.1
// and of RFC 3696, erratum 1690. It is ASCII, as the addresses that HTML calls
// valid are: a browser hands over an international domain in its xn-- form.
const (
	ruleEmailSize   = "want at most 254 characters"
	ruleEmailShape  = "want one address, with an @ between its mailbox and its domain"
	ruleEmailLocal  = "want before the @ 1 to 64 ASCII letters, digits and any of !#$%&'*+-/=?^_`{|}~, with single dots between them"
	ruleEmailDomain = "want after the @ a host name with a dot in it, an international one in its xn-- form"
)

// normalEmail returns the address in lower case. RFC 5321 keeps the case of a
// mailbox for its host to interpret, and calls it discouraged that a host
// should: people write theirs in any case and mean one mailbox. Dots and
// "+tag" stay, because only some providers ignore them: dropping them would
// make one address of two people's.
func normalEmail(value string) (normal, broken string) {
	value = strings.TrimFunc(value, invisible)
	if len(value) > 254 {
		return "", ruleEmailSize
	}
	local, domain, ok := strings.Cut(value, "@")
	switch {
	case !ok || strings.Contains(domain, "@"):
		return "", ruleEmailShape
	case !dotAtom(local):
		return "", ruleEmailLocal
	case !hostName(domain):
		return "", ruleEmailDomain
	}
	return strings.ToLower(value), ""
}

// dotAtom reports whether s is a Dot-string of RFC 5321, of at most 64
// characters.
func dotAtom(s string) bool {
	if len(s) > 64 {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		for i := range len(atom) {
			if !alphanumeric(atom[i]) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", atom[i]) < 0 {
				return false
			}
		}
		if atom == "" {
			return false
		}
	}
	return true
}

// hostName reports whether s is two or more labels of letters, digits and
// hyphens between dots, the last of them not a number (RFC 1123, section 2.1).
func hostName(s string) bool {
	if len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !alphanumeric(label[i]) && label[i] != '-' {
				return false
			}
		}
		last = label
	}
	return !isDigits(last, len(last))
}

// alphanumeric reports whether c is an ASCII letter or digit.
func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
