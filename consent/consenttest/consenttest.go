// Package consenttest is for tests of programs that use package consent: a
// configuration in memory with a clock that the test sets, and two questions
// that every such program should ask itself: was it audited, and is there
// plaintext anywhere.
package consenttest

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/keyring"
)

// New returns a configuration that lies in memory and dies with the test, and its
// clock, which stands at 5 January 2026, 09:00 in Jakarta. Like [consent.OpenDir]'s it
// makes the keysets that a type needs.
func New(t testing.TB) (*consent.Config, *Clock) {
	t.Helper()
	clock := &Clock{now: time.Date(2026, 1, 5, 9, 0, 0, 0, time.FixedZone("WIB", 7*60*60))}
	cfg, err := open(filepath.Join(t.TempDir(), "key"), clock)
	if err != nil {
		t.Fatalf("consenttest: %v", err)
	}
	t.Cleanup(func() { _ = cfg.Ring.Close() })
	return cfg, clock
}

func open(keyFile string, clock *Clock) (*consent.Config, error) {
	ctx := context.Background()
	kek, err := keyring.CreateKeyFile(keyFile)
	if err != nil {
		return nil, err
	}
	ring, err := keyring.Create(ctx, "test", keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek})
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"audit", "consent/ledger", "consent/log"} {
		if err := ring.CreateKeyset(ctx, name); err != nil {
			return nil, err
		}
	}
	cfg := &consent.Config{Ring: ring, Provision: true, Now: clock.Now}
	if cfg.Ledger, err = consent.OpenLedger(ctx, ring, nil); err != nil {
		return nil, err
	}
	cfg.Log, err = consent.OpenLog(ctx, ring, nil)
	return cfg, err
}

// Clock is a clock that stands still until it is told. It is safe for
// concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is what the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d, backwards where d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// RequireAudited fails the test unless the audit log is whole and has an entry
// about the patient in which every field that is set in want is the same, and
// returns the newest such entry. Lookups name no patient and are not found.
func RequireAudited(t testing.TB, cfg *consent.Config, subject string, want consent.Entry) consent.Entry {
	t.Helper()
	ctx := context.Background()
	if _, err := cfg.Log.Verify(ctx); err != nil {
		t.Fatalf("consenttest: %v", err)
	}
	history, err := cfg.Log.History(ctx, subject)
	if err != nil {
		t.Fatalf("consenttest: %v", err)
	}
	for i := len(history) - 1; i >= 0; i-- {
		if like(history[i], want) {
			return history[i]
		}
	}
	t.Fatalf("consenttest: no audit entry has%s; the patient's are:%s", text(want), texts(history))
	return consent.Entry{}
}

// like reports whether got is as want in every field that is set there.
func like(got, want consent.Entry) bool {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range w.NumField() {
		f := w.Field(i)
		if at, is := f.Interface().(time.Time); is && !at.IsZero() {
			if !at.Equal(g.Field(i).Interface().(time.Time)) {
				return false
			}
			continue
		}
		if !f.IsZero() && !reflect.DeepEqual(f.Interface(), g.Field(i).Interface()) {
			return false
		}
	}
	return true
}

func texts(all []consent.Entry) string {
	var b strings.Builder
	for _, e := range all {
		b.WriteString("\n\t" + text(e))
	}
	return b.String()
}

// text says what is set in an entry.
func text(e consent.Entry) string {
	var b strings.Builder
	v := reflect.ValueOf(e)
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			fmt.Fprintf(&b, " %s=%v", v.Type().Field(i).Name, f.Interface())
		}
	}
	return b.String()
}
