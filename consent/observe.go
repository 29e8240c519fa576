package consent

import (
	"log/slog"
	"slices"
	"time"
)

// Observe is for a service whose patients have not been asked yet: until a day
// it opens what would be denied only because nobody was asked, and says so each
// time, in the audit log ([WouldDeny]) and aloud. The zero Observe observes
// nothing.
//
// It opens nothing of a patient of whom the [Ledger] knows anything, consent or
// refusal, withdrawn or not; nothing that a role, a key, an obligation of
// the purpose or an unknown code refuses; and it gives no [Table] to anybody.
type Observe struct {
	Until time.Time // at most 180 days ahead

	// Tell is called with what would have been denied, once it is released; nil
	// warns by slog.Default. It may be called from several goroutines.
	Tell func(*DeniedError)
}

// observeAtMost keeps a stopgap from becoming the rule.
const observeAtMost = 180 * 24 * time.Hour

func (o *Observe) check(now time.Time) error {
	if o.Until.After(now.Add(observeAtMost)) {
		return ErrPeriod
	}
	return nil
}

// lets reports whether d's request is let through, although dec denies it.
func (o *Observe) lets(d *decider, dec Decision) bool {
	return d.now.Before(o.Until) && dec.Reason == NoConsent && len(d.consents) == 0 && d.action != "export"
}

// observed tells of what was released although it would be denied.
func (r *Records[T]) observed(x *released) {
	if x.entry.Reason != WouldDeny {
		return
	}
	refusal := denied(x.entry)
	refusal.Reason = NoConsent
	if tell := r.cfg.Observe.Tell; tell != nil {
		tell(refusal)
		return
	}
	slog.Default().Warn("consent: observing: this will be denied", "action", refusal.Action, "type", refusal.Type,
		"purpose", string(refusal.Purpose), "decision", refusal.Decision, "until", r.cfg.Observe.Until)
}

// first is the reason of two that a review looks at first.
func first(a, b Reason) Reason {
	order := [...]Reason{Permitted, ByLaw, WouldDeny, InEmergency}
	if slices.Index(order[:], b) > slices.Index(order[:], a) {
		return b
	}
	return a
}
