package keyring_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/rahasia/rahasia/keyring"
)

// spyKEK shows what it is given to wrap.
type spyKEK struct {
	keyring.KEK
	show func(plaintext []byte)
}

func (k *spyKEK) Wrap(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	k.show(plaintext)
	return k.KEK.Wrap(ctx, plaintext, ad)
}

// spellings returns the ways in which printing could show b: a window of it
// in raw bytes, hex, base64 and element by element.
func spellings(b []byte) (out []string) {
	w := b[len(b)/2-4 : len(b)/2+4]
	list := strings.Trim(fmt.Sprint(w), "[]")
	octal := make([]string, len(w))
	for i, c := range w {
		octal[i] = fmt.Sprintf("%#x", c)
	}
	hexed := hex.EncodeToString(w)
	return []string{
		string(w), list, strings.ReplaceAll(list, " ", ","), strings.Join(octal, ", "), hexed, strings.ToUpper(hexed),
		strings.Join(strings.Split(fmt.Sprintf("% x", w), " "), " "), base64.StdEncoding.EncodeToString(b)[4:12], base64.RawURLEncoding.EncodeToString(b)[4:12],
		strings.Trim(fmt.Sprintf("%o", w), "[]"), strings.Trim(fmt.Sprintf("%b", w), "[]"),
	}
}

// printed returns every text that verbs, loggers and encoders make of v.
func printed(v any) (out []string) {
	for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
		for _, flag := range []string{"", "+", "#", " ", "# ", "+#"} {
			out = append(out, fmt.Sprintf("%"+flag+string(verb), v))
		}
	}
	if b, err := json.Marshal(v); err == nil {
		out = append(out, string(b))
	} else {
		out = append(out, err.Error())
	}
	var text, structured bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	slog.New(slog.NewJSONHandler(&structured, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	return append(out, text.String(), structured.String(), fmt.Sprint(errors.Join(fmt.Errorf("%v", v))))
}

// sabotaged is a KEK that returns what it was given, and errors that quote it.
type sabotaged struct{}

func (sabotaged) Wrap(_ context.Context, p, _ []byte) ([]byte, error) {
	return nil, fmt.Errorf("cannot wrap %q, %x", p, p)
}

func (sabotaged) Unwrap(_ context.Context, w, _ []byte) ([]byte, error) {
	return nil, errors.New("not mine")
}

// withContext is a Tink AEAD of the form that takes a context.
type withContext struct{ keyring.KEK }

func (a withContext) EncryptWithContext(ctx context.Context, p, ad []byte) ([]byte, error) {
	return a.Wrap(ctx, p, ad)
}

func (a withContext) DecryptWithContext(ctx context.Context, c, ad []byte) ([]byte, error) {
	return a.Unwrap(ctx, c, ad)
}

func TestLeak(t *testing.T) {
	ctx := t.Context()
	const pass = "correct horse battery staple"
	phrase, err := keyring.Passphrase(pass)
	require.NoError(t, err)
	file, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	raw := []byte("a Tink AEAD's 32 bytes of secret")
	local, err := subtle.NewAESGCM(raw)
	require.NoError(t, err)
	tink := keyring.TinkAEAD(local)

	var secrets [][]byte
	spied := func(k keyring.KEK) keyring.KEK {
		return &spyKEK{k, func(plaintext []byte) { secrets = append(secrets, keyring.KeysetSecrets(plaintext)...) }}
	}
	cfg := keyring.Config{
		Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(),
		KEK: spied(phrase), KEKs: map[string]keyring.KEK{"clinical": spied(file), "audit": spied(tink)},
	}
	custodianPath := filepath.Join(t.TempDir(), "custodian")
	custodian, err := keyring.CreateCustodianKey(custodianPath)
	require.NoError(t, err)
	cfg.Custodian = custodian.Custodian()
	var event keyring.Event
	cfg.Events = func(e keyring.Event) { event = e }
	r, err := keyring.Create(ctx, "clinic", cfg)
	require.NoError(t, err)
	for _, name := range []string{"identity", "clinical", "audit"} {
		require.NoError(t, r.CreateKeyset(ctx, name))
	}
	keys, err := r.CreateSubject(ctx, alice, "identity", "clinical", "audit")
	require.NoError(t, err)
	ks, err := r.Keyset(ctx, "clinical")
	require.NoError(t, err)
	derivedKey, err := ks.Derive(1, "label")
	require.NoError(t, err)
	record, err := keys[0].Record(1)
	require.NoError(t, err)
	page, err := r.Subjects(ctx, []string{alice, budi}, "identity")
	require.NoError(t, err)
	_, err = r.Rotate(ctx, "clinical")
	require.NoError(t, err)
	_, err = r.CreateSubject(ctx, budi, "clinical")
	require.NoError(t, err)
	receipt, err := r.Shred(ctx, budi)
	require.NoError(t, err)
	wrong, err := keyring.Passphrase(pass + " and another")
	require.NoError(t, err)
	metered := cfg
	metered.KEK, metered.KEKs, metered.Metrics = wrong, nil, keyring.LogMetrics(slog.New(slog.DiscardHandler))
	_, wrongKEK := keyring.Open(ctx, metered)
	require.ErrorIs(t, wrongKEK, keyring.ErrKEK)
	metered.KEK, metered.KEKs = phrase, map[string]keyring.KEK{"clinical": file, "audit": tink}
	counted, err := keyring.Open(ctx, metered)
	require.NoError(t, err)
	report, err := r.Rewrap(ctx, keyring.Rewrapping{DryRun: true})
	require.NoError(t, err)
	failing, err := r.Rewrap(ctx, keyring.Rewrapping{KEK: sabotaged{}, Keysets: []string{"clinical"}})
	require.NoError(t, err)
	require.Len(t, failing.Failures, 1)
	keysets, err := cfg.Store.Keysets(ctx)
	require.NoError(t, err)
	rows, err := cfg.Store.StaleKeys(ctx, "clinical", 0, nil, 10)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	var refusals []error
	for _, text := range []string{pass, string(raw), "p\x00"} {
		_, err := r.Subject(ctx, text, "audit")
		refusals = append(refusals, err, r.CreateKeyset(ctx, text), second(r.Keyset(ctx, text)))
	}

	secrets = append(secrets, keyring.SubjectSecrets(keys...)...)
	secrets = append(secrets, []byte(pass), raw)
	require.Len(t, secrets, 2*4+2*2+2*3+2, "four keysets' keys, two more of the rotated one, three subject keys, two that KEKs are made of")
	require.NoError(t, r.Rekey(ctx, alice))
	two, err := r.Subject(ctx, alice, "identity", "clinical", "audit")
	require.NoError(t, err)
	secrets = append(secrets, keyring.SubjectSecrets(two...)...)
	text, err := os.ReadFile(custodianPath)
	require.NoError(t, err)
	seed, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(string(text[strings.IndexByte(string(text), ':')+1:])))
	require.NoError(t, err)
	secrets = append(secrets, seed)
	retention, err := r.Retain(ctx, alice, kept(1))
	require.NoError(t, err)
	_, refusal := r.Subject(ctx, alice, "audit")
	var why *keyring.RetainedError
	require.ErrorAs(t, refusal, &why)
	require.Equal(t, "retain", event.Action)
	other, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "other"))
	require.NoError(t, err)
	noCustodian := r.EndRetention(ctx, alice, other)
	requireError(t, noCustodian, keyring.ErrKEK)
	type nested struct{ inner any }
	for name, v := range map[string]any{
		"ring": r, "ring value": *r, "view": r.Only("clinical"), "keyset": ks, "keyset value": *ks, "subject key": keys[0], "subject key value": *keys[0],
		"keys": keys, "passphrase": phrase, "key file": file, "tink": tink, "any KEK": keyring.AnyKEK(file, phrase, tink), "rewrapping": keyring.Rewrapping{KEK: phrase}, "config": cfg, "journal": cfg.Journal, "store": cfg.Store,
		"derived": derivedKey, "record": record, "receipt": receipt, "page": page, "report": report,
		"config with a passphrase": keyring.Config{KEK: phrase}, "metered config": metered, "metered ring": counted, "metrics": metered.Metrics,
		"tink with context": keyring.TinkAEADWithContext(withContext{tink}), "failed report": failing, "failure": failing.Failures[0],
		"keyset records": keysets, "rows": rows, "change": keyring.Change{Activate: keysets[0], Keys: rows}, "swap": keyring.Swap{Old: rows[0], New: rows[0]},
		"error": fmt.Errorf("%v %v %v", r, ks, keys[0]), "KEK's error": wrongKEK, "errors": refusals,
		"two generations": two[0], "two generations' value": *two[0], "custodian's key": custodian, "custodian's key value": *custodian, "custodian": cfg.Custodian,
		"retention": retention, "retained": why, "retained value": *why, "refusal": refusal, "wrong custodian": noCustodian, "event": event,
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range []any{v, &v, nested{v}, &nested{v}, []any{v}, map[string]any{"a": nested{v}}, struct{ K any }{v}} {
				texts := printed(v)
				slices.Sort(texts)
				all := strings.Join(slices.Compact(texts), "\n")
				for _, s := range secrets {
					for _, bad := range spellings(s) {
						if strings.Contains(all, bad) {
							t.Fatalf("%s shows a secret", name)
						}
					}
				}
			}
		})
	}
}

