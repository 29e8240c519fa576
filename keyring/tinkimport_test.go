package keyring_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

var updateTink = flag.Bool("update-tink", false, "write testdata/tink/export*.json anew")

// tinkValues is what keyring/internal/tinkfixtures wrote beside its keysets.
type tinkValues struct {
	Inputs  []string               `json:"inputs"`
	Keysets map[string]*tinkKeyset `json:"keysets"`
}

type tinkKeyset struct {
	Primary  uint32              `json:"primary"`
	Disabled []uint32            `json:"disabled"`
	PRF      map[uint32][]string `json:"prf"`
}

func tinkFile(t testing.TB, name string) []byte {
	b, err := os.ReadFile(filepath.Join("testdata/tink", name))
	require.NoError(t, err)
	return b
}

func readValues(t testing.TB, name string) (v tinkValues) {
	require.NoError(t, json.Unmarshal(tinkFile(t, name), &v))
	return v
}

// tinkMaster is the AEAD that the fixtures are encrypted under.
func tinkMaster(t testing.TB) tink.AEAD {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(tinkFile(t, "kek.json"))))
	require.NoError(t, err)
	a, err := aead.New(h)
	require.NoError(t, err)
	return a
}

// parts takes an input of values.json apart again.
func parts(t testing.TB, input string) (out []string) {
	b, err := hex.DecodeString(input)
	require.NoError(t, err)
	for len(b) > 0 {
		n := int(binary.BigEndian.Uint16(b))
		out = append(out, string(b[2:2+n]))
		b = b[2+n:]
	}
	return out
}

// requireValues checks that k is the keyset that Tink wrote.
func requireValues(t testing.TB, inputs []string, want *tinkKeyset, k *keyring.Keyset) {
	t.Helper()
	require.Equal(t, want.Primary, k.Primary())
	require.Len(t, k.Versions(), len(want.PRF))
	for id, outputs := range want.PRF {
		for i, in := range inputs {
			p := parts(t, in)
			key, err := k.Derive(id, p[0], p[1:]...)
			require.NoError(t, err)
			require.Equal(t, outputs[i], hex.EncodeToString(secret.Expose(key)))
		}
	}
	for _, id := range want.Disabled {
		_, err := k.Derive(id, "label")
		requireError(t, err, keyring.ErrUnknownVersion)
	}
}

// Keysets that github.com/google/tink/go v1.7.0 wrote become the ring's: same
// ids, same values, and a ring that works on with them after a restart.
func TestTinkImport(t *testing.T) {
	ctx := t.Context()
	values, opens := readValues(t, "values.json"), keyring.TinkAEAD(tinkMaster(t))
	for name, want := range values.Keysets {
		for _, form := range []string{".json", ".bin"} {
			t.Run(name+form, func(t *testing.T) {
				w := newWorld(t)
				given := tinkFile(t, name+form)
				kept := bytes.Clone(given)
				require.NoError(t, w.ring.ImportKeyset(ctx, "clinical", given, opens))
				require.Equal(t, kept, given, "the caller's slice is the caller's")
				k, err := w.ring.Keyset(ctx, "clinical")
				require.NoError(t, err)
				requireValues(t, values.Inputs, want, k)

				keys, err := w.ring.CreateSubject(ctx, alice, "clinical")
				require.NoError(t, err)
				require.Equal(t, want.Primary, keys[0].Version())
				v, err := w.ring.Rotate(ctx, "clinical")
				require.NoError(t, err)
				require.NotContains(t, want.PRF, v)
				require.NotContains(t, want.Disabled, v)

				again, err := w.open(t).Subject(ctx, alice, "clinical")
				require.NoError(t, err)
				require.Equal(t, tokens(t, keys), tokens(t, again))
				require.Contains(t, w.text(t), " keyset clinical 1 ", "journalled")
				requireError(t, w.ring.ImportKeyset(ctx, "clinical", given, opens), keyring.ErrExists)
			})
		}
	}
}

// What is not a ring's keyset is refused before anything is written.
func TestTinkImportRefuses(t *testing.T) {
	opens := keyring.TinkAEAD(tinkMaster(t))
	w := newWorld(t)
	before, err := w.Store.Head(t.Context())
	require.NoError(t, err)
	files, err := os.ReadDir("testdata/tink/refused")
	require.NoError(t, err)
	require.Len(t, files, 13)
	refused := map[string][]byte{
		"empty": nil, "white space": []byte(" \n"), "garbage": []byte("not a keyset"), "empty JSON": []byte("{}"),
		"JSON cut off": tinkFile(t, "one.json")[:100], "too long": make([]byte, 256<<10+1),
		"unknown field": append(tinkFile(t, "one.bin"), 0x08, 0x01),
	}
	for _, f := range files {
		refused[f.Name()] = tinkFile(t, filepath.Join("refused", f.Name()))
	}
	for name, b := range refused {
		t.Run(name, func(t *testing.T) {
			want := keyring.ErrForeign
			if name == "other-kek.json" || name == "associated-data.json" {
				want = keyring.ErrKEK
			}
			requireError(t, w.ring.ImportKeyset(t.Context(), "clinical", b, opens), want)
		})
	}
	after, err := w.Store.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Empty(t, keyring.StagedKeysets(w.Store))
}

