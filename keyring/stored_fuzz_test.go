package keyring

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// fixedKEK is AES-256-GCM under a fixed key and nonce, so that what is stored
// is the same in every run.
type fixedKEK struct{}

func (fixedKEK) aead() cipher.AEAD {
	block, _ := aes.NewCipher(make([]byte, 32))
	a, _ := cipher.NewGCM(block)
	return a
}

func (k fixedKEK) Wrap(_ context.Context, p, ad []byte) ([]byte, error) {
	return k.aead().Seal(nil, make([]byte, 12), p, ad), nil
}

func (k fixedKEK) Unwrap(_ context.Context, w, ad []byte) ([]byte, error) {
	return k.aead().Open(nil, make([]byte, 12), w, ad)
}

// stored is all that a ring stores, from the keys of the vector: a living
// subject, the vector's, and an erased one.
type stored struct {
	store      Store
	text       []byte // of the journal
	head       Head
	set        KeysetRecord // of the compartment
	live, dead KeyRecord
	key        []byte // the living subject's
	secrets    [][]byte
}

const erasedSubject = "patient-0002"

func newStored(t testing.TB) *stored {
	b, err := os.ReadFile("testdata/vectors/keyring_v1.json")
	require.NoError(t, err)
	var v map[string]string
	require.NoError(t, json.Unmarshal(b, &v))
	get := func(name string) []byte {
		b, err := hex.DecodeString(v[name])
		require.NoError(t, err)
		return b
	}
	keyset := func(name, field string) KeysetRecord {
		wrapped, _ := fixedKEK{}.Wrap(t.Context(), get(field), keysetAD(vectorRing, name))
		return KeysetRecord{Name: name, Revision: 1, Wrapped: wrapped, Digest: keysetDigest(vectorRing, name, 1, wrapped)}
	}
	controlRec := keyset(controlKeyset, "control_keyset")
	controlSet, _, err := parseKeyset(controlKeyset, [32]byte{}, get("control_keyset"))
	require.NoError(t, err)
	ctl, err := newControl(vectorRing, controlSet)
	require.NoError(t, err)

	s := &stored{store: NewMemoryStore(), set: keyset(vectorCompartment, "compartment_keyset"), key: get("subject_key")}
	s.secrets = [][]byte{s.key, get("record_key"), get("wrap_key"), get("compartment_key"), get("control_key")}
	s.live = KeyRecord{
		Tag: Tag(get("subject_tag")), Compartment: vectorCompartment, Generation: 1, Version: 1, State: Active,
		Wrapped: get("wrapped"), Commitment: [32]byte(get("commitment")),
	}
	tag, erasure := ctl.subjectTag(vectorCompartment, erasedSubject), ctl.erasureTag(erasedSubject)
	s.dead = ctl.buryRow(vectorCompartment, tag, erasure)
	for i, e := range []*journal.Entry{
		{Kind: journal.Create, Ring: vectorRing, Keyset: markOf(controlRec)},
		{Kind: journal.Keyset, Keyset: markOf(s.set)},
		{Kind: journal.Shred, Erasure: erasure, Wipes: []journal.Wipe{{Compartment: vectorCompartment, Tag: tag, Had: true}}},
	} {
		e.Seq, e.Prev, e.At = uint64(i+1), s.head.Hash, time.Unix(1700000000, 0)
		line := e.Line(ctl.journal)
		s.head = Head{Ring: vectorRing, Seq: e.Seq, Hash: sha256.Sum256(line)}
		s.text = append(append(s.text, line...), '\n')
	}
	SetHead(s.store, s.head)
	ActiveKeysets(s.store)[controlKeyset], ActiveKeysets(s.store)[vectorCompartment] = controlRec, s.set
	Rows(s.store)[s.live.Tag], Rows(s.store)[s.dead.Tag] = s.live, s.dead
	return s
}

// config has a journal of that text and a copy of the store.
func (s *stored) config(text []byte) Config {
	m := &journal.Memory{}
	_ = m.Append(text)
	return Config{Store: Backup(s.store), Journal: NewJournal(m), KEK: fixedKEK{}}
}

