package seed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// Clock is that of a clinic which is seeded with a past: it stands where it is set,
// and tells the time once it is let go. The zero Clock tells the time.
type Clock struct{ at atomic.Pointer[time.Time] }

// Now is the time.
func (c *Clock) Now() time.Time {
	if at := c.at.Load(); at != nil {
		return *at
	}
	return time.Now()
}

// Set stops the clock at a time.
func (c *Clock) Set(at time.Time) { c.at.Store(&at) }

// Go lets it go.
func (c *Clock) Go() { c.at.Store(nil) }

// fortnight is how many days of work there are.
const fortnight = 14

// Past is how long ago a clinic's first day is.
const Past = (fortnight + 1) * 24 * time.Hour

// work is what the doctors of a seeded clinic have to do.
type work struct {
	dice
	c        *clinic.Clinic
	clock    *Clock
	officer  clinic.User
	patients []clinic.Shown
	unasked  string // the patient of the tour who was never asked for consent
}

// Work gives a seeded clinic, which was opened with the clock, two weeks of work:
// doctors opened charts and were refused some, and twice there was an emergency, of
// which one awaits its review. It lets the clock go. A clinic of fewer patients than
// the tour has is given none.
func Work(ctx context.Context, c *clinic.Clinic, clock *Clock, progress func(what string, done, total int)) error {
	defer clock.Go()
	w := work{dice: dice{rand.New(rand.NewPCG(2026, 12))}, c: c, clock: clock}
	unasked, err := c.User(ctx, "p-0003")
	if errors.Is(err, clinic.ErrNotFound) {
		return nil
	}
	if err == nil {
		w.unasked = unasked.Patient
		w.officer, err = c.User(ctx, "dpo-dewi")
	}
	if err == nil {
		w.patients, err = c.ToShow(ctx, w.officer, 200)
	}
	for ago := fortnight - 1; ago >= 0 && err == nil; ago-- {
		err = w.day(ctx, ago)
		progress("work", fortnight-ago, fortnight)
	}
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return nil
}

// day is one day's work, so many days ago.
func (w work) day(ctx context.Context, ago int) error {
	n := 4 + w.IntN(7)
	began := time.Now().Add(-time.Duration(ago)*24*time.Hour - time.Duration(n)*45*time.Minute)
	for i := range n {
		w.clock.Set(began.Add(time.Duration(i*45+w.IntN(30)) * time.Minute))
		doctor, patient := one(w.dice, []string{"dr-ayu", "dr-ayu", "dr-bima"}), one(w.dice, w.patients).ID
		if w.IntN(8) == 0 {
			patient = w.unasked
		}
		if err := w.open(ctx, doctor, patient, ""); err != nil && !errors.Is(err, consent.ErrDenied) {
			return err
		}
	}
	switch ago {
	case 9, 1:
		return w.open(ctx, "dr-bima", w.unasked, "Unconscious on arrival; allergies needed before anaesthesia")
	case 8:
		return w.review(ctx)
	}
	return nil
}

func (w work) open(ctx context.Context, doctor, patient, justification string) error {
	u, err := w.c.User(ctx, doctor)
	if err != nil {
		return err
	}
	_, err = w.c.Chart(ctx, u, patient, clinic.Why{Justification: justification})
	return err
}

func (w work) review(ctx context.Context) error {
	all, err := w.c.Emergencies(ctx, w.officer)
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := w.c.Review(ctx, w.officer, e.Decisions, true, "Confirmed by the ward's book."); err != nil {
			return err
		}
	}
	return nil
}
