package consent

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// Incident is what is known of a leak or a theft: whose login it was, for whom
// the data were made, which key, when. What is set is ANDed, and something must be.
type Incident struct {
	Actor       string    // who acted
	Recipient   string    // of an export
	Compartment string    // whose key was used
	Version     uint32    // the version of that compartment's keyset; 0: any
	From, Until time.Time // when, in [From, Until); zero is unbounded

	// Leaked are pseudonyms that came to light, and Suspects the recipients whose
	// domains they may be of, as [Config.AddRecipient] has them. Then only exports
	// to those who turn out to be meant are looked at.
	Leaked   []pseudo.Token
	Suspects []string

	Found time.Time // when it was noticed; the zero time is now
}

// Report says what an incident touched. It names patients: keep it as their
// records are kept. It marshals to JSON; [Report.Text] is for reading.
type Report struct {
	Made     time.Time `json:"made"`
	Found    time.Time `json:"found"`
	NotifyBy time.Time `json:"notifyBy"` // 3×24 hours after Found: UU PDP 27/2022, article 46

	Log        int64     `json:"logEntries"`           // that were read, all verified
	Checkpoint string    `json:"checkpoint"`           // the log's signed head after that
	Entries    int       `json:"entries"`              // of acts that were done and fit the incident
	Refused    int       `json:"refused"`              // attempts that fit and were refused
	Lookups    int       `json:"lookups"`              // of Entries, those that search and name nobody
	Reversed   int       `json:"reversed"`             // tokens that Entries turned back or translated, whose patients the log does not know
	First      time.Time `json:"first,omitzero"`       // of Entries
	Last       time.Time `json:"last,omitzero"`        // of Entries
	Actors     []string  `json:"actors,omitempty"`     // of Entries
	Recipients []string  `json:"recipients,omitempty"` // of Entries

	// Patients are those whose ids could be told, by id. Unnamed is how many
	// more there are: erased or retained since, or not among the candidates.
	Patients []Affected `json:"patients"`
	Unnamed  int        `json:"unnamed"`

	Domains []Suspicion `json:"domains,omitempty"` // of leaked pseudonyms, who explains most first
}

// Affected is what an incident touched of one patient. The lists are sorted.
type Affected struct {
	Subject    string    `json:"subject"`
	Entries    int       `json:"entries"`
	Actions    []string  `json:"actions,omitempty"`
	Fields     []string  `json:"fields,omitempty"` // record type, ".", field
	Recipients []string  `json:"recipients,omitempty"`
	First      time.Time `json:"first,omitzero"`
	Last       time.Time `json:"last,omitzero"`
	Leaked     bool      `json:"leaked,omitempty"` // a leaked pseudonym is this patient's
}

// Suspicion is what one recipient's domain explains of leaked pseudonyms; see
// [pseudo.Evidence].
type Suspicion struct {
	Recipient string  `json:"recipient"`
	Version   uint32  `json:"version"`
	Leaked    int     `json:"leaked"`
	Explained int     `json:"explained"`
	Chance    float64 `json:"chance"`         // that as many would fit by chance
	Lost      bool    `json:"lost,omitempty"` // the version's key is gone: not cleared
}

// noticeWithin is the time for notices of UU PDP 27/2022, article 46.
const noticeWithin = 3 * 24 * time.Hour

// Investigate reads the whole audit log, verifying every entry, and reports what
// an incident touched. patients are the ids of all patients who may be concerned,
// such as those of the application's table; it is ranged over up to three times.
// An entry names its patient under the patient's own key, so an id that is not
// among them stays a number in [Report.Unnamed], and so does whoever was erased,
// or was rekeyed since (keyring.Ring.EndRekey).
// An act that was announced and did not happen does not count.
//
// It reports what went through [Records], not what was copied off a disk.
//
// Errors: [ErrRequest] where nothing is set that could be looked for,
// [ErrTampered], [ErrSubject], [ErrConfig], those of [pseudo.Attribute].
func (c *Config) Investigate(ctx context.Context, what Incident, patients iter.Seq[string]) (*Report, error) {
	report, err := c.investigate(ctx, what, patients)
	if err != nil {
		return nil, fmt.Errorf("consent: investigate: %w", err)
	}
	return report, nil
}

func (c *Config) investigate(ctx context.Context, what Incident, patients iter.Seq[string]) (*Report, error) {
	if err := c.whole(); err != nil {
		return nil, err
	}
	if what.Actor == "" && what.Recipient == "" && what.Compartment == "" && what.From.IsZero() && what.Until.IsZero() && len(what.Leaked) == 0 {
		return nil, fmt.Errorf("nothing to look for: %w", ErrRequest)
	}
	if patients == nil {
		patients = func(func(string) bool) {}
	}
	now := c.now()
	if what.Found.IsZero() {
		what.Found = now
	}
	in := &inquiry{cfg: c, what: what, patients: patients, leaked: map[pseudo.Token]bool{}}
	in.report = &Report{Made: now, Found: what.Found, NotifyBy: what.Found.Add(noticeWithin), Patients: []Affected{}}
	for _, step := range []func(context.Context) error{in.attribute, in.read, in.name} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return in.report, nil
}

