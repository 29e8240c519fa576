// Package pseudo makes stand-ins for the identifiers of a person.
//
//	err := ring.CreateKeyset(ctx, "research/ui-2026")            // once, for each domain
//	domain, err := pseudo.Open(ctx, ring, "research/ui-2026")    // at every start
//	token, err := domain.Token(ctx, pseudo.NIK, "9271 0603 1200 0001")
//
// The ring is that of package keyring, whose example makes and opens one.
//
// A [Domain] is one recipient or one purpose: the lookup column of a field
// ("lookup/patient/NIK"), a study ("research/ui-2026"), an insurer. Each has a
// keyset of its own in the ring, so the tokens that two domains give to one
// person cannot be linked without their keys, and a domain whose keyset has
// been destroyed leaves tokens that nobody can link to anyone.
//
// A [Token] is a keyed hash: it cannot be reversed, and without the key it
// cannot be tried out against a list of candidates, which is what breaks every
// plain hash of a NIK or a telephone number within seconds. Before it is
// hashed a value is normalised by its [Kind], so that one telephone number
// written three ways has one token. An [Index] computes the tokens of the
// fields of a struct that are tagged `phi:"…,lookup"`.
//
// For a table that leaves the house a [Deidentifier] makes rows by the tags of a
// struct and a [Policy] ([SafeHarbor], [Strict]): pseudonyms of the recipient's own
// domain, years, age bands, provinces, dates shifted by [Domain.DateShift]. Package
// risk has the gate that lets such a table out or not, [WriteCSV] writes it.
//
// A [Reversible] makes tokens that can be turned back, or translated to another
// domain's, where an [Authority] allows it: [ReversibleToken] by AES-SIV, and
// digits for a column that takes nothing else. [Attribute] tells for whom leaked
// tokens were made.
//
// # Tags
//
// Index and Deidentifier read what the fields of a struct say they are. One is the
// id of whom the record is about, `phi:"subject"`; the others have a kind:
//
//	may be looked up   bpjs, contact-phone, email, kk, mrn, name, nik, nik-ibu, passport, phone
//	may not            address, birthdate, clinical, date, region, sensitive, sex, text
//
// as in `phi:"nik,lookup"`, and name= gives a field another stored name. A field
// without a tag, one of kind address or text and an identifier are in no table, but
// as a token. A name that is no kind is an error when the Index or Deidentifier is
// made. Package envelope seals by the same tags and has the rest of their grammar.
//
// # What a token reveals
//
// Within one domain and key version, equal values have equal tokens: who reads
// a column of tokens sees which rows agree and how often each value occurs.
// That is harmless for a NIK and telling for a common name, and it is the
// reason why tokens are offered for identifiers that are nearly unique and
// never for a sex, a date or a region ([ErrLowEntropy]). [LeakageOf] measures
// what a column gives away. Who may call [Domain.Token] can test guesses. A
// token is a pseudonym: it is derived from the identifier, so the data beside
// it stays personal data (UU PDP; HIPAA 45 CFR 164.514(c)).
//
// # Errors
//
// No error of this package contains a value, whole or in part: a
// [FormatError] names the kind and the rule that is broken. Errors of package
// keyring pass through and can be tested for with [errors.Is].
package pseudo

import "errors"

var (
	// ErrUnknownKind is returned for a [Kind] that has no normaliser.
	ErrUnknownKind = errors.New("pseudo: unknown kind (known: nik, bpjs, mrn, passport, phone, email, name, subject, nik-ibu, kk, contact-phone, date, region)")

	// ErrLowEntropy is returned where a token of a [Date] or a [Region] is
	// asked for: there are so few likely values that their tokens are as good
	// as they are.
	ErrLowEntropy = errors.New("pseudo: no tokens of this kind: low entropy")

	// ErrLeakage is returned for a column whose tokens tell their values by how
	// often they occur.
	ErrLeakage = errors.New("pseudo: tokens that tell their values")

	// ErrNoDomain is returned where the name of a domain is empty or is not
	// the name of a domain, and by a Domain or Index that was not opened.
	ErrNoDomain = errors.New("pseudo: no domain")

	// ErrToken is returned for bytes or text that are not a token, and by a
	// zero [Token].
	ErrToken = errors.New("pseudo: not a token")

	// ErrNoAuthority is returned where tokens should be turned back by a
	// [Reversible] that was opened without an [Authority].
	ErrNoAuthority = errors.New("pseudo: no authority to turn tokens back")

	// ErrVersions is returned while a token could not tell which of two readable
	// key versions made it: suspend or destroy one of them.
	ErrVersions = errors.New("pseudo: two readable key versions cannot be told apart")

	// ErrNotRepresentable is returned for a value that has no format-preserving
	// token: what is no NIK by day and month, or of a kind that has no such form.
	ErrNotRepresentable = errors.New("pseudo: no format-preserving token")

	// ErrField is returned for the name of a field that carries no lookup token.
	ErrField = errors.New("pseudo: not a lookup field")

	// ErrColumns is returned by [Domain.Columns] where two readable key versions
	// belong to one column.
	ErrColumns = errors.New("pseudo: not one column for each key version")

	// ErrPolicy is returned for a [Policy] that does not fit the type whose fields
	// it is for, and for a table that cannot be written.
	ErrPolicy = errors.New("pseudo: policy does not fit")

	// ErrRange is returned for a date that cannot be a birth date or be shifted, for
	// a width of bands or a bound of shifts that cannot be used, and for a column
	// too short to be measured.
	ErrRange = errors.New("pseudo: out of range")
)
