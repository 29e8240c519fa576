package clinic

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// Branch registers patients where their records must not be read. It holds what
// seals, and nothing that opens: not even what it has just written.
type Branch struct {
	name    string
	records *consent.Intake[Patient]
	choices *envelope.Intake
	db      *sql.DB
	now     func() time.Time
	arrived chan<- struct{}
	hashes  hashes
}

// The states of what a branch sent.
const (
	Waiting  = "waiting"
	Received = "received"
	Known    = "known"   // the number is another patient's: the clinic looks into it
	Refused  = "refused" // it could not be taken in
)

// Arrival is what a branch sees of a registration: that it was made and what
// became of it.
type Arrival struct {
	ID    string
	At    time.Time
	State string
	Bytes int // as sealed
}

// Portal is what a new patient signs in with the first time, to choose a password of
// their own. It is shown once.
type Portal struct {
	Name, Password string
	Arrival        string // id of the registration
}

// FieldsError says which fields of a form are to be filled in anew, by their
// names and never by what they hold. It is an [ErrInput].
type FieldsError struct{ Fields []string }

// Error names the fields.
func (e *FieldsError) Error() string { return ErrInput.Error() + ": " + strings.Join(e.Fields, ", ") }

// Is reports whether target is ErrInput.
func (e *FieldsError) Is(target error) bool { return target == ErrInput }

// openBranch enrols the branch the first time, and opens its intake.
func (c *Clinic) openBranch(ctx context.Context) error {
	const inbox, sender = "branches", "branch-depok"
	if err := c.cfg.Ring.CreateKeyset(ctx, "inbox/"+inbox); err != nil && !errors.Is(err, keyring.ErrExists) {
		return err
	}
	var err error
	if c.inbox, err = envelope.NewInbox(inbox, c.cfg.Ring); err != nil {
		return err
	}
	path := filepath.Join(c.dir, sender+".credential")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := c.inbox.Enrol(ctx, sender, path); err != nil {
			return err
		}
	}
	to, err := envelope.OpenIntake(path)
	if err != nil {
		return err
	}
	records, err := consent.NewIntake[Patient]("patient", to)
	if err != nil {
		return err
	}
	c.branch = &Branch{name: sender, records: records, choices: to, db: c.db, now: c.now, arrived: c.arrived, hashes: c.hashes}
	return nil
}

// Register seals a new patient, with what the patient chose, for the clinic, and
// makes the account with which the patient signs in. It gives p its id and
// branch. What is entered is checked first, as [Branch.Check] does.
func (b *Branch) Register(ctx context.Context, p *Patient, choices []string) (Portal, error) {
	if _, err := b.Check(p, choices); err != nil {
		return Portal{}, err
	}
	p.ID, p.Branch = envelope.NewID(), b.name
	record, err := b.records.Seal(p, collected(choices))
	if err != nil {
		return Portal{}, err
	}
	said, err := json.Marshal(choices)
	if err != nil {
		return Portal{}, err
	}
	chosen, err := b.choices.Seal(p.ID, said)
	if err != nil {
		return Portal{}, err
	}
	portal := Portal{Name: "p-" + strings.ToLower(rand.Text()[:8]), Password: rand.Text()[:16], Arrival: envelope.NewID()}
	if err := b.send(ctx, p.ID, record, chosen, portal); err != nil {
		return Portal{}, err
	}
	select {
	case b.arrived <- struct{}{}:
	default: // it has been told already
	}
	return portal, nil
}

// collected are the facts of a registration's collection. They never change, so they
// claim no consent that was not given: who does not allow treatment is registered
// because the law obliges a clinic to keep a record of whoever comes
// (Permenkes 24/2022).
func collected(choices []string) consent.Tag {
	tag := consent.Tag{Purpose: consent.Treatment, Basis: consent.LegalObligation, Policy: noticeVersion}
	if slices.Contains(choices, "treatment") {
		tag.Basis = consent.Consented
	}
	return tag
}

// noticeVersion is that of the privacy notice which the pages show.
const noticeVersion = "2026-11"

// Check refuses what the clinic would refuse later, with a [*FieldsError], while
// somebody is there who can ask the patient again. It writes numbers and name in
// their one form, and returns what is unusual about the NIK: no reason to refuse
// anybody, for true records are full of it.
func (b *Branch) Check(p *Patient, choices []string) ([]pseudo.Warning, error) {
	var bad []string
	for _, f := range []struct {
		name  string
		kind  pseudo.Kind
		value *string
	}{{"nik", pseudo.NIK, &p.NIK}, {"phone", pseudo.Phone, &p.Phone}} {
		value, err := f.kind.Normalize(*f.value)
		if err != nil {
			bad = append(bad, f.name)
			continue
		}
		*f.value = value
	}
	if p.Name = strings.Join(strings.Fields(p.Name), " "); p.Name == "" || len(p.Name) > 200 {
		bad = append(bad, "name")
	}
	if p.Born.IsZero() || p.Born.After(b.now()) || p.Born.Year() < 1900 {
		bad = append(bad, "born")
	}
	if p.Sex != "male" && p.Sex != "female" {
		bad = append(bad, "sex")
	}
	if p.Address = strings.TrimSpace(p.Address); p.Address == "" || len(p.Address) > 500 {
		bad = append(bad, "address")
	}
	if tooMany(p.Allergies) {
		bad = append(bad, "allergies")
	}
	if !canChooseAll(choices) {
		bad = append(bad, "choices")
	}
	if bad != nil {
		return nil, &FieldsError{bad}
	}
	return pseudo.InspectNIK(p.NIK, p.Born)
}

// tooMany reports whether a list of words from a form is longer than one for a
// person to read.
func tooMany(list []string) bool {
	return len(list) > 50 || slices.ContainsFunc(list, func(s string) bool { return len(s) > 200 })
}

func (b *Branch) send(ctx context.Context, patient string, record, choices envelope.Item, portal Portal) error {
	hash, err := b.hashes.hash(ctx, portal.Password)
	if err != nil {
		return err
	}
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `INSERT INTO arrivals (id, at, record, choices, state) VALUES ($1, $2, $3, $4, $5)`,
		portal.Arrival, b.now().UnixMilli(), []byte(record), []byte(choices), Waiting); err != nil {
		return err
	}
	if err := addAccount(ctx, tx, User{Name: portal.Name, Role: Self, Patient: patient}, hash); err != nil {
		return err
	}
	return tx.Commit()
}

// Arrivals returns the newest of what this branch sent.
func (b *Branch) Arrivals(ctx context.Context, limit int) ([]Arrival, error) {
	return collect(ctx, b.db, func(rows *sql.Rows) (a Arrival, err error) {
		var at int64
		err = rows.Scan(&a.ID, &at, &a.State, &a.Bytes)
		a.At = time.UnixMilli(at)
		return a, err
	}, `SELECT id, at, state, length(record) FROM arrivals ORDER BY at DESC, id DESC LIMIT $1`, limit)
}

// Raw returns what of a registration lies in the branch's database: all that
// whoever steals it would have.
func (b *Branch) Raw(ctx context.Context, id string) (Arrival, envelope.Item, error) {
	a, item, at := Arrival{ID: id}, []byte(nil), int64(0)
	err := b.db.QueryRowContext(ctx, `SELECT at, state, record FROM arrivals WHERE id = $1`, id).Scan(&at, &a.State, &item)
	if errors.Is(err, sql.ErrNoRows) {
		return a, nil, ErrNotFound
	}
	a.At, a.Bytes = time.UnixMilli(at), len(item)
	return a, item, err
}