// inquiry is one report under way.
type inquiry struct {
	cfg      *Config
	what     Incident
	patients iter.Seq[string]
	report   *Report

	domains []*pseudo.Domain
	meant   []string // recipients whose tokens leaked
	leaked  map[pseudo.Token]bool
	met     map[string]*Affected // by mark
}

// attribute tells whose domains made the leaked tokens.
func (in *inquiry) attribute(ctx context.Context) error {
	if len(in.what.Leaked) == 0 {
		return nil
	}
	for _, t := range in.what.Leaked {
		in.leaked[t] = true
	}
	var domains []*pseudo.Domain
	for _, s := range in.what.Suspects {
		d, err := pseudo.Open(ctx, in.cfg.Ring, recipientDomain(s))
		if err != nil {
			return err
		}
		domains = append(domains, d)
	}
	got, err := pseudo.Attribute(ctx, domains, pseudo.Subject, in.what.Leaked, in.patients)
	if err != nil {
		return err
	}
	for _, e := range got.Evidence {
		recipient := strings.TrimPrefix(e.Domain, recipientDomain(""))
		in.report.Domains = append(in.report.Domains, Suspicion{recipient, e.Version, e.Leaked, e.Explained, e.Chance, e.Err != nil})
		if e.Explained > 0 && !slices.Contains(in.meant, recipient) {
			in.meant = append(in.meant, recipient)
		}
	}
	for _, d := range domains {
		if slices.Contains(in.meant, strings.TrimPrefix(d.Name(), recipientDomain(""))) {
			in.domains = append(in.domains, d)
		}
	}
	return nil
}

// fits reports whether an entry is of the incident.
func (in *inquiry) fits(e logged) bool {
	w := &in.what
	version, used := e.Keys[w.Compartment]
	f := Filter{Actor: w.Actor, Recipient: w.Recipient, From: w.From, Until: w.Until}
	switch {
	case e.Action == "start",
		w.Compartment != "" && (!used || w.Version != 0 && version != w.Version),
		len(w.Leaked) > 0 && (e.Action != "export" || !slices.Contains(in.meant, e.Recipient)):
		return false
	}
	return f.selects(e.logBody, e.version)
}

// read goes through the log: a second time where it met acts that did not happen,
// whose first entries it had counted by then. It looks at every entry: that an act
// did not happen may be said after the time that is asked for.
func (in *inquiry) read(ctx context.Context) error {
	log, undone := in.cfg.Log, map[string]bool{}
	for range 2 {
		known := len(undone)
		in.begin()
		for e, err := range log.walk(ctx) {
			if err != nil {
				return err
			}
			in.report.Log++
			switch {
			case e.Outcome == "completed": // counted when it was announced, by name but for one
				if e.Action == "return" && in.fits(e) {
					in.touch(e.logBody)
				}
			case e.Outcome == "failed":
				undone[e.Decision] = true
			case in.fits(e) && e.Outcome == "refused":
				in.report.Refused++
			case in.fits(e) && !undone[e.Decision]:
				in.count(e.logBody)
			}
		}
		if len(undone) == known {
			break
		}
	}
	head, err := log.Checkpoint(ctx)
	in.report.Checkpoint = string(head)
	return err
}

// begin forgets what was counted.
func (in *inquiry) begin() {
	r := in.report
	in.met, r.Log, r.Entries, r.Refused, r.Lookups, r.Reversed = map[string]*Affected{}, 0, 0, 0, 0, 0
	r.First, r.Last, r.Actors, r.Recipients = time.Time{}, time.Time{}, nil, nil
}

// count adds an act that was done.
func (in *inquiry) count(b *logBody) {
	r, at := in.report, time.Unix(0, b.Time)
	r.Entries++
	r.First, r.Last = spanned(r.First, r.Last, at)
	r.Actors, r.Recipients = noted(r.Actors, b.Actor), noted(r.Recipients, b.Recipient)
	if b.Action == "lookup" {
		r.Lookups++
	}
	r.Reversed += b.Count
	in.touch(b)
}

