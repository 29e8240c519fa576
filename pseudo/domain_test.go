package pseudo

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// newRing returns a ring with the keysets of some domains.
func newRing(t testing.TB, names ...string) *keyring.Ring {
	t.Helper()
	kek, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	ring, err := keyring.Create(context.Background(), "test", keyring.Config{
		Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek,
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	for _, name := range names {
		require.NoError(t, ring.CreateKeyset(context.Background(), name))
	}
	return ring
}

func open(t testing.TB, ring *keyring.Ring, name string) *Domain {
	t.Helper()
	d, err := Open(context.Background(), ring, name)
	require.NoError(t, err)
	return d
}

const study, insurer = "research/ui-2026", "insurer/x"

func TestOpen(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study, "clinical")
	require.Equal(t, study, open(t, ring, study).Name())
	for _, c := range []struct {
		ring *keyring.Ring
		name string
		want error
	}{
		{ring, "", ErrNoDomain},
		{ring, "clinical", ErrNoDomain}, // a compartment
		{ring, "ring", ErrNoDomain},     // the ring's own keyset
		{nil, study, ErrNoDomain},
		{ring, "research/ui-2027", keyring.ErrNoKeyset}, // a typo makes no domain
		{ring, "research/", keyring.ErrName},
		{ring, "research/ui 2026", keyring.ErrName},
		{ring, "research/" + strings.Repeat("x", 128), keyring.ErrName},
		{ring.Only("clinical"), study, keyring.ErrNotGranted},
	} {
		d, err := Open(ctx, c.ring, c.name)
		require.ErrorIs(t, err, c.want, c.name)
		require.Nil(t, d, c.name)
	}
	_, err := ring.Keyset(ctx, "research/ui-2027")
	require.ErrorIs(t, err, keyring.ErrNoKeyset, "opening a mistyped domain has created its keyset")
}

func TestDomainNotOpened(t *testing.T) {
	ctx := context.Background()
	var zero Domain
	_, err := zero.Token(ctx, NIK, sandboxNIK)
	require.ErrorIs(t, err, ErrNoDomain)
	_, err = zero.TokenAt(ctx, 1, NIK, sandboxNIK)
	require.ErrorIs(t, err, ErrNoDomain)
	_, err = zero.Lookup(ctx, NIK, sandboxNIK)
	require.ErrorIs(t, err, ErrNoDomain)
	for _, r := range zero.Tokens(ctx, NIK, []string{sandboxNIK}) {
		require.ErrorIs(t, r.Err, ErrNoDomain)
		require.True(t, r.Token.IsZero())
	}
}

// TestTokenConstruction computes a token from its definition, with the label
// written out and the standard library's HMAC.
func TestTokenConstruction(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	d := open(t, ring, study)
	ks, err := ring.Keyset(ctx, study)
	require.NoError(t, err)
	for _, c := range []struct {
		kind          Kind
		value, normal string
	}{
		{NIK, "9271-0603-1200-0001", sandboxNIK},
		{Phone, "0810-0000-0001", "+6281000000001"},
		{Name, "Dr. Ardianto Putra", "ardianto putra"},
		{Subject, strings.Repeat("x", 200), strings.Repeat("x", 200)}, // longer than the scratch buffer
		{Subject, strings.Repeat("x", 64), strings.Repeat("x", 64)},
		{BPJS, "0001-2345-67890", "0001234567890"},
		{MRN, "3171012|00-12-34", "3171012|001234"},
		{Passport, "idn|x 1234567", "IDN|X1234567"},
		{Email, "Budi@Example.ID", "budi@example.id"},
		{MotherNIK, "9271-0603-1200-0001", sandboxNIK},
		{KK, "3171-0103-1220-0001", "3171010312200001"},
		{ContactPhone, "0810-0000-0001", "+6281000000001"},
	} {
		key, err := ks.Derive(ks.Primary(), "rahasia/token/v1", study, string(c.kind), "1")
		require.NoError(t, err)
		mac := hmac.New(sha256.New, secret.Expose(key))
		mac.Write([]byte(c.normal))
		got, err := d.Token(ctx, c.kind, c.value)
		require.NoError(t, err)
		require.Equal(t, hex.EncodeToString(mac.Sum(nil)[:16]), hex.EncodeToString(got.Bytes()[5:]))
		require.Equal(t, ks.Primary(), got.Version())
	}
}

// TestVectors checks every intermediate of vectors that Python computed.
func TestVectors(t *testing.T) {
	file, err := os.ReadFile("testdata/vectors/token_v1.json")
	require.NoError(t, err)
	var set struct {
		Vectors []struct {
			Domain, Value, Info, PRK, Normal, HMAC, Binary, Text string
			Kind                                                 Kind
			Version                                              uint32
			PRFKey                                               string `json:"prf_key"`
			TokenKey                                             string `json:"token_key"`
		}
	}
	require.NoError(t, json.Unmarshal(file, &set))
	require.NotEmpty(t, set.Vectors)
	for _, v := range set.Vectors {
		normal, place, err := v.Kind.normalize(v.Value)
		require.NoError(t, err)
		require.Equal(t, v.Normal, normal)
		info := lp.Append(nil, tokenLabel, v.Domain, string(v.Kind), v.Kind.normalizer())
		require.Equal(t, v.Info, hex.EncodeToString(info))
		ikm, err := hex.DecodeString(v.PRFKey)
		require.NoError(t, err)
		prk := secret.Extract(ikm, nil)
		require.Equal(t, v.PRK, hex.EncodeToString(secret.Expose(prk)))
		key := secret.Derive(prk, info)
		require.Equal(t, v.TokenKey, hex.EncodeToString(secret.Expose(key)))
		h := hmac.New(sha256.New, secret.Expose(key))
		h.Write([]byte(normal))
		require.Equal(t, v.HMAC, hex.EncodeToString(h.Sum(nil)))

		keys := tokenKeys{version: v.Version}
		keys.macs[place] = newMAC(key)
		tok := keys.token(place, normal)
		require.Equal(t, v.Binary, hex.EncodeToString(tok.Bytes()))
		require.Equal(t, v.Text, tok.String())
	}
}

// TestPhoneWrittenManyWays: one number, one token.
func TestPhoneWrittenManyWays(t *testing.T) {
	d := open(t, newRing(t, study), study)
	results := d.Tokens(context.Background(), Phone, []string{
		"0810-0000-0001", "081000000001", "+62 810 0000 0001", "62 810-0000-0001", "(+62) 810 0000 0001", "+62 (0)810.0000.0001",
	})
	for _, r := range results {
		require.NoError(t, r.Err)
		require.True(t, r.Token == results[0].Token)
	}
}

func TestTokensPerItem(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	d := open(t, ring, study)
	values := []string{sandboxNIK, "not a number", "9204014804000002", ""}
	results := d.Tokens(ctx, NIK, values)
	require.Len(t, results, len(values))
	for i, v := range values {
		one, err := d.Token(ctx, NIK, v)
		require.Equal(t, err, results[i].Err)
		require.True(t, one == results[i].Token)
		require.Equal(t, err != nil, results[i].Token.IsZero())
	}
	require.Equal(t, []string{sandboxNIK, "not a number", "9204014804000002", ""}, values)
	require.Empty(t, d.Tokens(ctx, NIK, nil))
	for _, r := range d.Tokens(ctx, "sex", values) {
		require.ErrorIs(t, r.Err, ErrUnknownKind)
		require.True(t, r.Token.IsZero())
	}
	require.NoError(t, ring.Close())
	for i, r := range d.Tokens(ctx, NIK, values) {
		require.Error(t, r.Err, values[i])
		require.True(t, r.Token.IsZero())
	}
}

// TestRotation: an open domain sees the new version, finds what the old one
// made, and can make the old one's token again.
func TestRotation(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	d := open(t, ring, study)
	old, err := d.Token(ctx, NIK, sandboxNIK)
	require.NoError(t, err)
	found, err := d.Lookup(ctx, NIK, sandboxNIK)
	require.NoError(t, err)
	require.Equal(t, []Token{old}, found)

	version, err := ring.Rotate(ctx, study)
	require.NoError(t, err)
	fresh, err := d.Token(ctx, NIK, sandboxNIK)
	require.NoError(t, err)
	require.Equal(t, version, fresh.Version())
	require.NotEqual(t, old.mac, fresh.mac)
	found, err = d.Lookup(ctx, NIK, sandboxNIK)
	require.NoError(t, err)
	require.Equal(t, []Token{fresh, old}, found)

	for _, want := range found {
		again, err := d.TokenAt(ctx, want.Version(), NIK, sandboxNIK)
		require.NoError(t, err)
		require.True(t, again == want)
	}
	for _, v := range []uint32{0, version + 1, 1 << 31} {
		tok, err := d.TokenAt(ctx, v, NIK, sandboxNIK)
		require.ErrorIs(t, err, keyring.ErrUnknownVersion)
		require.True(t, tok.IsZero())
		requireNoValue(t, err, sandboxNIK)
	}
}

// TestDomainErrors: a refused value, an unknown kind and a closed ring, from
// every method; no error holds the value, and nothing else is returned.
func TestDomainErrors(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	d := open(t, ring, study)
	check := func(kind Kind, value string, want func(error)) {
		t.Helper()
		tok, err := d.Token(ctx, kind, value)
		want(err)
		require.True(t, tok.IsZero())
		tok, err = d.TokenAt(ctx, 1, kind, value)
		want(err)
		require.True(t, tok.IsZero())
		found, err := d.Lookup(ctx, kind, value)
		want(err)
		require.Empty(t, found)
		results := d.Tokens(ctx, kind, []string{value})
		require.Len(t, results, 1)
		want(results[0].Err)
		require.True(t, results[0].Token.IsZero())
		requireNoValue(t, err, value)
	}
	refusals(t, ring, check)
}

// refusals calls check for a malformed value, an unknown kind and a closed ring,
// with what every verb must answer. It closes the ring.
func refusals(t *testing.T, ring *keyring.Ring, check func(kind Kind, value string, want func(error))) {
	t.Helper()
	check(NIK, "9271060313000001", func(err error) {
		var format *FormatError
		require.ErrorAs(t, err, &format)
	})
	check("sex", sandboxNIK, func(err error) { require.ErrorIs(t, err, ErrUnknownKind) })
	check("iban", sandboxNIK, func(err error) { require.ErrorIs(t, err, ErrUnknownKind) })
	require.NoError(t, ring.Close())
	check(NIK, sandboxNIK, func(err error) { require.ErrorIs(t, err, keyring.ErrClosed) })
}

// TestDomainRace: many goroutines, two domains, rotations meanwhile; each
// token is one of those that a quiet domain gives. Run with -race.
func TestDomainRace(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study, insurer)
	domains := []*Domain{open(t, ring, study), open(t, ring, insurer)}
	nik := func(i int) string { return fmt.Sprintf("9271060312%06d", i) }
	const workers, each = 16, 200
	type made struct {
		domain, n int
		token     Token
	}
	got := make([][]made, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				n := w%2 + i
				tok, err := domains[n%2].Token(ctx, NIK, nik(n))
				if err != nil {
					t.Error(err)
					return
				}
				got[w] = append(got[w], made{n % 2, n, tok})
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if _, err := ring.Rotate(ctx, study); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for _, list := range got {
		require.Len(t, list, each)
		for _, m := range list {
			want, err := domains[m.domain].TokenAt(ctx, m.token.Version(), NIK, nik(m.n))
			require.NoError(t, err)
			require.True(t, want == m.token)
		}
	}
}

// TestTokenAllocates: nothing, for a value that is already normal.
func TestTokenAllocates(t *testing.T) {
	ctx := context.Background()
	d := open(t, newRing(t, study), study)
	for kind, value := range map[Kind]string{NIK: sandboxNIK, Phone: "+6281000000001", Name: "ardianto putra", Subject: "P02478375538",
		BPJS: "0001234567890", MRN: "3171012|001234", Passport: "IDN|X1234567", Email: "budi@example.id", KK: "3171010312200001"} {
		n := testing.AllocsPerRun(1000, func() {
			if _, err := d.Token(ctx, kind, value); err != nil {
				t.Fatal(err)
			}
		})
		if raceEnabled {
			continue // the race detector drops pooled values at random
		}
		require.Zero(t, n, kind)
	}
}
