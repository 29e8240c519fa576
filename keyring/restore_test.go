package keyring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// lostWorld is a ring whose KEKs are gone: its export, the KEK of that, and a
// configuration with new KEKs for the same store and journal.
type lostWorld struct {
	*world
	second *testKEK
	export []byte
	next   keyring.Config
	want   map[string][]string
}

func newLostWorld(t testing.TB) *lostWorld {
	w := &lostWorld{world: newWorld(t, "clinical", "identity", "lookup/patient/NIK"), second: newKEK()}
	w.want = people(t, w.ring, 4, "clinical", "identity")
	_, err := w.ring.Rotate(t.Context(), "clinical")
	require.NoError(t, err)
	_, err = w.ring.CreateSubject(t.Context(), alice, "clinical", "identity")
	require.NoError(t, err)
	_, err = w.ring.Shred(t.Context(), alice)
	require.NoError(t, err)
	w.export, err = w.ring.Export(t.Context(), w.second)
	require.NoError(t, err)
	w.renew()
	return w
}

// renew takes the KEKs away and configures new ones, two of them.
func (w *lostWorld) renew() {
	w.kek.fail.Store(&errDown)
	w.next = w.Config
	w.next.KEK, w.next.KEKs = newKEK(), map[string]keyring.KEK{"clinical": newKEK()}
}

func (w *lostWorld) restore(t testing.TB) error {
	return keyring.Restore(t.Context(), w.next, w.export, w.second)
}

// Restoring tells of each keyset that it moved, once it is over.
func TestRestoreEvents(t *testing.T) {
	w, h := newLostWorld(t), &hook{}
	w.next.Events = h.tell
	require.NoError(t, w.restore(t))
	requireLines(t, w.world, h.events)
	require.Equal(t, []string{"restore clinical", "restore identity", "restore lookup/patient/NIK", "restore ring"}, h.take())
	require.NoError(t, w.restore(t))
	require.Empty(t, h.take(), "nothing was moved")
}

// requireRestored checks that everything opens under the new KEKs alone.
func (w *lostWorld) requireRestored(t testing.TB) {
	t.Helper()
	r, err := keyring.Open(t.Context(), w.next)
	require.NoError(t, err)
	defer r.Close()
	for id, had := range w.want {
		keys, err := r.Subject(t.Context(), id, "clinical", "identity")
		require.NoError(t, err)
		require.Equal(t, had, tokens(t, keys))
	}
	_, err = r.Subject(t.Context(), alice, "clinical")
	requireError(t, err, keyring.ErrShredded)
	k, err := r.Keyset(t.Context(), "clinical")
	require.NoError(t, err)
	require.Equal(t, []uint32{2, 1}, k.Versions())
	_, err = r.Keyset(t.Context(), "lookup/patient/NIK")
	require.NoError(t, err)
}

func TestRestore(t *testing.T) {
	w := newLostWorld(t)
	old, err := w.ring.Keyset(t.Context(), "lookup/patient/NIK")
	require.NoError(t, err)
	had, err := old.Derive(1, "label")
	require.NoError(t, err)
	_, err = keyring.Open(t.Context(), w.next)
	requireError(t, err, keyring.ErrKEK)

	require.NoError(t, w.restore(t))
	w.requireRestored(t)
	r, err := keyring.Open(t.Context(), w.next)
	require.NoError(t, err)
	now, err := r.Keyset(t.Context(), "lookup/patient/NIK")
	require.NoError(t, err)
	has, err := now.Derive(1, "label")
	require.NoError(t, err)
	require.Equal(t, keyring.Exposed(had), keyring.Exposed(has))
	_, err = r.Rotate(t.Context(), "clinical")
	require.NoError(t, err, "the ring goes on")
	_, err = r.Shred(t.Context(), "patient-0")
	require.NoError(t, err)

	_, err = keyring.Open(t.Context(), w.Config)
	requireError(t, err, keyring.ErrKEK)
}

