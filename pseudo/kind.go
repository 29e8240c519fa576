package pseudo

import "unicode/utf8"

// A Kind says what an identifier is. It decides how a value is normalised and
// what is refused, and it is part of the derivation of a token's key: one
// string as two kinds has two unrelated tokens.
//
// A kind also says whose identifier it is. The mother's number on a newborn's
// record, the number of the family and the telephone of somebody to call in an
// emergency are not the patient's, and as a kind of their own they never join
// the patient's, not even within one domain. docs/SPEC.md has the table of
// relations.
type Kind string

// The kinds of a person's own identifiers.
const (
	NIK      Kind = "nik"      // the 16-digit number of an Indonesian resident
	BPJS     Kind = "bpjs"     // the 13-digit number of a member of the national health insurance
	MRN      Kind = "mrn"      // a medical record number with its facility, "facility|number"
	Passport Kind = "passport" // a passport number with its issuing state, "IDN|X1234567"
	Phone    Kind = "phone"    // a telephone number, normalised to E.164
	Email    Kind = "email"    // an e-mail address
	Name     Kind = "name"     // the name of a person, without titles and degrees
	Subject  Kind = "subject"  // the opaque id of a record's subject, taken as it is
)

// The kinds of identifiers that belong to somebody else, or to several.
const (
	MotherNIK    Kind = "nik-ibu"       // the mother's NIK on a newborn's record
	KK           Kind = "kk"            // the 16-digit number of a family's card: all of a household share it
	ContactPhone Kind = "contact-phone" // the telephone number of an emergency contact
)

// The kinds that are normalised and have no token: so few values are likely
// that a column of tokens would be a column of the values.
const (
	Date   Kind = "date"   // a date, or a year and month, or a year, as FHIR writes them
	Region Kind = "region" // a region's code of 2, 4, 6 or 10 digits
)

// The places in a plan of the kinds that have tokens.
const (
	placeNIK = iota
	placeBPJS
	placeMRN
	placePassport
	placePhone
	placeEmail
	placeName
	placeSubject
	placeMotherNIK
	placeKK
	placeContactPhone
	kinds // how many there are

	noToken = -1 // the place of a kind that has none
)

// all returns every kind that has tokens, each at its place.
func all() [kinds]Kind {
	return [kinds]Kind{
		placeNIK: NIK, placeBPJS: BPJS, placeMRN: MRN, placePassport: Passport,
		placePhone: Phone, placeEmail: Email, placeName: Name, placeSubject: Subject,
		placeMotherNIK: MotherNIK, placeKK: KK, placeContactPhone: ContactPhone,
	}
}

// A rule is how the values of a kind are normalised.
type rule struct {
	place   int    // in a plan
	version string // of the normaliser
	normal  func(value string) (normal, broken string)
}

// rule returns the rule of k. Its version is part of the derivation of a
// token's key: whoever changes what a normaliser returns for any value must
// raise it, and the tokens of the old one are then found no more. docs/SPEC.md
// states each version.
func (k Kind) rule() (rule, bool) {
	switch k {
	case NIK:
		return rule{placeNIK, "1", normalNIK}, true
	case BPJS:
		return rule{placeBPJS, "1", normalBPJS}, true
	case MRN:
		return rule{placeMRN, "1", normalMRN}, true
	case Passport:
		return rule{placePassport, "1", normalPassport}, true
	case Phone:
		return rule{placePhone, "1", normalPhone}, true
	case Email:
		return rule{placeEmail, "1", normalEmail}, true
	case Name:
		return rule{placeName, "1", normalName}, true
	case Subject:
		return rule{placeSubject, "1", normalSubject}, true
	case MotherNIK:
		return rule{placeMotherNIK, "1", normalNIK}, true
	case KK:
		return rule{placeKK, "1", normalKK}, true
	case ContactPhone:
		return rule{placeContactPhone, "1", normalPhone}, true
	case Date:
		return rule{noToken, "1", normalDate}, true
	case Region:
		return rule{noToken, "1", normalRegion}, true
	}
	return rule{}, false
}

// normalizer returns the version of the normaliser of k, or nothing for an
// unknown kind.
func (k Kind) normalizer() string {
	r, _ := k.rule()
	return r.version
}

// Normalize returns the canonical form of value, such as 16 digits for [NIK]
// and E.164 for [Phone]; docs/SPEC.md has the rules of each kind. A canonical
// form is its own canonical form. The returned string is as confidential as
// value.
//
// It returns a [*FormatError], which does not contain the value, and
// [ErrUnknownKind].
func (k Kind) Normalize(value string) (string, error) {
	r, ok := k.rule()
	if !ok {
		return "", ErrUnknownKind // without k: a mistaken caller may have put a value there
	}
	normal, broken := r.normal(value)
	if broken != "" {
		return "", &FormatError{Kind: k, Rule: broken}
	}
	return normal, nil
}

// normalize returns the canonical form of a value that is to have a token, and
// the place of k. A kind that has none is ErrLowEntropy, whatever the value.
func (k Kind) normalize(value string) (normal string, place int, err error) {
	r, ok := k.rule()
	if ok && r.place == noToken {
		return "", 0, ErrLowEntropy
	}
	normal, err = k.Normalize(value)
	return normal, r.place, err
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

func normalSubject(value string) (normal, broken string) {
	if len(value) == 0 || len(value) > maxSubject {
		return "", ruleSubject
	}
	if !utf8.ValidString(value) {
		return "", ruleUTF8
	}
	return value, ""
}

const (
	ruleSubject = "want 1 to 255 bytes"
	ruleUTF8    = "want valid UTF-8" // shared by the kinds that are text
)