// encrypted is a keyset as Tink would write it, changed first.
func encrypted(t testing.TB, change func(*tinkpb.Keyset)) []byte {
	msg := &tinkpb.EncryptedKeyset{}
	require.NoError(t, protojson.Unmarshal(tinkFile(t, "rotated.json"), msg))
	a := tinkMaster(t)
	clear, err := a.Decrypt(msg.EncryptedKeyset, nil)
	require.NoError(t, err)
	set := &tinkpb.Keyset{}
	require.NoError(t, proto.Unmarshal(clear, set))
	change(set)
	clear, err = proto.Marshal(set)
	require.NoError(t, err)
	msg.EncryptedKeyset, err = a.Encrypt(clear, nil)
	require.NoError(t, err)
	b, err := proto.Marshal(msg)
	require.NoError(t, err)
	return b
}

func TestTinkImportRefusesBrokenKeysets(t *testing.T) {
	opens, w := keyring.TinkAEAD(tinkMaster(t)), newWorld(t)
	for name, change := range map[string]func(*tinkpb.Keyset){
		"no keys":            func(s *tinkpb.Keyset) { s.Key = nil },
		"no primary":         func(s *tinkpb.Keyset) { s.PrimaryKeyId = 0 },
		"primary disabled":   func(s *tinkpb.Keyset) { s.PrimaryKeyId = s.Key[3].KeyId },
		"id 0":               func(s *tinkpb.Keyset) { s.Key[0].KeyId = 0 },
		"one id twice":       func(s *tinkpb.Keyset) { s.Key[3].KeyId = s.Key[0].KeyId },
		"unknown status":     func(s *tinkpb.Keyset) { s.Key[0].Status = tinkpb.KeyStatusType_UNKNOWN_STATUS },
		"destroyed with key": func(s *tinkpb.Keyset) { s.Key[0].Status = tinkpb.KeyStatusType_DESTROYED },
		"no key data":        func(s *tinkpb.Keyset) { s.Key[3].KeyData = nil },
		"short key":          func(s *tinkpb.Keyset) { s.Key[0].KeyData.Value = s.Key[0].KeyData.Value[:9] },
		"257 keys": func(s *tinkpb.Keyset) {
			for i := range uint32(253) {
				k := proto.Clone(s.Key[0]).(*tinkpb.Keyset_Key)
				k.KeyId = i + 1
				s.Key = append(s.Key, k)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			requireError(t, w.ring.ImportKeyset(t.Context(), "clinical", encrypted(t, change), opens), keyring.ErrForeign)
		})
	}
	require.NoError(t, w.ring.ImportKeyset(t.Context(), "clinical", encrypted(t, func(*tinkpb.Keyset) {}), opens), "the unchanged one is good")

	// A destroyed key is an id and nothing else: kept so that no new version takes it.
	greatest := uint32(1<<32 - 3)
	require.NoError(t, w.ring.ImportKeyset(t.Context(), "identity", encrypted(t, func(s *tinkpb.Keyset) {
		s.Key[2].Status, s.Key[2].KeyData, s.Key[2].KeyId = tinkpb.KeyStatusType_DESTROYED, nil, greatest
	}), opens))
	v, err := w.ring.Rotate(t.Context(), "identity")
	require.NoError(t, err)
	require.Equal(t, greatest+2, v, "odd, for the primary is even")
	b, err := w.ring.ExportKeyset(t.Context(), "identity", opens)
	require.NoError(t, err)
	h, err := keyset.Read(keyset.NewJSONReader(bytes.NewReader(b)), tinkMaster(t))
	require.NoError(t, err, "Tink reads it: the destroyed one stays behind")
	require.Equal(t, 4, h.Len())
}