// touch adds an act to what is known of its patient.
func (in *inquiry) touch(b *logBody) {
	if b.Patient == nil {
		return
	}
	at := time.Unix(0, b.Time)
	a := in.met[string(b.Patient)]
	if a == nil {
		a = &Affected{}
		in.met[string(b.Patient)] = a
	}
	a.Entries++
	a.First, a.Last = spanned(a.First, a.Last, at)
	a.Actions, a.Recipients = noted(a.Actions, b.Action), noted(a.Recipients, b.Recipient)
	for _, f := range b.Fields {
		a.Fields = noted(a.Fields, b.Type+"."+f)
	}
}

// add adds what else was done with a's data.
func (a *Affected) add(b *Affected) {
	a.Entries += b.Entries
	a.First, a.Last = spanned(a.First, a.Last, b.First)
	_, a.Last = spanned(a.First, a.Last, b.Last)
	for _, s := range b.Actions {
		a.Actions = noted(a.Actions, s)
	}
	for _, s := range b.Fields {
		a.Fields = noted(a.Fields, s)
	}
	for _, s := range b.Recipients {
		a.Recipients = noted(a.Recipients, s)
	}
}

// spanned widens [first, last] to hold at.
func spanned(first, last, at time.Time) (time.Time, time.Time) {
	if first.IsZero() || at.Before(first) {
		first = at
	}
	if at.After(last) {
		last = at
	}
	return first, last
}

// noted adds s to a sorted list, once.
func noted(list []string, s string) []string {
	i, is := slices.BinarySearch(list, s)
	if s == "" || is {
		return list
	}
	return slices.Insert(list, i, s)
}

// name finds the patients' ids among the candidates.
func (in *inquiry) name(ctx context.Context) error {
	for page := range idPages(in.patients) {
		if slices.Contains(page, "") {
			return ErrSubject
		}
		all, err := in.cfg.Ring.Subjects(ctx, page, auditCompartment)
		if err != nil {
			return err
		}
		for i := range all {
			if err := in.nameOne(ctx, page[i], all[i]); err != nil {
				return err
			}
		}
	}
	in.report.Unnamed = len(in.met)
	slices.SortFunc(in.report.Patients, func(a, b Affected) int { return strings.Compare(a.Subject, b.Subject) })
	return nil
}

func (in *inquiry) nameOne(ctx context.Context, id string, keys keyring.SubjectKeys) error {
	a := Affected{Subject: id}
	switch retained := (*keyring.RetainedError)(nil); {
	case errors.Is(keys.Err, keyring.ErrNoSubjectKey), errors.Is(keys.Err, keyring.ErrShredded), errors.As(keys.Err, &retained):
	case keys.Err != nil:
		return keys.Err
	default:
		for _, mark := range patientMarks(keys.Keys[0]) {
			if met := in.met[string(mark)]; met != nil {
				a.add(met)
				delete(in.met, string(mark))
			}
		}
	}
	for _, d := range in.domains {
		tokens, err := d.Lookup(ctx, pseudo.Subject, id)
		if err != nil {
			return err
		}
		a.Leaked = a.Leaked || slices.ContainsFunc(tokens, func(t pseudo.Token) bool { return in.leaked[t] })
	}
	if a.Entries > 0 || a.Leaked {
		in.report.Patients = append(in.report.Patients, a)
	}
	return nil
}

// patientMark is the same in all entries of a patient, and nobody can tell any
// more whose it was when the patient's keys are gone.
func patientMark(k *keyring.SubjectKey) []byte {
	return secret.Expose(k.Derive(labelLogPatient))[:16:16]
}

// patientMarks are those of a patient's entries: of now, and while the patient is
// being rekeyed of before.
func patientMarks(k *keyring.SubjectKey) [][]byte {
	marks := [][]byte{patientMark(k)}
	if older, ok := k.DeriveOlder(labelLogPatient); ok {
		marks = append(marks, secret.Expose(older)[:16:16])
	}
	return marks
}

// keysOf are the versions under which a patient's fields lie.
func (r *Records[T]) keysOf(ctx context.Context, subject string, fields []string) (keyVersions, error) {
	var compartments []string
	for i := range r.plan.Fields {
		if f := &r.plan.Fields[i]; slices.Contains(fields, f.Name) && !slices.Contains(compartments, f.Compartment) {
			compartments = append(compartments, f.Compartment)
		}
	}
	if len(compartments) == 0 {
		return nil, nil
	}
	keys, err := r.cfg.Ring.Subject(ctx, subject, compartments...)
	if !errors.Is(err, keyring.ErrNoSubjectKey) {
		return versionsOf(nil, keys), err
	}
	for _, c := range compartments { // the row is older than one of them
		more, err := r.cfg.Ring.Subject(ctx, subject, c)
		if err != nil && !errors.Is(err, keyring.ErrNoSubjectKey) {
			return nil, err
		}
		keys = append(keys, more...)
	}
	return versionsOf(nil, keys), nil
}
