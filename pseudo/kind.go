package pseudo

import "unicode/utf8"

// A Kind says what an identifier is. It decides how a value is normalised and
// what is refused, and it is part of the derivation of a token's key: one
// string as two kinds has two unrelated tokens.
type Kind string

const (
	NIK     Kind = "nik"     // the 16-digit number of an Indonesian resident
	Phone   Kind = "phone"   // a telephone number, normalised to E.164
	Name    Kind = "name"    // the name of a person, without titles and degrees
	Subject Kind = "subject" // the opaque id of a record's subject, taken as it is
)

// The places of the kinds in a plan.
const (
	placeNIK = iota
	placePhone
	placeName
	placeSubject
	kinds // how many there are
)

// all returns every kind, each at its place.
func all() [kinds]Kind {
	return [kinds]Kind{placeNIK: NIK, placePhone: Phone, placeName: Name, placeSubject: Subject}
}

// normalizer returns the version of the normaliser of k. It is part of the
// derivation of a token's key: whoever changes what a normaliser returns for
// any value must raise its version, and the tokens of the old one are then
// found no more. docs/SPEC.md states each version.
func (k Kind) normalizer() string {
	switch k {
	case NIK, Phone, Name, Subject:
		return "1"
	}
	return ""
}

// Normalize returns the canonical form of value: 16 digits for [NIK], E.164
// with its plus sign for [Phone], lower-case words between single spaces for
// [Name], the value itself for [Subject]. A canonical form is its own canonical
// form. The returned string is as confidential as value.
//
// It returns a [*FormatError], which does not contain the value, and
// [ErrUnknownKind].
func (k Kind) Normalize(value string) (string, error) {
	normal, _, err := k.normalize(value)
	return normal, err
}

// normalize returns the canonical form of value and the place of k.
func (k Kind) normalize(value string) (normal string, place int, err error) {
	var rule string
	switch k {
	case NIK:
		place = placeNIK
		normal, rule = normalNIK(value)
	case Phone:
		place = placePhone
		normal, rule = normalPhone(value)
	case Name:
		place = placeName
		normal, rule = normalName(value)
	case Subject:
		place = placeSubject
		normal, rule = normalSubject(value)
	default:
		return "", 0, ErrUnknownKind // without k: a mistaken caller may have put a value there
	}
	if rule != "" {
		return "", 0, &FormatError{Kind: k, Rule: rule}
	}
	return normal, place, nil
}

// FormatError says which rule of its kind a value breaks. It never holds the
// value.
type FormatError struct {
	Kind Kind
	Rule string // what would have been accepted, such as "want 16 digits"
}

// Error names the kind and the rule.
func (e *FormatError) Error() string { return string(e.Kind) + ": " + e.Rule }

// maxSubject is the longest subject id in bytes.
const maxSubject = 255

func normalSubject(value string) (normal, rule string) {
	if len(value) == 0 || len(value) > maxSubject {
		return "", "want 1 to 255 bytes"
	}
	if !utf8.ValidString(value) {
		return "", ruleUTF8
	}
	return value, ""
}

// ruleUTF8 is shared by the kinds that are text.
const ruleUTF8 = "want valid UTF-8"
