//go:build unix

package killtest

import (
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// The jobs that take budi's keys out of service, bring them back, or renew them.

func (c *clinic) custodian() string { return filepath.Join(c.dir, "custodian") }

func retain(ctx context.Context, _ *clinic, r *keyring.Ring) (string, error) {
	_, err := r.Retain(ctx, "budi", keyring.Retention{Until: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), Basis: "a law"})
	if errors.Is(err, keyring.ErrRetained) { // done before
		err = nil
	}
	return "retained", err
}

// verifyRetain brings budi back in a copy, which shows that no key was lost.
func verifyRetain(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
	_, err := r.Subject(t.Context(), "budi", compartments()...)
	if err == nil && done == "" {
		c.living(t, r, "budi")
		return ""
	}
	c.retained(t, r)
	return "retained"
}

// retained looks whether budi is, and whether the custodian can bring him back.
func (c *clinic) retained(t testing.TB, r *keyring.Ring) {
	t.Helper()
	for _, names := range [][]string{compartments(), compartments()[:1], compartments()[1:]} {
		if _, err := r.CreateSubject(t.Context(), "budi", names...); !errors.Is(err, keyring.ErrRetained) {
			t.Errorf("budi is retained, and: %v", err)
		}
	}
	other := c.copy(t)
	back, err := keyring.Open(t.Context(), other.config(t, func() {}))
	must(t, err)
	_, err = resume(t.Context(), other, back)
	must(t, err)
	other.living(t, back, "budi")
	must(t, back.Close())
}

func retainedBefore(t testing.TB, c *clinic, r *keyring.Ring) {
	_, err := retain(t.Context(), c, r)
	must(t, err)
}

func resume(ctx context.Context, c *clinic, r *keyring.Ring) (string, error) {
	key, err := keyring.OpenCustodianKey(c.custodian())
	if err != nil {
		return "", err
	}
	err = r.EndRetention(ctx, "budi", key)
	if errors.Is(err, keyring.ErrState) { // done before
		err = nil
	}
	return "back", err
}

func verifyResume(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
	if _, err := r.Subject(t.Context(), "budi", compartments()...); done == "" && err != nil {
		c.retained(t, r)
	} else {
		c.living(t, r, "budi")
	}
	return "back"
}

func shredRetained(ctx context.Context, _ *clinic, r *keyring.Ring) (string, error) {
	receipt, err := r.ShredRetained(ctx, "budi", "a court")
	return hex.EncodeToString(receipt.Hash[:]), err
}

func verifyShredRetained(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
	_, err := r.Subject(t.Context(), "budi", compartments()...)
	if done == "" && errors.Is(err, keyring.ErrRetained) {
		c.retained(t, r)
		return ""
	}
	c.erased(t, r, "budi")
	return done
}

func rekey(ctx context.Context, _ *clinic, r *keyring.Ring) (string, error) {
	err := r.Rekey(ctx, "budi")
	if errors.Is(err, keyring.ErrState) { // done before
		err = nil
	}
	return "renewed", err
}

func verifyRekey(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
	keys, err := r.Subject(t.Context(), "budi", compartments()...)
	must(t, err)
	for _, k := range keys {
		if g := k.Generation(); g != 2 && (g != 1 || done != "") {
			t.Errorf("generation %d, acknowledged %q", g, done)
		}
		c.opens(t, k, 1)
	}
	return "renewed"
}

// rekeyedBefore renews budi's keys, and remembers the new ones: in 2000 it was
// longer ago than the 60 seconds that the end of it takes.
func rekeyedBefore(t testing.TB, c *clinic, r *keyring.Ring) {
	must(t, r.Rekey(t.Context(), "budi"))
	keys, err := r.Subject(t.Context(), "budi", compartments()...)
	must(t, err)
	c.keys["budi"] = text(keys)
}

func endRekey(ctx context.Context, _ *clinic, r *keyring.Ring) (string, error) {
	err := r.EndRekey(ctx, "budi")
	if errors.Is(err, keyring.ErrState) { // done before
		err = nil
	}
	return "ended", err
}

func verifyEndRekey(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
	c.living(t, r, "budi")
	keys, err := r.Subject(t.Context(), "budi", compartments()...)
	must(t, err)
	for _, k := range keys {
		_, err := k.Record(1)
		if err != nil && !errors.Is(err, keyring.ErrUnknownGeneration) || err == nil && done != "" {
			t.Errorf("the older generation, acknowledged %q: %v", done, err)
		}
	}
	return "ended"
}

// opens looks whether a key of that generation opens what was sealed in prepare.
func (c *clinic) opens(t testing.TB, k *keyring.SubjectKey, generation uint32) {
	t.Helper()
	aead, err := k.Record(generation)
	must(t, err)
	if _, err := secret.OpenRandom(aead, nil, c.sealed[k.Compartment()], nil); err != nil {
		t.Errorf("what was sealed under generation %d does not open", generation)
	}
}