// What the ring exports, Tink's own Read opens, and its PRF gives the same.
func TestTinkExport(t *testing.T) {
	ctx := t.Context()
	values, master := readValues(t, "values.json"), tinkMaster(t)
	w := newWorld(t, "identity")
	require.NoError(t, w.ring.ImportKeyset(ctx, "clinical", tinkFile(t, "rotated.json"), keyring.TinkAEAD(master)))
	for range 2 {
		for _, name := range []string{"identity", "clinical"} {
			_, err := w.ring.Rotate(ctx, name)
			require.NoError(t, err)
		}
	}
	for _, name := range []string{"identity", "clinical"} {
		b, err := w.ring.ExportKeyset(ctx, name, keyring.TinkAEAD(master))
		require.NoError(t, err)
		h, err := keyset.Read(keyset.NewJSONReader(bytes.NewReader(b)), master)
		require.NoError(t, err)
		set, err := prf.NewPRFSet(h)
		require.NoError(t, err)
		k, err := w.ring.Keyset(ctx, name)
		require.NoError(t, err)
		require.Equal(t, set.PrimaryID, k.Primary())
		require.Len(t, k.Versions(), len(set.PRFs))
		requireValues(t, values.Inputs, exported(t, set, values.Inputs), k)

		// The list of keys beside the ciphertext is Tink's own.
		msg := &tinkpb.EncryptedKeyset{}
		require.NoError(t, protojson.Unmarshal(b, msg))
		require.True(t, proto.Equal(h.KeysetInfo(), msg.KeysetInfo))

		_, err = keyset.Read(keyset.NewJSONReader(bytes.NewReader(b)), tinkOther(t))
		require.Error(t, err)

		other := newWorld(t)
		require.NoError(t, other.ring.ImportKeyset(ctx, "x/y", b, keyring.TinkAEAD(master)), "and another ring takes it")
		again, err := other.ring.Keyset(ctx, "x/y")
		require.NoError(t, err)
		require.Equal(t, k.Versions()[0], again.Versions()[0])
		require.ElementsMatch(t, k.Versions(), again.Versions())
	}
}

func tinkOther(t testing.TB) tink.AEAD {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	a, err := aead.New(h)
	require.NoError(t, err)
	return a
}

// exported computes by Tink what a keyset must give.
func exported(t testing.TB, set *prf.Set, inputs []string) *tinkKeyset {
	v := &tinkKeyset{Primary: set.PrimaryID, PRF: map[uint32][]string{}}
	for id, f := range set.PRFs {
		for _, in := range inputs {
			b, err := hex.DecodeString(in)
			require.NoError(t, err)
			out, err := f.ComputePRF(b, 32)
			require.NoError(t, err)
			v.PRF[id] = append(v.PRF[id], hex.EncodeToString(out))
		}
	}
	return v
}

// The export in testdata is the ring's; keyring/internal/tinkfixtures opens it
// with google/tink/go v1.7.0.
func TestTinkExportFixture(t *testing.T) {
	ctx, master := t.Context(), tinkMaster(t)
	w := newWorld(t)
	if *updateTink {
		require.NoError(t, w.ring.ImportKeyset(ctx, "clinical", tinkFile(t, "rotated.json"), keyring.TinkAEAD(master)))
		_, err := w.ring.Rotate(ctx, "clinical")
		require.NoError(t, err)
		b, err := w.ring.ExportKeyset(ctx, "clinical", keyring.TinkAEAD(master))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("testdata/tink/export.json", b, 0o644))
		k, err := w.ring.Keyset(ctx, "clinical")
		require.NoError(t, err)
		v := tinkValues{Inputs: readValues(t, "values.json").Inputs, Keysets: map[string]*tinkKeyset{"export": {Primary: k.Primary(), PRF: map[uint32][]string{}}}}
		for _, id := range k.Versions() {
			for _, in := range v.Inputs {
				p := parts(t, in)
				key, err := k.Derive(id, p[0], p[1:]...)
				require.NoError(t, err)
				v.Keysets["export"].PRF[id] = append(v.Keysets["export"].PRF[id], hex.EncodeToString(secret.Expose(key)))
			}
		}
		b, err = json.MarshalIndent(v, "", "\t")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("testdata/tink/export-values.json", append(b, '\n'), 0o644))
	}
	v := readValues(t, "export-values.json")
	require.NoError(t, w.ring.ImportKeyset(ctx, "again", tinkFile(t, "export.json"), keyring.TinkAEAD(master)))
	k, err := w.ring.Keyset(ctx, "again")
	require.NoError(t, err)
	requireValues(t, v.Inputs, v.Keysets["export"], k)
}

