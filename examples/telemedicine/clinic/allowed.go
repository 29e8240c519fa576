package clinic

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
)

// Allowed is a choice as a patient has made it.
type Allowed struct {
	Choice
	Now   bool      `json:"now"`
	Since time.Time `json:"since,omitzero"` // zero where it is not allowed
	Past  []Given   `json:"past"`           // every time it was allowed, newest first
}

// Given is one time that a patient allowed something: what a receipt is of.
type Given struct {
	ID      string         `json:"id"`
	At      time.Time      `json:"at"`
	Ended   time.Time      `json:"ended,omitzero"`
	Because consent.Reason `json:"because,omitempty"` // why it ended
}

// Allowed returns what the patient allows, in the order of [Choices].
func (c *Clinic) Allowed(ctx context.Context, u User) ([]Allowed, error) {
	if err := u.must(Self); err != nil {
		return nil, err
	}
	known, err := c.cfg.Ledger.Of(ctx, u.Patient)
	if err != nil {
		return nil, err
	}
	times, err := c.givenAt(ctx, u.Patient)
	if err != nil {
		return nil, err
	}
	var all []Allowed
	for _, choice := range Choices() {
		a := Allowed{Choice: choice, Past: []Given{}}
		for _, k := range known {
			if choiceIn(k.ID) != choice.Key {
				continue
			}
			if k.Withdrawn.IsZero() && !a.Now {
				a.Now, a.Since = true, times[k.ID]
			}
			a.Past = append(a.Past, Given{ID: k.ID, At: times[k.ID], Ended: k.Withdrawn, Because: k.Because})
		}
		slices.Reverse(a.Past)
		all = append(all, a)
	}
	return all, nil
}

// givenAt is when each of the patient's consents was given: the audit log knows.
func (c *Clinic) givenAt(ctx context.Context, patient string) (map[string]time.Time, error) {
	history, err := c.cfg.Log.History(ctx, patient)
	if err != nil {
		return nil, err
	}
	at := map[string]time.Time{}
	for _, e := range history {
		if e.Action == "give" && e.Outcome == "done" {
			for _, id := range e.Consents {
				at[id] = e.Time
			}
		}
	}
	return at, nil
}

// choiceIn is the choice of which a consent is, by its id; see allow.
func choiceIn(id string) string {
	key, _, _ := strings.Cut(id, "@")
	if _, ok := choiceOf(key); !ok {
		return ""
	}
	return key
}

// Allow gives a consent, from now on.
func (c *Clinic) Allow(ctx context.Context, u User, key string) error {
	all, err := c.Allowed(ctx, u)
	if err != nil {
		return err
	}
	var now []string
	for _, a := range all {
		if a.Now {
			now = append(now, a.Key)
		}
	}
	if !canChoose(key, now) {
		return ErrInput
	}
	if slices.Contains(now, key) {
		return nil
	}
	if err := c.allow(ctx, u.Patient, key, envelope.NewID(), u.Name); err != nil {
		return err
	}
	// What it needs may have ended meanwhile, in another window. A label without it
	// would let in whom the patient has just shut out.
	if all, err = c.Allowed(ctx, u); err != nil {
		return err
	}
	needs, _ := choiceOf(key)
	if needs.Needs != "" && !slices.ContainsFunc(all, func(a Allowed) bool { return a.Key == needs.Needs && a.Now }) {
		return errors.Join(ErrConflict, c.Withdraw(ctx, u, key))
	}
	return nil
}

// Withdraw ends a consent and those that need it, from now on: the next opening is
// refused. No record is rewritten for that.
func (c *Clinic) Withdraw(ctx context.Context, u User, key string) error {
	if err := u.must(Self); err != nil {
		return err
	}
	if _, ok := choiceOf(key); !ok {
		return ErrInput
	}
	for { // until there is none: one may be given while the others end, see Allow
		known, err := c.cfg.Ledger.Of(ctx, u.Patient)
		if err != nil {
			return err
		}
		var errs []error
		n := 0
		for _, k := range known {
			choice, ok := choiceOf(choiceIn(k.ID))
			if ok && k.Withdrawn.IsZero() && (choice.Key == key || choice.Needs == key) {
				// One that fails keeps the others from nothing.
				errs = append(errs, c.cfg.Withdraw(ctx, u.Patient, k.ID, u.Name))
				n++
			}
		}
		if err := errors.Join(errs...); err != nil || n == 0 {
			return err
		}
	}
}

// Receipt returns the signed receipt of a consent that the patient gave, for the
// patient to keep.
func (c *Clinic) Receipt(ctx context.Context, u User, id string, in consent.Language) ([]byte, error) {
	if err := u.must(Self); err != nil {
		return nil, err
	}
	if choiceIn(id) == "" {
		return nil, ErrNotFound
	}
	receipt, err := c.cfg.Receipt(ctx, u.Patient, id, u.Name, notice(in))
	if errors.Is(err, consent.ErrNoConsent) {
		return nil, ErrNotFound
	}
	return receipt, err
}
