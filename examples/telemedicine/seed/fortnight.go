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

// Work gives a seeded clinic, which was opened with the clock, two weeks of work:
// doctors opened charts, were refused some, and twice there was an emergency, of
// which one awaits its review. It lets the clock go.
func Work(ctx context.Context, c *clinic.Clinic, clock *Clock, progress func(what string, done, total int)) error {
	defer clock.Go()
	d := dice{rand.New(rand.NewPCG(2026, 12))}
	officer, err := c.User(ctx, "dpo-dewi")
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	patients, err := c.ToShow(ctx, officer, 200)
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	for day := fortnight - 1; day >= 0; day-- {
		if err := d.day(ctx, c, clock, patients, day); err != nil {
			return fmt.Errorf("seed: %w", err)
		}
		progress("work", fortnight-day, fortnight)
	}
	return nil
}

// day is one day's work, so many days ago.
func (d dice) day(ctx context.Context, c *clinic.Clinic, clock *Clock, patients []clinic.Shown, ago int) error {
	n := 4 + d.IntN(7)
	at := time.Now().Add(-time.Duration(ago)*24*time.Hour - time.Duration(n)*45*time.Minute)
	for i := range n {
		clock.Set(at.Add(time.Duration(i*45+d.IntN(30)) * time.Minute))
		doctor, err := c.User(ctx, one(d, []string{"dr-ayu", "dr-ayu", "dr-bima"}))
		if err != nil {
			return err
		}
		if _, err = c.Chart(ctx, doctor, one(d, patients).ID, clinic.Why{}); err != nil && !errors.Is(err, consent.ErrDenied) {
			return err
		}
	}
	switch ago {
	case 9, 1:
		return emergency(ctx, c, patients)
	case 8:
		return review(ctx, c)
	}
	return nil
}

// emergency opens the chart of the first patient whom a doctor may not open
// otherwise.
func emergency(ctx context.Context, c *clinic.Clinic, patients []clinic.Shown) error {
	doctor, err := c.User(ctx, "dr-bima")
	if err != nil {
		return err
	}
	for _, p := range patients {
		_, err := c.Chart(ctx, doctor, p.ID, clinic.Why{})
		if errors.Is(err, consent.ErrDenied) {
			_, err = c.Chart(ctx, doctor, p.ID, clinic.Why{Justification: "Unconscious on arrival; allergies needed before anaesthesia"})
			return err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func review(ctx context.Context, c *clinic.Clinic) error {
	officer, err := c.User(ctx, "dpo-dewi")
	if err != nil {
		return err
	}
	all, err := c.Emergencies(ctx, officer)
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := c.Review(ctx, officer, e.Decisions, true, "Confirmed by the ward's book."); err != nil {
			return err
		}
	}
	return nil
}
