package consent

import (
	"fmt"
	"strings"
	"time"
)

// Language is a language that this package says things in, as BCP 47 has it.
type Language string

// The languages. Any other is taken for English.
const (
	English    Language = "en"
	Indonesian Language = "id"
)

// Explanation is a decision and how it came about: for an audit, for a support
// desk, and for the patient. It names labels that a caller who was refused must
// not learn; see [Reason].
type Explanation struct {
	Decision Decision
	Steps    []Step // every rule that was looked at, consents in the order given, then the policy's bases
}

// Step is one rule and what it said.
type Step struct {
	Consent string // id, or empty for a legal basis
	Article string // of a legal basis
	Rule    int    // which of the consent's exceptions, from 1; 0: the consent itself
	Refuses bool   // it is a rule that refuses
	Met     bool   // it meets the request
	Where   string // where it does not: purpose, action, actor, role, level, label, data, time
	Live    Reason // why the consent is not in force; empty if it is
}

// Explain decides as [Policy.Decide] does, and says how. What decided in each
// consent is the last of its steps that is Met, the consent itself being the first.
func (p *Policy) Explain(consents []Consent, req Request, data Data, now time.Time) Explanation {
	e := Explanation{Decision: p.Decide(consents, req, data, now)}
	a := newAsking(&req, &data, now)
	for i := range consents {
		c := &consents[i]
		step := func(r Rule, at int) {
			g := r.gap(&a)
			e.Steps = append(e.Steps, Step{Consent: c.ID, Rule: at, Refuses: r.Refused, Met: g == none, Where: g.String(), Live: c.live(now)})
		}
		step(c.base(), 0)
		for n := range c.Except {
			step(c.Except[n].under(c), n+1)
		}
	}
	if p == nil {
		return e
	}
	for i := range p.Bases {
		g := p.Bases[i].Rule.gap(&a)
		e.Steps = append(e.Steps, Step{Article: p.Bases[i].Article, Met: g == none, Where: g.String()})
	}
	return e
}

func (g gap) String() string {
	return [...]string{none: "", byPurpose: "purpose", byAction: "action", byActor: "actor", byRole: "role", byLevel: "level", byLabel: "label", byData: "data", byTime: "time"}[g]
}

// Text says the decision and every step in words, a line each.
func (e *Explanation) Text(in Language) string {
	w := wordsIn(in)
	var b strings.Builder
	verdict := w.denied
	if e.Decision.Permit {
		verdict = w.permitted
	}
	fmt.Fprintf(&b, "%s: %s\n", verdict, e.Decision.Reason.In(in))
	for _, s := range e.Steps {
		b.WriteString("- ")
		b.WriteString(w.step(s, in))
		b.WriteByte('\n')
	}
	return b.String()
}

// In returns what r says in a language.
func (r Reason) In(in Language) string {
	if in == Indonesian {
		if text, ok := reasonInIndonesian(r); ok {
			return text
		}
	}
	return string(r)
}

// words are the parts of an explanation in one language.
type words struct {
	permitted, denied      string
	consent, rule, article string // with their verb %
	permits, refuses       string
	met, notMet            string
	gaps                   map[string]string
}

func (w *words) step(s Step, in Language) string {
	var who string
	switch {
	case s.Article != "":
		who = fmt.Sprintf(w.article, s.Article)
	case s.Rule > 0:
		who = fmt.Sprintf(w.rule, s.Consent, s.Rule)
	default:
		who = fmt.Sprintf(w.consent, s.Consent)
	}
	does := w.permits
	if s.Refuses {
		does = w.refuses
	}
	switch {
	case !s.Met:
		return fmt.Sprintf("%s (%s): %s %s", who, does, w.notMet, w.gaps[s.Where])
	case s.Live != "":
		return fmt.Sprintf("%s (%s): %s", who, does, s.Live.In(in))
	}
	return fmt.Sprintf("%s (%s): %s", who, does, w.met)
}

func wordsIn(in Language) *words {
	if in == Indonesian {
		return &words{
			permitted: "Diizinkan", denied: "Ditolak",
			consent: "persetujuan %s", rule: "persetujuan %s, pengecualian %d", article: "dasar hukum %s",
			permits: "mengizinkan", refuses: "menolak",
			met: "berlaku untuk permintaan ini", notMet: "tidak berlaku, karena",
			gaps: map[string]string{
				"purpose": "tujuannya lain", "action": "tindakannya lain", "actor": "pelakunya lain", "role": "perannya lain",
				"level": "tingkat kerahasiaannya lain", "label": "label kepekaannya lain", "data": "datanya lain", "time": "waktunya lain",
			},
		}
	}
	return &words{
		permitted: "Permitted", denied: "Denied",
		consent: "consent %s", rule: "consent %s, exception %d", article: "legal basis %s",
		permits: "permits", refuses: "refuses",
		met: "meets this request", notMet: "does not meet it, because of the",
		gaps: map[string]string{
			"purpose": "purpose", "action": "action", "actor": "actor", "role": "role",
			"level": "confidentiality", "label": "sensitivity label", "data": "data", "time": "time",
		},
	}
}

// reasonInIndonesian returns r in Indonesian; a reason that is not here is new.
func reasonInIndonesian(r Reason) (text string, ok bool) {
	text, ok = map[Reason]string{
		Permitted:      "diizinkan oleh persetujuan pasien",
		ByLaw:          "diizinkan atas dasar hukum lain, bukan persetujuan",
		InEmergency:    "diizinkan dalam keadaan darurat, akan ditinjau",
		WouldDeny:      "tidak ada persetujuan untuk ini: dibuka selama layanan ini masih dalam masa pengamatan",
		Prohibited:     "pemrosesan ditunda atau dilarang",
		NoConsent:      "tidak ada persetujuan berlaku yang mencakup tujuan dan data ini",
		Refused:        "pasien menolaknya",
		NotYet:         "persetujuan belum berlaku",
		Expired:        "masa persetujuan telah habis",
		Ended:          "persetujuan telah ditarik kembali",
		Superseded:     "persetujuan lain telah menggantikannya",
		NotRepresented: "pemberi persetujuan tidak lagi mewakili pasien",
		Unknown:        "tujuan atau label bukan kode yang dikenal",
		RoleForbids:    "peran ini tidak boleh membuka bagian data ini",
		KeyNotGranted:  "layanan ini tidak memegang kunci untuk bagian data ini",
		ExportOnly:     "tujuan ini hanya boleh melihat pseudonim: gunakan Export",
		CannotFulfil:   "persetujuan mewajibkan sesuatu yang tidak dilakukan di sini",
		Erased:         "data pasien telah dimusnahkan",
		Retained:       "rekam pasien disimpan di luar layanan, sebagaimana diwajibkan oleh hukum",
		NotAuthentic:   "baris ini tidak terbuka sebagai rekam yang diminta",
		NotFoundBy:     "rekam ini bukan yang ditunjuk oleh token",
		Unreadable:     "rekam tidak dapat dibaca",
		MaySearch:      "peran ini boleh mencari pada isian ini",
		NoRole:         "permintaan tidak menyebut peran, atau peran itu tidak dikenal",
		NotGeneral:     "nilai ini tidak dapat digeneralisasi",
		TooFew:         "terlalu sedikit pasien dalam tabel ini yang serupa",
		TooMany:        "pelaku telah mencapai jumlah pasien yang diperbolehkan batas",
		NoRight:        "tidak ada dasar yang ditetapkan untuk membalikkan token ini",
		NoJob:          "permintaan menyebut tugas yang tidak terdaftar bagi pelakunya",
	}[r]
	return text, ok
}
