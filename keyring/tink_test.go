package keyring

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"github.com/tink-crypto/tink-go/v2/prf"
	commonpb "github.com/tink-crypto/tink-go/v2/proto/common_go_proto"
	prfpb "github.com/tink-crypto/tink-go/v2/proto/hkdf_prf_go_proto"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// plainKEK wraps by a fixed XOR, and a hash of the associated data: no
// protection, but the tests below read what it wrapped.
type plainKEK struct{}

func xor(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ 0x5a
	}
	return out
}

// plain returns what plainKEK wrapped.
func plain(wrapped []byte) []byte { return xor(wrapped[:len(wrapped)-sha256.Size]) }

func (plainKEK) Wrap(_ context.Context, p, ad []byte) ([]byte, error) {
	sum := sha256.Sum256(ad)
	return append(xor(p), sum[:]...), nil
}

func (plainKEK) Unwrap(_ context.Context, w, ad []byte) ([]byte, error) {
	if sum := sha256.Sum256(ad); !bytes.HasSuffix(w, sum[:]) {
		return nil, errors.New("other associated data")
	}
	return plain(w), nil
}

func plainRing(t *testing.T) (*Ring, Store) {
	store := NewMemoryStore()
	r, err := Create(t.Context(), "clinic", Config{Store: store, Journal: NewMemoryJournal(), KEK: plainKEK{}})
	require.NoError(t, err)
	return r, store
}

// importKeyset makes a Tink keyset one of the ring's.
func importKeyset(r *Ring, name string, serialized []byte) error {
	c, ctx := r.core(), context.Background()
	wrapped, err := c.keks.common.Wrap(ctx, serialized, keysetAD(c.ring, name))
	if err != nil {
		return err
	}
	rec := KeysetRecord{Name: name, Revision: 1, Wrapped: wrapped, Digest: keysetDigest(c.ring, name, 1, wrapped)}
	return c.locked(ctx, func() error {
		if err := c.store.StageKeyset(ctx, rec); err != nil {
			return err
		}
		_, err = c.write(ctx, "import", &journal.Entry{Kind: journal.Keyset, Keyset: markOf(rec)})
		return err
	})
}

func serialize(t *testing.T, h *keyset.Handle) []byte {
	var b bytes.Buffer
	require.NoError(t, insecurecleartextkeyset.Write(h, keyset.NewBinaryWriter(&b)))
	return b.Bytes()
}

// requirePRF checks every version of k against Tink's own primitive.
func requirePRF(t *testing.T, k *Keyset, serialized []byte) {
	h, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(serialized)))
	require.NoError(t, err)
	set, err := prf.NewPRFSet(h)
	require.NoError(t, err)
	require.Equal(t, set.PrimaryID, k.Primary())
	require.Len(t, set.PRFs, len(k.Versions()))
	for _, parts := range [][]string{{"rahasia/wrap/v1", "clinical", "\x00tag\xff"}, {"l"}, {"label", ""}, {"label", strings.Repeat("x", 65535)}} {
		for _, v := range k.Versions() {
			got, err := k.Derive(v, parts[0], parts[1:]...)
			require.NoError(t, err)
			want, err := set.PRFs[v].ComputePRF(lp.Append(nil, parts...), 32)
			require.NoError(t, err)
			require.Equal(t, want, secret.Expose(got), "version %d", v)
		}
	}
}

// What is stored is a keyset that Tink reads, and Derive is Tink's PRF.
func TestTinkReadsOurKeysets(t *testing.T) {
	ctx := t.Context()
	r, store := plainRing(t)
	require.NoError(t, r.CreateKeyset(ctx, "clinical"))
	for range 3 {
		_, err := r.Rotate(ctx, "clinical")
		require.NoError(t, err)
	}
	rec, err := store.Keyset(ctx, "clinical")
	require.NoError(t, err)
	k, err := r.Keyset(ctx, "clinical")
	require.NoError(t, err)
	require.Equal(t, []uint32{4, 3, 2, 1}, k.Versions())
	requirePRF(t, k, plain(rec.Wrapped))
}