// refusal fails unless err is one of those that are promised, and tells nothing
// of the input nor of a key.
func (s *stored) refusal(t *testing.T, err error, input [][]byte, promised ...error) {
	t.Helper()
	known := false
	for _, p := range promised {
		known = known || errors.Is(err, p)
	}
	if !known || !strings.HasPrefix(err.Error(), "keyring: ") {
		t.Fatalf("an error that was not promised: %v", err)
	}
	for _, b := range append(input, s.secrets...) {
		for i := 0; i+8 <= len(b); i++ {
			w := b[i : i+8]
			if shows(err, string(w)) || shows(err, hex.EncodeToString(w)) {
				t.Fatalf("the error shows what was stored: %v", err)
			}
		}
	}
}

var quoted = regexp.MustCompile(`"[^"]*"`)

// shows reports whether err holds text, in other places than where a
// compartment is named, and that is not of its own words.
func shows(err error, text string) bool {
	const ours = "keyring: journal: the entry after 0 1 2 3 4: record changed or damaged"
	said := quoted.ReplaceAllStringFunc(err.Error(), func(q string) string {
		if isCompartment(strings.Trim(q, `"`)) {
			return ""
		}
		return q
	})
	return strings.Contains(said, text) && !strings.Contains(ours, text)
}

// requireLiving checks that the living subject's key is the one it was.
func (s *stored) requireLiving(t *testing.T, r *Ring) {
	t.Helper()
	keys, err := r.Subject(t.Context(), vectorSubject, vectorCompartment)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(secret.Expose(keys[0].key), s.key) {
		t.Fatal("another key")
	}
}

// requireErased checks that the erased subject gets no key.
func (s *stored) requireErased(t *testing.T, r *Ring) {
	t.Helper()
	for _, get := range []func(context.Context, string, ...string) ([]*SubjectKey, error){r.Subject, r.CreateSubject} {
		if _, err := get(t.Context(), erasedSubject, vectorCompartment); !errors.Is(err, ErrShredded) {
			t.Fatalf("an erased subject: %v", err)
		}
	}
}

func TestStoredOpens(t *testing.T) {
	s := newStored(t)
	r, err := Open(t.Context(), s.config(s.text))
	require.NoError(t, err)
	s.requireLiving(t, r)
	s.requireErased(t, r)
}

// changes are a row and those that differ from it in one column.
func changes(rec KeyRecord) []KeyRecord {
	out := []KeyRecord{rec}
	change := func(do func(*KeyRecord)) {
		r := cloneKey(rec)
		do(&r)
		out = append(out, r)
	}
	change(func(r *KeyRecord) { r.Tag[3] ^= 1 })
	change(func(r *KeyRecord) { r.Compartment = "identity" })
	change(func(r *KeyRecord) { r.Compartment = "planted \x1b in the log" })
	change(func(r *KeyRecord) { r.Generation++ })
	change(func(r *KeyRecord) { r.Version++ })
	change(func(r *KeyRecord) { r.Wrapped[20] ^= 1 })
	change(func(r *KeyRecord) { r.Wrapped = r.Wrapped[1:] })
	change(func(r *KeyRecord) { r.Commitment[31] ^= 1 })
	for state := range State(7) {
		change(func(r *KeyRecord) { r.State = state })
	}
	return out
}

// Whatever stands in a subject's row, it is the row that was written, or an
// error; and no key is made beside it. So too for one that was erased.
func FuzzKeyRecord(f *testing.F) {
	s := newStored(f)
	moved := s.dead
	moved.Tag = s.live.Tag
	for _, rec := range append(append(changes(s.live), changes(s.dead)...), moved) {
		f.Add(rec.Tag[:], rec.Compartment, rec.Generation, rec.Version, uint8(rec.State), rec.Wrapped, rec.Commitment[:])
	}
	f.Fuzz(func(t *testing.T, tag []byte, compartment string, generation, version uint32, state uint8, wrapped, commitment []byte) {
		rec := KeyRecord{Compartment: compartment, Generation: generation, Version: version, State: State(state), Wrapped: wrapped}
		copy(rec.Tag[:], tag)
		copy(rec.Commitment[:], commitment)
		input := [][]byte{tag, wrapped, commitment, []byte(compartment)}
		for _, erased := range []bool{false, true} {
			cfg, at, subject := s.config(s.text), s.live.Tag, vectorSubject
			if erased {
				at, subject = s.dead.Tag, erasedSubject
			}
			Rows(cfg.Store)[at] = rec
			r, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for _, get := range []func(context.Context, string, ...string) ([]*SubjectKey, error){r.Subject, r.CreateSubject} {
				keys, err := get(t.Context(), subject, vectorCompartment)
				switch {
				case erased && !errors.Is(err, ErrShredded):
					t.Fatalf("an erased subject: %v", err)
				case err != nil:
					s.refusal(t, err, input, ErrCorrupt, ErrUnknownVersion, ErrShredded, ErrJournalLost)
				case !rec.Equal(&s.live) || !bytes.Equal(secret.Expose(keys[0].key), s.key):
					t.Fatal("a row that was changed gives a key")
				}
			}
			if now := Rows(cfg.Store)[at]; !now.Equal(&rec) {
				t.Fatal("the row was written over")
			}
		}
	})
}

