//go:build unix

package killtest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/rahasia/rahasia/keyring"
)

// job is what a process is doing when it is killed, in a ring where alice and
// budi live and carol was erased.
type job struct {
	name string
	// prepare, if it is not nil, goes beyond that ring. It runs in the year 2000.
	prepare func(t testing.TB, c *clinic, r *keyring.Ring)
	// do does the job, or finds it done, and returns what it came to, as text
	// that is not empty.
	do func(ctx context.Context, c *clinic, r *keyring.Ring) (string, error)
	// verify looks at the reopened ring. done is what do returned, which then
	// must hold, or empty if nobody was told so, and the job may be done or not
	// but no half of it. It returns what doing it again must come to; empty is
	// anything. That alice lives and carol is erased is looked at before.
	verify func(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string)
}

func jobs() []job {
	return []job{
		{"create", nil, create, verifyCreate},
		{"rotate", nil, rotate, verifyRotate},
		{"shred", nil, shred, verifyShred},
		{"rewrap", rotated, rewrap, verifyRewrap},
		{"rewrap-kek", nil, rewrapKEK, verifyRewrapKEK},
		{"setstate", moved, func(ctx context.Context, _ *clinic, r *keyring.Ring) (string, error) {
			return setState(ctx, r, keyring.Suspended)
		}, verifyState(keyring.Deactivated, keyring.Suspended)},
		{"destroy", suspended, func(ctx context.Context, _ *clinic, r *keyring.Ring) (string, error) {
			return setState(ctx, r, keyring.Destroyed)
		}, verifyState(keyring.Suspended, keyring.Destroyed)},
		{"retain", nil, retain, verifyRetain},
		{"end-retention", retainedBefore, resume, verifyResume},
		{"shred-retained", retainedBefore, shredRetained, verifyShredRetained},
		{"rekey", nil, rekey, verifyRekey},
		{"end-rekey", rekeyedBefore, endRekey, verifyEndRekey},
	}
}

func create(ctx context.Context, _ *clinic, r *keyring.Ring) (string, error) {
	keys, err := r.CreateSubject(ctx, "dewi", compartments()...)
	return text(keys), err
}

func verifyCreate(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
	c.living(t, r, "budi")
	keys, err := r.Subject(t.Context(), "dewi", compartments()...)
	if err == nil {
		if done != "" && text(keys) != done {
			t.Error("another key than the one created")
		}
		return text(keys)
	}
	if !errors.Is(err, keyring.ErrNoSubjectKey) || done != "" {
		t.Errorf("a created subject: %v", err)
	}
	for _, name := range compartments() { // all or nothing: not a key in one compartment alone
		if _, err := r.Subject(t.Context(), "dewi", name); !errors.Is(err, keyring.ErrNoSubjectKey) {
			t.Errorf("half of a subject was created: %v", err)
		}
	}
	return ""
}

func rotate(ctx context.Context, _ *clinic, r *keyring.Ring) (string, error) {
	version, err := r.Rotate(ctx, "clinical")
	return fmt.Sprint(version), err
}

func verifyRotate(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
	c.living(t, r, "budi")
	ks, err := r.Keyset(t.Context(), "clinical")
	must(t, err)
	if p := ks.Primary(); p < 1 || p > 3 || done != "" && fmt.Sprint(p) != done {
		t.Errorf("primary is %d, acknowledged %q", p, done)
	}
	return ""
}

func shred(ctx context.Context, _ *clinic, r *keyring.Ring) (string, error) {
	receipt, err := r.Shred(ctx, "budi")
	return hex.EncodeToString(receipt.Hash[:]), err
}

func verifyShred(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
	if _, err := r.Subject(t.Context(), "budi", compartments()[0]); done == "" && err == nil {
		c.living(t, r, "budi")
	} else {
		c.erased(t, r, "budi")
	}
	return done
}

// rotated leaves every subject key under the old one of two versions.
func rotated(t testing.TB, _ *clinic, r *keyring.Ring) {
	for _, name := range compartments() {
		_, err := r.Rotate(t.Context(), name)
		must(t, err)
	}
}

func rewrap(ctx context.Context, _ *clinic, r *keyring.Ring) (string, error) {
	return "moved", rewrapAll(ctx, r, keyring.Rewrapping{})
}

func rewrapAll(ctx context.Context, r *keyring.Ring, what keyring.Rewrapping) error {
	report, err := r.Rewrap(ctx, what)
	if err == nil && report.Left+report.Failed > 0 {
		err = fmt.Errorf("killtest: rewrap left %d and failed at %d", report.Left, report.Failed)
	}
	return err
}

func verifyRewrap(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
	c.living(t, r, "budi")
	for _, subject := range []string{"alice", "budi"} {
		keys, err := r.Subject(t.Context(), subject, compartments()...)
		must(t, err)
		for _, k := range keys {
			if v := k.Version(); v != 2 && (v != 1 || done != "") {
				t.Errorf("a key under version %d, acknowledged %q", v, done)
			}
		}
	}
	return "moved"
}

func rewrapKEK(ctx context.Context, c *clinic, r *keyring.Ring) (string, error) {
	next, err := keyring.OpenKeyFile(c.nextKey())
	if err != nil {
		return "", err
	}
	return "moved", rewrapAll(ctx, r, keyring.Rewrapping{KEK: next})
}

func verifyRewrapKEK(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
	c.living(t, r, "budi")
	if done != "" { // the old KEK is no longer needed
		cfg := c.config(t, func() {})
		next, err := keyring.OpenKeyFile(c.nextKey())
		must(t, err)
		cfg.KEK = next
		alone, err := keyring.Open(t.Context(), cfg)
		must(t, err)
		c.living(t, alone, "alice")
		must(t, alone.Close())
	}
	return "moved"
}

// moved leaves every subject key under the new one of two versions.
func moved(t testing.TB, c *clinic, r *keyring.Ring) {
	rotated(t, c, r)
	must(t, rewrapAll(t.Context(), r, keyring.Rewrapping{}))
}

// suspended leaves the old version so that it can be destroyed: in 2000 it has
// been suspended for longer than the 60 seconds that takes.
func suspended(t testing.TB, c *clinic, r *keyring.Ring) {
	moved(t, c, r)
	must(t, r.SetState(t.Context(), "clinical", 1, keyring.Suspended))
}

func setState(ctx context.Context, r *keyring.Ring, to keyring.State) (string, error) {
	ks, err := r.Keyset(ctx, "clinical")
	if err == nil && ks.States()[1] != to {
		err = r.SetState(ctx, "clinical", 1, to)
	}
	return to.String(), err
}

func verifyState(before, after keyring.State) func(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
	return func(t testing.TB, c *clinic, r *keyring.Ring, done string) (again string) {
		c.living(t, r, "budi")
		ks, err := r.Keyset(t.Context(), "clinical")
		must(t, err)
		if now := ks.States()[1]; now != after && (now != before || done != "") {
			t.Errorf("version 1 is %v, acknowledged %q", now, done)
		}
		return after.String()
	}
}