// Again it does nothing, even with the export that is older by now.
func TestRestoreAgain(t *testing.T) {
	w := newLostWorld(t)
	require.NoError(t, w.restore(t))
	head, err := w.Store.Head(t.Context())
	require.NoError(t, err)
	require.NoError(t, w.restore(t))
	again, err := w.Store.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, head, again)
	w.requireRestored(t)
}

func TestRestoreRefuses(t *testing.T) {
	ctx := t.Context()
	other := newLostWorld(t) // another ring of the same name
	foreign, err := keyring.Create(ctx, "hospital", keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: newKEK()})
	require.NoError(t, err)
	for what, c := range map[string]struct {
		change func(t *testing.T, w *lostWorld)
		want   error
		text   string
	}{
		"wrong second KEK": {func(_ *testing.T, w *lostWorld) { w.second = newKEK() }, keyring.ErrKEK, "by the export's KEK"},
		"second KEK down":  {func(_ *testing.T, w *lostWorld) { w.second.fail.Store(&errDown) }, keyring.ErrKEK, errDown.Error()},
		"new KEK down":     {func(_ *testing.T, w *lostWorld) { w.next.KEK.(*testKEK).fail.Store(&errDown) }, keyring.ErrKEK, "by the ring's own KEK"},
		"no new KEK":       {func(_ *testing.T, w *lostWorld) { w.next.KEK = nil }, keyring.ErrKEK, "has no KEK"},
		"another ring's": {func(t *testing.T, w *lostWorld) {
			w.export, err = foreign.Export(ctx, w.second)
			require.NoError(t, err)
		}, keyring.ErrCorrupt, "another ring"},
		"another ring's of that name": {func(_ *testing.T, w *lostWorld) { w.export, w.second = other.export, other.second }, keyring.ErrCorrupt, "MAC"},
		"no ring": {func(_ *testing.T, w *lostWorld) {
			w.next.Store = keyring.NewMemoryStore()
			w.next.Journal = keyring.NewMemoryJournal()
		}, keyring.ErrNoRing, ""},
		"lost store":    {func(_ *testing.T, w *lostWorld) { w.next.Store = keyring.NewMemoryStore() }, keyring.ErrRolledBack, ""},
		"lost journal":  {func(_ *testing.T, w *lostWorld) { w.next.Journal = keyring.NewMemoryJournal() }, keyring.ErrJournalLost, ""},
		"no journal":    {func(_ *testing.T, w *lostWorld) { w.next.Journal = nil }, keyring.ErrEmpty, ""},
		"lost keyset":   {func(_ *testing.T, w *lostWorld) { delete(keyring.ActiveKeysets(w.Store), "identity") }, keyring.ErrRolledBack, `"identity"`},
		"not an export": {func(_ *testing.T, w *lostWorld) { w.export = []byte("rahasia") }, keyring.ErrCorrupt, ""},
	} {
		t.Run(what, func(t *testing.T) {
			w := newLostWorld(t)
			c.change(t, w)
			before, text := keyring.Backup(w.Store), w.text(t)
			err := w.restore(t)
			requireError(t, err, c.want)
			require.ErrorContains(t, err, c.text)
			require.Equal(t, keyring.Rows(before), keyring.Rows(w.Store))
			require.Equal(t, keyring.ActiveKeysets(before), keyring.ActiveKeysets(w.Store))
			require.Equal(t, text, w.text(t))
		})
	}
	w := newLostWorld(t)
	requireError(t, keyring.Restore(ctx, w.next, w.export, nil), keyring.ErrKEK)
}