// A tombstone is the one that was written for its row, whoever reads it: who
// asks for the subject, and who makes the journal anew.
func FuzzTombstone(f *testing.F) {
	s := newStored(f)
	buried := s.live
	buried.State = Destroyed
	for _, rec := range append(changes(s.dead), buried) {
		f.Add(rec.Tag[:], rec.Compartment, rec.Generation, rec.Version, uint8(rec.State), rec.Wrapped, rec.Commitment[:])
	}
	f.Fuzz(func(t *testing.T, tag []byte, compartment string, generation, version uint32, state uint8, wrapped, commitment []byte) {
		rec := KeyRecord{Compartment: compartment, Generation: generation, Version: version, State: State(state), Wrapped: wrapped}
		copy(rec.Tag[:], tag)
		copy(rec.Commitment[:], commitment)
		if rec.State == Active {
			t.Skip("not a tombstone")
		}
		cfg := s.config(nil) // the journal is lost
		delete(Rows(cfg.Store), s.dead.Tag)
		Rows(cfg.Store)[rec.Tag] = rec
		if err := Reseed(t.Context(), cfg); err != nil {
			s.refusal(t, err, [][]byte{tag, wrapped, commitment, []byte(compartment)}, ErrCorrupt)
			return
		}
		if !rec.Equal(&s.dead) {
			t.Fatal("a tombstone that was changed is believed")
		}
		r, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		s.requireLiving(t, r)
		s.requireErased(t, r)
	})
}

// Whatever stands for a keyset, its name, its revision and its digest, put right
// or not, it is the keyset that was written, or an error.
func FuzzKeyset(f *testing.F) {
	s := newStored(f)
	control := ActiveKeysets(s.store)[controlKeyset]
	for _, rec := range []KeysetRecord{s.set, control} {
		for _, right := range []bool{false, true} {
			f.Add(rec.Name, rec.Revision, rec.Digest[:], rec.Wrapped, right)
			f.Add(rec.Name, rec.Revision+1, rec.Digest[:], rec.Wrapped, right)
			f.Add("identity", rec.Revision, rec.Digest[:], rec.Wrapped[1:], right)
		}
	}
	f.Fuzz(func(t *testing.T, name string, revision uint64, digest, wrapped []byte, right bool) {
		rec := KeysetRecord{Name: name, Revision: revision, Wrapped: wrapped}
		copy(rec.Digest[:], digest)
		if right && len(name) <= 128 {
			rec.Digest = keysetDigest(vectorRing, name, revision, wrapped)
		}
		input := [][]byte{digest, wrapped, []byte(name)}
		for at, was := range map[string]KeysetRecord{vectorCompartment: s.set, controlKeyset: control} {
			for _, late := range []bool{false, at == vectorCompartment} { // or changed before it is first used
				cfg := s.config(s.text)
				if !late {
					ActiveKeysets(cfg.Store)[at] = rec
				}
				r, err := Open(t.Context(), cfg)
				ActiveKeysets(cfg.Store)[at] = rec
				if err == nil {
					defer r.Close()
					_, err = r.Subject(t.Context(), vectorSubject, vectorCompartment)
				}
				if err != nil {
					s.refusal(t, err, input, ErrCorrupt, ErrRolledBack, ErrKEK)
					continue
				}
				if rec.Name != was.Name || rec.Revision != was.Revision || rec.Digest != was.Digest || !bytes.Equal(rec.Wrapped, was.Wrapped) {
					t.Fatal("a keyset that was changed is used")
				}
				s.requireLiving(t, r)
				s.requireErased(t, r)
			}
		}
	})
}

