package phi

import (
	"slices"
	"strings"
)

// Form is what an export of package consent makes of a field: a form of package
// pseudo, whose policies may choose others.
type Form string

// The forms. A form that is not listed drops the field.
const (
	Drop Form = "drop" // left out
	Keep Form = "keep" // copied
	Year Form = "year" // only the year of a date, the oldest ages together
)

// Kind says what a field is. Compartment, form and lookup follow from it.
type Kind struct {
	Name        string
	Compartment string // whose key seals it, unless the tag says in=
	Form        Form   // what an export makes of it
	Lookup      bool   // a lookup token is allowed: high entropy, and a normaliser exists
	Why         string // why a lookup token is refused; empty if Lookup
}

// The compartments that kinds belong to.
const (
	identity  = "identity"
	clinical  = "clinical"
	sensitive = "sensitive"
)

// Why a lookup token is refused. A deterministic token of a value with few
// possible values is as good as the value: whoever may ask for tokens, or sees
// their frequencies, has a dictionary of it.
const (
	lowEntropy   = "low entropy"
	noNormaliser = "no normaliser yet"
	freeText     = "free text"
)

// Kinds returns the one table of kinds, ascending by name. It is a fresh copy.
func Kinds() []Kind {
	return []Kind{
		{"address", identity, Drop, false, noNormaliser},
		{"birthdate", identity, Year, false, lowEntropy},
		{"bpjs", identity, Drop, true, ""},
		{"clinical", clinical, Keep, false, lowEntropy},
		{"contact-phone", identity, Drop, true, ""},
		{"date", clinical, Year, false, lowEntropy},
		{"email", identity, Drop, true, ""},
		{"kk", identity, Drop, true, ""},
		{"mrn", identity, Drop, true, ""},
		{"name", identity, Drop, true, ""},
		{"nik", identity, Drop, true, ""},
		{"nik-ibu", identity, Drop, true, ""},
		{"passport", identity, Drop, true, ""},
		{"phone", identity, Drop, true, ""},
		{"region", identity, Drop, false, lowEntropy}, // whoever may have it takes it by a policy of package pseudo
		{"sensitive", sensitive, Drop, false, lowEntropy},
		{"sex", identity, Keep, false, lowEntropy},
		{"text", clinical, Drop, false, freeText},
	}
}

// Untagged returns the kind of a field without a tag: encrypted with the
// clinical fields, and left out of every export. No tag can name it.
func Untagged() Kind {
	return Kind{Name: "untagged", Compartment: clinical, Form: Drop, Why: "no kind"}
}

// KindByName returns the kind that tags call name.
func KindByName(name string) (Kind, bool) {
	all := Kinds()
	i, ok := slices.BinarySearchFunc(all, name, func(k Kind, name string) int {
		switch {
		case k.Name < name:
			return -1
		case k.Name > name:
			return 1
		}
		return 0
	})
	if !ok {
		return Kind{}, false
	}
	return all[i], true
}

// kindNames lists what a tag can say.
func kindNames() string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}