// An export older than the store may lack versions: refused, by name, before
// anything is changed; and so is one without a keyset.
func TestRestoreOlderExport(t *testing.T) {
	for what, c := range map[string]struct {
		since func(t *testing.T, r *keyring.Ring) error
		names string
	}{
		"rotated": {func(t *testing.T, r *keyring.Ring) error { _, err := r.Rotate(t.Context(), "identity"); return err }, `["identity"]`},
		"created": {func(t *testing.T, r *keyring.Ring) error { return r.CreateKeyset(t.Context(), "audit") }, `["audit"]`},
		"suspended": {func(t *testing.T, r *keyring.Ring) error {
			return r.SetState(t.Context(), "clinical", 1, keyring.Suspended)
		}, `["clinical"]`},
		"all, moved": {func(t *testing.T, r *keyring.Ring) error {
			_, err := r.Rewrap(t.Context(), keyring.Rewrapping{KEK: newKEK()})
			return err
		}, `["clinical" "identity" "lookup/patient/NIK" "ring"]`},
	} {
		t.Run(what, func(t *testing.T) {
			w := newLostWorld(t)
			w.kek.fail.Store(nil)
			require.NoError(t, c.since(t, w.ring))
			w.renew()
			before, text := keyring.Backup(w.Store), w.text(t)
			err := w.restore(t)
			requireError(t, err, keyring.ErrRolledBack)
			require.ErrorContains(t, err, c.names)
			require.Equal(t, keyring.ActiveKeysets(before), keyring.ActiveKeysets(w.Store))
			require.Equal(t, text, w.text(t))
		})
	}
}

// Two histories of a ring that count alike are told apart: the version 3 of one
// is not that of the other.
func TestRestoreAttackForkedHistory(t *testing.T) {
	w := newLostWorld(t)
	w.kek.fail.Store(nil)
	backup, text := keyring.Backup(w.Store), w.text(t)
	_, err := w.ring.Rotate(t.Context(), "clinical")
	require.NoError(t, err)
	w.export, err = w.ring.Export(t.Context(), w.second)
	require.NoError(t, err)
	keyring.PutBack(w.Store, backup)
	w.rewrite(t, text)
	r := w.open(t)
	_, err = r.Rotate(t.Context(), "clinical")
	require.NoError(t, err)
	w.renew()
	err = w.restore(t)
	requireError(t, err, keyring.ErrRolledBack)
	require.ErrorContains(t, err, `["clinical"]`)
}

// A store restored from an older backup is brought level first, and the
// erasures since are done again.
func TestRestoreOlderStore(t *testing.T) {
	w := newLostWorld(t)
	w.kek.fail.Store(nil)
	backup := keyring.Backup(w.Store)
	for _, id := range []string{"patient-1", "patient-2"} {
		_, err := w.ring.Shred(t.Context(), id)
		require.NoError(t, err)
		delete(w.want, id)
	}
	var err error
	w.export, err = w.ring.Export(t.Context(), w.second)
	require.NoError(t, err)
	keyring.PutBack(w.Store, backup)
	w.renew()
	require.NoError(t, w.restore(t))
	w.requireRestored(t)
	r, err := keyring.Open(t.Context(), w.next)
	require.NoError(t, err)
	for _, id := range []string{"patient-1", "patient-2"} {
		_, err = r.Subject(t.Context(), id, "clinical")
		requireError(t, err, keyring.ErrShredded)
	}
}

// One from before a rotation lacks that revision, whatever the export has: as
// Replay says, a newer backup is wanted. The erasures are done all the same.
func TestRestoreStoreBeforeARotation(t *testing.T) {
	w := newLostWorld(t)
	w.kek.fail.Store(nil)
	backup := keyring.Backup(w.Store)
	_, err := w.ring.Rotate(t.Context(), "identity")
	require.NoError(t, err)
	_, err = w.ring.Shred(t.Context(), "patient-1")
	require.NoError(t, err)
	tag := w.ring.TagOf("clinical", "patient-1")
	w.export, err = w.ring.Export(t.Context(), w.second)
	require.NoError(t, err)
	keyring.PutBack(w.Store, backup)
	w.renew()
	err = w.restore(t)
	requireError(t, err, keyring.ErrRolledBack)
	require.ErrorContains(t, err, `["identity"]`)
	require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[tag].State)
}