// A store's head is the journal's, or an older one that the journal leads on
// from, or an error.
func FuzzHead(f *testing.F) {
	s := newStored(f)
	lines := bytes.SplitAfter(s.text, []byte("\n"))
	f.Add(s.head.Ring, s.head.Seq, s.head.Hash[:])
	f.Add("", uint64(0), make([]byte, 32))
	f.Add("another", s.head.Seq, s.head.Hash[:])
	f.Add(s.head.Ring, s.head.Seq, make([]byte, 32))
	known := map[Head]bool{}
	for i := range 3 {
		head := Head{Ring: s.head.Ring, Seq: uint64(i + 1), Hash: sha256.Sum256(bytes.TrimSuffix(lines[i], []byte("\n")))}
		known[head] = true
		f.Add(head.Ring, head.Seq, head.Hash[:])
	}
	f.Fuzz(func(t *testing.T, ring string, seq uint64, hash []byte) {
		head := Head{Ring: ring, Seq: seq}
		copy(head.Hash[:], hash)
		for _, do := range []func(context.Context, Config) error{nil, Replay, Reseed} {
			cfg := s.config(s.text)
			SetHead(cfg.Store, head)
			if do != nil {
				if err := do(t.Context(), cfg); err != nil {
					s.refusal(t, err, [][]byte{[]byte(ring), hash}, ErrCorrupt, ErrKEK, ErrRolledBack, ErrJournalLost, ErrExists)
					continue
				}
			}
			r, err := Open(t.Context(), cfg)
			if err != nil {
				s.refusal(t, err, [][]byte{[]byte(ring), hash}, ErrCorrupt, ErrKEK, ErrRolledBack, ErrJournalLost)
				if do != nil {
					t.Fatal("it was mended, and does not open")
				}
				continue
			}
			defer r.Close()
			if do == nil && !known[head] {
				t.Fatal("a head that the journal has not is believed")
			}
			s.requireLiving(t, r)
			s.requireErased(t, r)
		}
	})
}

// Whatever stands in the journal's file, torn, cut or with lines of another's,
// it is the journal that was written, or an error; and an erased subject stays
// erased whatever is done about it.
func FuzzJournalFile(f *testing.F) {
	s := newStored(f)
	lines := bytes.SplitAfter(s.text, []byte("\n"))
	f.Add(s.text)
	for n := range len(lines) {
		f.Add(bytes.Join(lines[:n], nil))
		f.Add(bytes.Join(append(append([][]byte{}, lines[:n]...), lines[n][:len(lines[n])/2]), nil))
		f.Add(bytes.Join(append(append([][]byte{}, lines[n:]...), lines[:n]...), nil))
	}
	f.Add(append(bytes.Clone(s.text), "rahasia/journal/v1 4 2026-"...))
	forger, err := secret.NewMAC(secret.Random())
	require.NoError(f, err)
	forged := journal.Entry{Kind: journal.Shred, Seq: 4, Prev: s.head.Hash, At: time.Unix(1700000000, 0), Wipes: []journal.Wipe{{Compartment: vectorCompartment, Tag: s.live.Tag}}}
	f.Add(append(append(bytes.Clone(s.text), forged.Line(forger)...), '\n'))
	f.Fuzz(func(t *testing.T, text []byte) {
		whole := text[:bytes.LastIndexByte(text, '\n')+1]
		for _, do := range []func(context.Context, Config) error{nil, Replay, Reseed} {
			cfg := s.config(text)
			if do != nil {
				if err := do(t.Context(), cfg); err != nil {
					s.refusal(t, err, nil, ErrCorrupt, ErrRolledBack, ErrJournalLost, ErrExists)
					s.quotesNothing(t, err, text)
					continue
				}
			}
			r, err := Open(t.Context(), cfg)
			if err != nil {
				s.refusal(t, err, nil, ErrCorrupt, ErrRolledBack, ErrJournalLost)
				s.quotesNothing(t, err, text)
				continue
			}
			defer r.Close()
			if do == nil && !bytes.Equal(whole, s.text) {
				t.Fatal("a journal that was changed is believed")
			}
			s.requireLiving(t, r)
			s.requireErased(t, r)
		}
	})
}

// quotesNothing checks that err holds no long word of text.
func (s *stored) quotesNothing(t *testing.T, err error, text []byte) {
	t.Helper()
	for _, w := range bytes.Fields(text) {
		if len(w) >= 12 && shows(err, string(w)) {
			t.Fatalf("the error quotes the journal: %v", err)
		}
	}
}