// A keyset that Tink made, with its random ids, works as one of ours.
func TestTinkKeysetsImported(t *testing.T) {
	ctx := t.Context()
	r, store := plainRing(t)
	m := keyset.NewManager()
	first, err := m.Add(prf.HKDFSHA256PRFKeyTemplate())
	require.NoError(t, err)
	second, err := m.Add(prf.HKDFSHA256PRFKeyTemplate())
	require.NoError(t, err)
	third, err := m.Add(prf.HKDFSHA256PRFKeyTemplate())
	require.NoError(t, err)
	disabled, err := m.Add(prf.HKDFSHA256PRFKeyTemplate())
	require.NoError(t, err)
	require.NoError(t, m.SetPrimary(second))
	require.NoError(t, m.Disable(disabled))
	h, err := m.Handle()
	require.NoError(t, err)
	require.NoError(t, r.Import("clinical", serialize(t, h)))
	k, err := r.Keyset(ctx, "clinical")
	require.NoError(t, err)
	require.Equal(t, []uint32{second, third, first}, k.Versions(), "primary, then newest first; the disabled one reads nothing")
	_, err = k.Derive(disabled, "label")
	require.ErrorIs(t, err, ErrUnknownVersion)

	keys, err := r.CreateSubject(ctx, "p", "clinical")
	require.NoError(t, err)
	require.Equal(t, second, keys[0].Version())
	v, err := r.Rotate(ctx, "clinical")
	require.NoError(t, err)
	require.NotContains(t, []uint32{first, second, third, disabled}, v)
	k, err = r.Keyset(ctx, "clinical")
	require.NoError(t, err)
	require.Equal(t, []uint32{v, third, second, first}, k.Versions())
	rec, err := store.Keyset(ctx, "clinical")
	require.NoError(t, err)
	requirePRF(t, k, plain(rec.Wrapped))
}

func TestNextVersion(t *testing.T) {
	set := func(primary uint32, ids ...uint32) *tinkpb.Keyset {
		s := &tinkpb.Keyset{PrimaryKeyId: primary}
		for _, id := range ids {
			s.Key = append(s.Key, &tinkpb.Keyset_Key{KeyId: id})
		}
		return s
	}
	const last = 1<<32 - 1
	for _, c := range []struct {
		want uint32
		set  *tinkpb.Keyset
	}{
		{1, set(0)},
		{2, set(1, 1)},
		{3, set(2, 1, 2)},
		{8, set(7, 7, 3)},
		{8, set(3, 7, 3)},
		{9, set(4, 7, 4)}, // 8 would be even like the primary
		{2, set(last, last)},
		{4, set(last, 1, last, 2)},
		{3, set(2, 1, last, 2)},
		{1, set(last-1, last, last-1)},
		{last, set(last-1, last-1)},
		{2, set(last-2, last-1, last-2)}, // last is odd, and after it comes 0
	} {
		v := nextVersion(c.set)
		require.Equal(t, c.want, v)
		require.NotEqual(t, c.set.PrimaryKeyId%2, v%2)
	}
}

func TestTooManyVersions(t *testing.T) {
	set := &tinkpb.Keyset{}
	for range maxVersions {
		require.NoError(t, addVersion(set))
	}
	require.Error(t, addVersion(set))
	b, err := proto.Marshal(set)
	require.NoError(t, err)
	require.Less(t, len(b), maxWrapped/2, "the bound on versions comes first")
	_, _, err = parseKeyset("x", [32]byte{}, b)
	require.NoError(t, err)
	set.Key = append(set.Key, set.Key[0])
	b, err = proto.Marshal(set)
	require.NoError(t, err)
	_, _, err = parseKeyset("x", [32]byte{}, b)
	require.ErrorIs(t, err, ErrCorrupt)
}

