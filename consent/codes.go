package consent

import (
	_ "embed"
	"strings"
	"sync"
)

// Purpose is a purpose of use: a code of HL7 v3 ActReason below PurposeOfUse
// (http://terminology.hl7.org/CodeSystem/v3-ActReason). Any of its codes may
// be written as a literal; one that is not in the code system is refused.
type Purpose string

// The purposes that a telemedicine service asks for in its first week.
const (
	Treatment          Purpose = "TREAT"
	EmergencyTreatment Purpose = "ETREAT" // never implied by Treatment
	BreakGlass         Purpose = "BTG"    // never implied by Treatment or EmergencyTreatment
	Payment            Purpose = "HPAYMT"
	Operations         Purpose = "HOPERAT"
	Research           Purpose = "HRESCH"
	PublicHealth       Purpose = "PUBHLTH"
	Marketing          Purpose = "HMARKT"
	PatientRequest     Purpose = "PATRQT"
)

// Basis is the legal basis of a processing: one of the six of UU PDP 27/2022,
// article 20(2). There is no default.
type Basis string

// The six legal bases, in the law's order (a) to (f).
const (
	Consented          Basis = "consent"
	Contract           Basis = "contract"
	LegalObligation    Basis = "legal-obligation"
	VitalInterest      Basis = "vital-interest"
	PublicInterest     Basis = "public-interest"
	LegitimateInterest Basis = "legitimate-interest"
)

func (b Basis) known() bool {
	switch b {
	case Consented, Contract, LegalObligation, VitalInterest, PublicInterest, LegitimateInterest:
		return true
	}
	return false
}

// Confidentiality is a level of HL7 v3 Confidentiality, a total order:
// U < L < M < N < R < V. Empty means N, the level of ordinary clinical data.
type Confidentiality string

// Normal and Restricted are the levels of ordinary and of stigmatising data.
const (
	Normal     Confidentiality = "N"
	Restricted Confidentiality = "R"
)

// rank returns the level's place in the order, or 0 for an unknown one.
func (c Confidentiality) rank() int {
	if c == "" {
		c = Normal
	}
	if len(c) != 1 {
		return 0
	}
	return strings.Index("ULMNRV", string(c)) + 1
}

// Label is a sensitivity label: a code of HL7 v3 ActCode such as HIV, PSY or
// SUD. The field tag option label= takes the same codes.
type Label string

// AnyLabel in a consent's or a rule's Sensitivity names every label, those that
// data will be given in future among them.
const AnyLabel Label = "*"

// Obligation is a code of HL7 v3 ActCode ObligationPolicy or RefrainPolicy that
// whoever acts on a permit must discharge or heed.
type Obligation string

// Deidentify and Pseudonymise are discharged by [Records.Export] and by nothing else.
const (
	Deidentify   Obligation = "DEID"
	Pseudonymise Obligation = "PSEUD"
)

// mustBeNamed reports whether a permit must name p to cover it: the code system
// files it below treatment, operations and the like, and a patient who allows
// those has not thought of it (docs/RATIONALE.md). A refusal covers everything
// below it without exception.
func (p Purpose) mustBeNamed() bool {
	switch p {
	case EmergencyTreatment, BreakGlass, Marketing, "MLTRAINING", "CLINTRL", "MILCDM":
		return true
	}
	return false
}

//go:embed codes.tsv
var codesTSV string

type codeTable struct {
	purposes    map[Purpose]Purpose // code to parent
	labels      map[Label]Label
	obligations map[Obligation]bool // and refrains
}

// codes parses the table once: HL7's codes, each with the one parent it has.
var codes = sync.OnceValue(func() codeTable {
	t := codeTable{map[Purpose]Purpose{}, map[Label]Label{}, map[Obligation]bool{}}
	for line := range strings.Lines(codesTSV) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 7 || f[6] != "active" {
			continue
		}
		switch f[0] {
		case "purpose":
			t.purposes[Purpose(f[3])] = Purpose(f[5])
		case "sensitivity":
			t.labels[Label(f[3])] = Label(f[5])
		case "obligation", "refrain":
			t.obligations[Obligation(f[3])] = true
		}
	}
	return t
})

func (p Purpose) known() bool    { _, ok := codes().purposes[p]; return ok }
func (o Obligation) known() bool { return codes().obligations[o] }
func (l Label) known() bool      { _, ok := codes().labels[l]; return ok }

// covers reports whether a rule that names p speaks of the purpose q: the same
// or one below it. A permit stops at the purposes that must be named.
func (p Purpose) covers(q Purpose, permit bool) bool {
	for q != "" {
		if p == q {
			return true
		}
		if permit && q.mustBeNamed() {
			return false
		}
		q = codes().purposes[q]
	}
	return false
}

// covers reports whether l is m or an ancestor of it.
func (l Label) covers(m Label) bool {
	for ; m != ""; m = codes().labels[m] {
		if l == m {
			return true
		}
	}
	return false
}
