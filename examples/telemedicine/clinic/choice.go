package clinic

import (
	"context"
	"errors"
	"slices"

	"github.com/rahasia/rahasia/consent"
)

// Choice is something that a patient may allow. Its words, in two languages, are
// the pages'.
type Choice struct {
	Key string `json:"key"`
	// Needs is the choice without which this one is not asked. A permit that names a
	// label reaches what has no label too: so whoever allows HIV results for
	// treatment has allowed treatment, and whoever ends that ends both.
	Needs string `json:"needs,omitempty"`

	purpose consent.Purpose
	labels  []consent.Label
}

// Choices are all that a patient is asked, in the order of the pages.
func Choices() []Choice {
	return []Choice{
		{Key: "treatment", purpose: consent.Treatment},
		{Key: "hiv", Needs: "treatment", purpose: consent.Treatment, labels: []consent.Label{"HIV"}},
		{Key: "counselling", Needs: "treatment", purpose: consent.Treatment, labels: []consent.Label{"PSY"}},
		{Key: "research", purpose: consent.Research},
		{Key: "showcase", purpose: consent.Operations},
	}
}

func choiceOf(key string) (Choice, bool) {
	all := Choices()
	i := slices.IndexFunc(all, func(c Choice) bool { return c.Key == key })
	if i < 0 {
		return Choice{}, false
	}
	return all[i], true
}

// canChoose reports whether there is such a choice, and what it needs is among
// those that are made with it.
func canChoose(key string, with []string) bool {
	choice, ok := choiceOf(key)
	return ok && (choice.Needs == "" || slices.Contains(with, choice.Needs))
}

// canChooseAll reports whether choices can be made together.
func canChooseAll(keys []string) bool {
	return len(keys) <= len(Choices()) && !slices.ContainsFunc(keys, func(key string) bool { return !canChoose(key, keys) })
}

// allow records that a patient allows what a choice says. The consent's id is the
// choice's key, "@", and what tells this time from another: so the ledger says
// which choice a consent is, and one that comes twice is recorded once.
func (c *Clinic) allow(ctx context.Context, patient, key, occasion, by string) error {
	ch, ok := choiceOf(key)
	if !ok {
		return ErrInput
	}
	_, err := c.cfg.Give(ctx, consent.Consent{
		ID: key + "@" + occasion, Subject: patient, Recorder: by, Purposes: []consent.Purpose{ch.purpose}, Sensitivity: ch.labels,
	})
	if errors.Is(err, consent.ErrExists) {
		return nil
	}
	return err
}