// Keysets that are Tink's and not of our type, or not whole, are refused.
func TestForeignKeysets(t *testing.T) {
	good := func() *tinkpb.Keyset {
		s := &tinkpb.Keyset{}
		require.NoError(t, addVersion(s))
		return s
	}
	marshal := func(s *tinkpb.Keyset) []byte {
		b, err := proto.Marshal(s)
		require.NoError(t, err)
		return b
	}
	handle := func(template *tinkpb.KeyTemplate) []byte {
		h, err := keyset.NewHandle(template)
		require.NoError(t, err)
		return serialize(t, h)
	}
	changed := func(change func(*tinkpb.Keyset)) []byte { s := good(); change(s); return marshal(s) }
	_, _, err := parseKeyset("x", [32]byte{}, marshal(good()))
	require.NoError(t, err)
	for name, b := range map[string][]byte{
		"empty":         nil,
		"garbage":       []byte("no keyset"),
		"AEAD":          handle(aead.AES256GCMKeyTemplate()),
		"HMAC":          handle(mac.HMACSHA256Tag256KeyTemplate()),
		"HMAC PRF":      handle(prf.HMACSHA256PRFKeyTemplate()),
		"no primary":    changed(func(s *tinkpb.Keyset) { s.PrimaryKeyId = 9 }),
		"primary off":   changed(func(s *tinkpb.Keyset) { s.Key[0].Status = tinkpb.KeyStatusType_DISABLED }),
		"one id twice":  changed(func(s *tinkpb.Keyset) { s.Key = append(s.Key, s.Key[0]) }),
		"output prefix": changed(func(s *tinkpb.Keyset) { s.Key[0].OutputPrefixType = tinkpb.OutputPrefixType_TINK }),
		"no key":        changed(func(s *tinkpb.Keyset) { s.Key[0].KeyData = nil }),
		"bad key":       changed(func(s *tinkpb.Keyset) { s.Key[0].KeyData.Value = []byte{0xff} }),
		"short key":     changed(func(s *tinkpb.Keyset) { s.Key[0].KeyData.Value = s.Key[0].KeyData.Value[:20] }),
		"salt": changed(func(s *tinkpb.Keyset) {
			b, err := proto.Marshal(&prfpb.HkdfPrfKey{Params: &prfpb.HkdfPrfParams{Hash: commonpb.HashType_SHA256, Salt: []byte("s")}, KeyValue: make([]byte, 32)})
			require.NoError(t, err)
			s.Key[0].KeyData.Value = b
		}),
		"SHA-512": changed(func(s *tinkpb.Keyset) {
			b, err := proto.Marshal(&prfpb.HkdfPrfKey{Params: &prfpb.HkdfPrfParams{Hash: commonpb.HashType_SHA512}, KeyValue: make([]byte, 32)})
			require.NoError(t, err)
			s.Key[0].KeyData.Value = b
		}),
		"other type": changed(func(s *tinkpb.Keyset) { s.Key[0].KeyData.TypeUrl += "X" }),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parseKeyset("x", [32]byte{}, b)
			require.ErrorIs(t, err, ErrCorrupt)
		})
	}
}

// Parsing what a KEK unwrapped must not panic, whatever it is, and what is
// accepted derives what Tink derives.
func FuzzParseKeyset(f *testing.F) {
	s := &tinkpb.Keyset{}
	for range 3 {
		require.NoError(f, addVersion(s))
		b, err := proto.Marshal(s)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, _, err := parseKeyset("x", [32]byte{}, b)
		if err != nil {
			if k != nil {
				t.Fatal("a keyset beside an error")
			}
			return
		}
		h, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(b)))
		if err != nil {
			t.Skip() // Tink is stricter, for instance on unknown statuses
		}
		set, err := prf.NewPRFSet(h)
		if err != nil {
			t.Skip()
		}
		want, err := set.PRFs[k.Primary()].ComputePRF(lp.Append(nil, "label"), 32)
		require.NoError(t, err)
		got, err := k.Derive(k.Primary(), "label")
		require.NoError(t, err)
		require.Equal(t, want, secret.Expose(got))
	})
}

func TestTinkAEADs(t *testing.T) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	a, err := aead.New(h)
	require.NoError(t, err)
	for name, kek := range map[string]KEK{"plain": TinkAEAD(a), "context": TinkAEADWithContext(withContext{a})} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			wrapped, err := kek.Wrap(ctx, []byte("keyset"), []byte("ad"))
			require.NoError(t, err)
			got, err := kek.Unwrap(ctx, wrapped, []byte("ad"))
			require.NoError(t, err)
			require.Equal(t, "keyset", string(got))
			_, err = kek.Unwrap(ctx, wrapped, []byte("da"))
			require.Error(t, err)
			cfg := Config{Store: NewMemoryStore(), Journal: NewMemoryJournal(), KEK: kek}
			_, err = Create(ctx, "clinic", cfg)
			require.NoError(t, err)
			_, err = Open(ctx, cfg)
			require.NoError(t, err)
		})
	}
}

type withContext struct {
	aead interface {
		Encrypt(plaintext, ad []byte) ([]byte, error)
		Decrypt(ciphertext, ad []byte) ([]byte, error)
	}
}

func (a withContext) EncryptWithContext(_ context.Context, p, ad []byte) ([]byte, error) {
	return a.aead.Encrypt(p, ad)
}

func (a withContext) DecryptWithContext(_ context.Context, c, ad []byte) ([]byte, error) {
	return a.aead.Decrypt(c, ad)
}