// Every field of an export is bound: changed, it does not open.
func TestRestoreAttackTamperedExport(t *testing.T) {
	w := newLostWorld(t)
	type keyset = map[string]any
	parsed := func() (whole map[string]any, keysets []keyset) {
		require.NoError(t, json.Unmarshal(w.export, &whole))
		for _, k := range whole["keysets"].([]any) {
			keysets = append(keysets, k.(keyset))
		}
		return whole, keysets
	}
	_, all := parsed()
	require.Len(t, all, 4)
	for i, have := range all {
		for field, value := range map[string]string{
			"name":     `"another"`,
			"revision": fmt.Sprint(have["revision"].(float64) + 1),
			"digest":   fmt.Sprintf("%q", all[(i+1)%4]["digest"]),
			"wrapped":  fmt.Sprintf("%q", all[(i+1)%4]["wrapped"]),
		} {
			t.Run(fmt.Sprint(have["name"], " ", field), func(t *testing.T) {
				was, err := json.Marshal(have[field])
				require.NoError(t, err)
				at := bytes.Index(w.export, fmt.Appendf(nil, `"name":%q`, have["name"]))
				changed := append(bytes.Clone(w.export[:at]), bytes.Replace(w.export[at:], fmt.Appendf(nil, "%q:%s", field, was), fmt.Appendf(nil, "%q:%s", field, value), 1)...)
				require.NotEqual(t, w.export, changed)
				before := keyring.ActiveKeysets(keyring.Backup(w.Store))
				err = keyring.Restore(t.Context(), w.next, changed, w.second)
				require.Error(t, err)
				require.True(t, errors.Is(err, keyring.ErrKEK) || errors.Is(err, keyring.ErrCorrupt) || errors.Is(err, keyring.ErrRolledBack), err)
				require.Equal(t, before, keyring.ActiveKeysets(w.Store))
			})
		}
	}
	for what, change := range map[string]func(string) string{
		"format":         func(s string) string { return strings.Replace(s, "ring-export/v1", "ring-export/v2", 1) },
		"ring":           func(s string) string { return strings.Replace(s, `"clinic"`, `"clinik"`, 1) },
		"malformed ring": func(s string) string { return strings.Replace(s, `"clinic"`, `"clin ic"`, 1) },
		"unknown member": func(s string) string { return strings.Replace(s, `"ring"`, `"more":1,"ring"`, 1) },
		"space":          func(s string) string { return strings.Replace(s, `,"ring"`, `, "ring"`, 1) },
		"case":           func(s string) string { return strings.Replace(s, `"ring":`, `"Ring":`, 1) },
		"no newline":     func(s string) string { return strings.TrimSuffix(s, "\n") },
		"two of them":    func(s string) string { return s + s },
		"cut":            func(s string) string { return s[:len(s)/2] },
		"revision 0":     func(s string) string { return strings.Replace(s, `"revision":1`, `"revision":0`, 1) },
		"order": func(s string) string {
			a, b := strings.Index(s, `{"name":"clinical"`), strings.Index(s, `,{"name":"identity"`)
			c := strings.Index(s, `,{"name":"lookup`)
			return s[:a] + s[b+1:c] + "," + s[a:b] + s[c:]
		},
		"one twice": func(s string) string {
			a, b := strings.Index(s, `{"name":"clinical"`), strings.Index(s, `,{"name":"identity"`)
			return s[:b+1] + s[a:b] + s[b:]
		},
		"no control":       func(s string) string { return strings.Replace(s, `"name":"ring"`, `"name":"rinh"`, 1) },
		"short digest":     func(s string) string { return strings.Replace(s, `"digest":"`, `"digest":"","x":"`, 1) },
		"no keysets":       func(s string) string { return s[:strings.Index(s, "[")] + "[]}\n" },
		"keysets are null": func(s string) string { return s[:strings.Index(s, "[")] + "null}\n" },
	} {
		t.Run(what, func(t *testing.T) {
			changed := change(string(w.export))
			require.NotEqual(t, string(w.export), changed)
			err := keyring.Restore(t.Context(), w.next, []byte(changed), w.second)
			requireError(t, err, keyring.ErrCorrupt)
		})
	}
	require.NoError(t, w.restore(t))
	w.requireRestored(t)
}