// The check above can fail: it finds a key that is printed.
func TestLeakCheckCanFail(t *testing.T) {
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	for _, v := range []any{key, string(key), struct{ k []byte }{key}, hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key), [32]byte(key)} {
		found := false
		for _, text := range printed(v) {
			for _, bad := range spellings(key) {
				found = found || strings.Contains(text, bad)
			}
		}
		require.True(t, found, "%T", v)
	}
}

func TestPrintsWhatItIs(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "clinical")
	keys, err := w.ring.CreateSubject(ctx, alice, "clinical")
	require.NoError(t, err)
	ks, err := w.ring.Keyset(ctx, "clinical")
	require.NoError(t, err)
	require.Equal(t, "keyring.Ring(clinic) keyring.Keyset(clinical) keyring.SubjectKey(clinical, generation 1)", fmt.Sprintf("%v %s %+v", w.ring, ks, keys[0]))
	require.Equal(t, "keyring.Ring()", fmt.Sprint(&keyring.Ring{}))
	require.Equal(t, "keyring.Ring(clinic)", w.ring.LogValue().String())
	require.Equal(t, "keyring.Keyset(clinical)", ks.LogValue().String())
	custodian, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "custodian"))
	require.NoError(t, err)
	require.Equal(t, "keyring.CustodianKey keyring.CustodianKey", fmt.Sprintf("%v %x", custodian, custodian))
	require.Equal(t, "keyring.CustodianKey", custodian.LogValue().String())
	require.Equal(t, "keyring.SubjectKey(clinical, generation 1)", keys[0].LogValue().String())
}

// The id of a subject whose keys are cached is not in the ring's text either.
func TestRingPrintsNoSubject(t *testing.T) {
	w := newWorld(t, "clinical")
	_, err := w.ring.CreateSubject(t.Context(), alice, "clinical")
	require.NoError(t, err)
	for _, v := range []any{w.ring, *w.ring, struct{ r *keyring.Ring }{w.ring}, w.Config, w.Store} {
		for _, text := range printed(v) {
			require.NotContains(t, text, alice)
		}
	}
}