func TestTinkExportErrors(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "clinical", "identity")
	good := keyring.TinkAEAD(tinkMaster(t))
	export := func(r *keyring.Ring, name string, k keyring.KEK) error {
		b, err := r.ExportKeyset(ctx, name, k)
		require.Nil(t, b)
		return err
	}
	given := tinkFile(t, "one.json")
	view := w.ring.Only("identity")
	calls := w.kek.wraps.Load() + w.kek.opens.Load()
	requireError(t, export(view, "clinical", good), keyring.ErrNotGranted)
	requireError(t, view.ImportKeyset(ctx, "audit", given, good), keyring.ErrNotGranted)
	for _, name := range []string{"ring", "Clinical", "a/../b"} {
		requireError(t, export(w.ring, name, good), keyring.ErrName)
		requireError(t, w.ring.ImportKeyset(ctx, name, given, good), keyring.ErrName)
	}
	requireError(t, export(w.ring, "", good), keyring.ErrEmpty)
	requireError(t, export(w.ring, "clinical", nil), keyring.ErrKEK)
	requireError(t, w.ring.ImportKeyset(ctx, "audit", given, nil), keyring.ErrKEK)
	requireError(t, export(w.ring, "audit", good), keyring.ErrNoKeyset)
	require.Equal(t, calls, w.kek.wraps.Load()+w.kek.opens.Load(), "none of these needs the KEK")

	plain := newKEK()
	plain.wrap = func(p []byte) []byte { return p }
	plain.unwrap_ = func(b []byte) []byte { return b }
	requireError(t, export(w.ring, "clinical", plain), keyring.ErrKEK)
	down := errors.New("connection refused by the key service")
	w.kek.fail.Store(&down)
	const own, transfer = "by the ring's own KEK: ", "by the KEK given for the transfer: "
	for _, err := range []error{export(w.ring, "clinical", good), w.ring.ImportKeyset(ctx, "audit", given, good)} {
		requireError(t, err, keyring.ErrKEK)
		require.ErrorContains(t, err, own)
	}
	w.kek.fail.Store(nil)
	broken := newKEK()
	broken.fail.Store(&down)
	for _, err := range []error{export(w.ring, "clinical", broken), w.ring.ImportKeyset(ctx, "audit", given, broken)} {
		requireError(t, err, keyring.ErrKEK)
		require.ErrorContains(t, err, transfer)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err := w.ring.ExportKeyset(cancelled, "clinical", good)
	requireError(t, err, context.Canceled)
	requireError(t, w.ring.ImportKeyset(cancelled, "audit", given, good), context.Canceled)
	require.NoError(t, w.ring.Close())
	requireError(t, export(w.ring, "clinical", good), keyring.ErrClosed)
	requireError(t, w.ring.ImportKeyset(ctx, "audit", given, good), keyring.ErrClosed)
}

// No part of a key that is imported or exported shows in the store, the
// journal, the export or an error.
func TestLeakTinkImport(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	var secrets [][]byte
	spy := &spyKEK{w.kek, func(p []byte) { secrets = append(secrets, keyring.KeysetSecrets(p)...) }}
	cfg := w.Config
	cfg.KEK = spy
	r, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	opens := keyring.TinkAEAD(tinkMaster(t))
	require.NoError(t, r.ImportKeyset(ctx, "clinical", tinkFile(t, "rotated.json"), opens))
	require.Len(t, secrets, 8)
	b, err := r.ExportKeyset(ctx, "clinical", opens)
	require.NoError(t, err)
	texts := []string{string(b), w.text(t), fmt.Sprintf("%v %+v %#v", r, r, r)}
	for _, rec := range keyring.ActiveKeysets(w.Store) {
		texts = append(texts, string(rec.Wrapped))
	}
	for _, file := range []string{"refused/clear.json", "refused/clear.bin"} {
		texts = append(texts, r.ImportKeyset(ctx, "audit", tinkFile(t, file), opens).Error())
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(tinkFile(t, "refused/clear.json"))))
	require.NoError(t, err)
	var clear bytes.Buffer
	require.NoError(t, insecurecleartextkeyset.Write(h, keyset.NewBinaryWriter(&clear)))
	secrets = append(secrets, keyring.KeysetSecrets(clear.Bytes())...)
	for _, s := range secrets {
		for _, bad := range spellings(s) {
			require.False(t, slices.ContainsFunc(texts, func(text string) bool { return bytes.Contains([]byte(text), []byte(bad)) }))
		}
	}
}

// Whatever is given to import, in whatever form, is taken whole or refused by
// a typed error that quotes nothing of it.
func FuzzTinkImport(f *testing.F) {
	opens := keyring.TinkAEAD(tinkMaster(f))
	for _, name := range []string{"one.json", "one.bin", "rotated.json", "refused/clear.json", "refused/clear.bin", "refused/aead.json"} {
		f.Add(tinkFile(f, name))
	}
	f.Add([]byte("{"))
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		err := w.ring.ImportKeyset(t.Context(), "clinical", b, opens)
		if err != nil {
			if !errors.Is(err, keyring.ErrForeign) && !errors.Is(err, keyring.ErrKEK) {
				t.Fatal(err)
			}
			if len(b) > 8 && bytes.Contains([]byte(err.Error()), b) {
				t.Fatal("the error quotes the input")
			}
			return
		}
		k, err := w.ring.Keyset(t.Context(), "clinical")
		if err != nil || k.Primary() == 0 {
			t.Fatal(err)
		}
		w = newWorld(t) // the name is taken
	})
}