// The keys of an older export under the name, revision and digest of a newer one
// do not open: a version would be lost.
func TestRestoreAttackOldKeysInANewExport(t *testing.T) {
	w := newLostWorld(t)
	wrapped := func(export []byte) []byte {
		_, rest, _ := bytes.Cut(export, []byte(`"wrapped":"`))
		first, _, _ := bytes.Cut(rest, []byte(`"`))
		return first // of "clinical"
	}
	older := wrapped(w.export)
	w.kek.fail.Store(nil)
	_, err := w.ring.Rotate(t.Context(), "clinical")
	require.NoError(t, err)
	newer, err := w.ring.Export(t.Context(), w.second)
	require.NoError(t, err)
	w.renew()
	w.export = bytes.Replace(newer, wrapped(newer), older, 1)
	require.NotEqual(t, newer, w.export)
	requireError(t, w.restore(t), keyring.ErrKEK)
	w.export = newer
	require.NoError(t, w.restore(t))
}

// faultyJournal fails at one append, or at its sync, with or without doing it.
type faultyJournal struct {
	*journal.Memory
	calls, at int
	after     bool
}

func (m *faultyJournal) Append(b []byte) error {
	if m.calls++; m.calls == m.at {
		if m.after {
			_ = m.Memory.Append(b)
		}
		return errStore
	}
	return m.Memory.Append(b)
}

// Failed at any call of the store or the journal, done or not, it is called
// again and finishes.
func TestRestoreFault(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, behind := range []bool{false, true} {
			for at := int32(1); ; at++ {
				w := newLostWorld(t)
				if behind { // the store lacks an erasure
					w.kek.fail.Store(nil)
					backup := keyring.Backup(w.Store)
					_, err := w.ring.Shred(t.Context(), "patient-1")
					require.NoError(t, err)
					delete(w.want, "patient-1")
					keyring.PutBack(w.Store, backup)
					w.renew()
				}
				cfg := w.next
				store := &faultyStore{Store: w.Store, after: after, once: true, at: at}
				cfg.Store = store
				err := keyring.Restore(t.Context(), cfg, w.export, w.second)
				if store.calls.Load() < at {
					require.NoError(t, err)
					require.Greater(t, at, int32(15), "every call was tried")
					break
				}
				requireError(t, err, errStore)
				require.NoError(t, w.restore(t))
				w.requireRestored(t)
			}
		}
		for at := 1; at <= 4; at++ {
			w := newLostWorld(t)
			m := &faultyJournal{Memory: w.medium, at: at, after: after}
			cfg := w.next
			cfg.Journal = keyring.NewJournal(m)
			requireError(t, keyring.Restore(t.Context(), cfg, w.export, w.second), errStore)
			require.NoError(t, w.restore(t))
			w.requireRestored(t)
		}
	}
}

// A KEK that fails at any call leaves some moved and others not.
func TestRestoreFaultKEK(t *testing.T) {
	for at := int32(1); ; at++ {
		w := newLostWorld(t)
		good := w.next.KEK.(*testKEK)
		cfg := w.next
		n := int32(0)
		cfg.KEK = kekFunc{good, func() error {
			if n++; n == at {
				return errDown
			}
			return nil
		}}
		err := keyring.Restore(t.Context(), cfg, w.export, w.second)
		if n < at {
			require.NoError(t, err)
			break
		}
		if err != nil { // a probe that is to fail may fail
			requireError(t, err, keyring.ErrKEK)
			require.NoError(t, w.restore(t))
		}
		w.requireRestored(t)
	}
}

// kekFunc fails when fail says so.
type kekFunc struct {
	keyring.KEK
	fail func() error
}

func (k kekFunc) Wrap(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	if err := k.fail(); err != nil {
		return nil, err
	}
	return k.KEK.Wrap(ctx, plaintext, ad)
}

func (k kekFunc) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	if err := k.fail(); err != nil {
		return nil, err
	}
	return k.KEK.Unwrap(ctx, wrapped, ad)
}

func TestRestoreExport(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "clinical", "research/ui-2026")
	second := newKEK()
	_, err := w.ring.Only("clinical", "research/ui-2026").Export(ctx, second)
	requireError(t, err, keyring.ErrNotGranted)
	_, err = w.ring.Export(ctx, nil)
	requireError(t, err, keyring.ErrKEK)
	second.fail.Store(&errDown)
	_, err = w.ring.Export(ctx, second)
	requireError(t, err, keyring.ErrKEK)
	require.ErrorContains(t, err, "by the export's KEK")
	second.fail.Store(nil)
	w.kek.fail.Store(&errDown)
	_, err = w.ring.Export(ctx, second)
	requireError(t, err, keyring.ErrKEK)
	require.ErrorContains(t, err, "by the ring's own KEK")
	w.kek.fail.Store(nil)
	seen := &count{}
	w.Metrics = seen
	calls := w.kek.opens.Load()
	b, err := w.open(t).Export(ctx, second)
	require.NoError(t, err)
	require.Equal(t, calls+4, w.kek.opens.Load(), "one a keyset, and one to open the ring")
	require.Equal(t, int64(4+3*3), seen.n["kek.calls"])
	require.True(t, bytes.HasPrefix(b, []byte(`{"format":"rahasia/ring-export/v1","ring":"clinic","keysets":[{"name":"clinical","revision":1,"digest":"`)))
	require.NoError(t, w.ring.Close())
	_, err = w.ring.Export(ctx, second)
	requireError(t, err, keyring.ErrClosed)
}

// No part of a key shows in an export, or in an error of a restoration.
func TestLeakRestore(t *testing.T) {
	ctx := t.Context()
	var secrets [][]byte
	spy := func() keyring.KEK {
		return &spyKEK{newKEK(), func(p []byte) { secrets = append(secrets, keyring.KeysetSecrets(p)...) }}
	}
	w := newWorld(t, "clinical")
	second := spy()
	b, err := w.ring.Export(ctx, second)
	require.NoError(t, err)
	w.KEK = spy()
	texts := []string{string(b)}
	for _, export := range [][]byte{b[:len(b)-2], bytes.Replace(b, []byte(`"revision":1`), []byte(`"revision":2`), 1)} {
		texts = append(texts, keyring.Restore(ctx, w.Config, export, second).Error())
	}
	require.NoError(t, keyring.Restore(ctx, w.Config, b, second))
	require.Len(t, secrets, 8)
	for _, s := range secrets {
		for _, bad := range spellings(s) {
			for _, text := range texts {
				require.NotContains(t, text, bad)
			}
		}
	}
}

// What parses as an export is written as it was, and errors quote nothing of it.
func FuzzRestoreExport(f *testing.F) {
	w := newWorld(f, "clinical")
	b, err := w.ring.Export(f.Context(), newKEK())
	require.NoError(f, err)
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add([]byte(`{"format":"rahasia/ring-export/v1","ring":"a","keysets":null}` + "\n"))
	f.Add([]byte(`{"format":"rahasia/ring-export/v1","ring":"a","keysets":[{"name":"ring","revision":1,"digest":"","wrapped":null}]}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := keyring.ReformatExport(b)
		if err != nil {
			requireError(t, err, keyring.ErrCorrupt)
			if len(b) > 8 && strings.Contains(err.Error(), string(b)) {
				t.Fatal("the error quotes the input")
			}
			return
		}
		if !bytes.Equal(again, b) {
			t.Fatal("what parses is written otherwise")
		}
	})
}
