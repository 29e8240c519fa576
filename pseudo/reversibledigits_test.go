package pseudo

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

func TestDigits(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study, insurer)
	a := &clerk{}
	r := openReversible(t, ring, study, a)
	values := []string{"9271-0603-1200-0001", "not a number", "9204014804000002"}
	results := r.DigitsAll(ctx, NIK, values)
	var digits []string
	for i, v := range values {
		one, err := r.Digits(ctx, NIK, v)
		require.Equal(t, err, results[i].Err)
		require.Equal(t, one, results[i].Token)
		digits = append(digits, one)
	}
	require.Empty(t, a.asked)
	require.Empty(t, digits[1])
	for _, i := range []int{0, 2} {
		require.Len(t, digits[i], 16)
		_, err := NIK.Normalize(digits[i])
		require.Error(t, err, "the token is a NIK")
	}
	got, err := r.ReverseDigits(ctx, NIK, append(digits, sandboxNIK, "x"))
	require.NoError(t, err)
	require.Equal(t, []Reversal{{Domain: study, Kind: NIK, Count: 5}}, a.asked)
	require.Equal(t, Reversed{Value: sandboxNIK}, got[0])
	require.Equal(t, Reversed{Value: "9204014804000002"}, got[2])
	for _, i := range []int{1, 3, 4} {
		require.ErrorIs(t, got[i].Err, ErrToken)
		require.Empty(t, got[i].Value)
		requireNoValue(t, got[i].Err, sandboxNIK)
	}
	got, err = r.ReverseDigits(ctx, NIK, nil)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Len(t, a.asked, 1)

	elsewhere, err := openReversible(t, ring, insurer, nil).Digits(ctx, NIK, sandboxNIK)
	require.NoError(t, err)
	require.NotEqual(t, digits[0], elsewhere)
	_, err = r.Digits(ctx, Phone, "+6281000000001")
	require.ErrorIs(t, err, ErrNotRepresentable)
	require.ErrorIs(t, r.DigitsAll(ctx, Phone, []string{"+6281000000001"})[0].Err, ErrNotRepresentable)
}

// TestDigitsConstruction: the key is that of the definition.
func TestDigitsConstruction(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	ks, err := ring.Keyset(ctx, study)
	require.NoError(t, err)
	key, err := ks.Derive(ks.Primary(), "rahasia/digits/v1", study, "nik", "1")
	require.NoError(t, err)
	f, err := newFormat(NIK, ks.Primary(), key)
	require.NoError(t, err)
	want, err := f.seal(sandboxNIK)
	require.NoError(t, err)
	got, err := openReversible(t, ring, study, nil).Digits(ctx, NIK, sandboxNIK)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// TestDigitsRotation: three readable versions of a NIK's digits can be told
// apart, a fourth cannot: then none is made and none reversed until one ends.
func TestDigitsRotation(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	a := &clerk{}
	r := openReversible(t, ring, study, a)
	var digits []string
	for i := range 3 {
		if i > 0 {
			_, err := ring.Rotate(ctx, study)
			require.NoError(t, err)
		}
		d, err := r.Digits(ctx, NIK, sandboxNIK)
		require.NoError(t, err)
		slot, ok := formatVersion(d)
		require.True(t, ok)
		require.Equal(t, uint32(i+1)%3, slot)
		digits = append(digits, d)
	}
	got, err := r.ReverseDigits(ctx, NIK, digits)
	require.NoError(t, err)
	for _, g := range got {
		require.Equal(t, Reversed{Value: sandboxNIK}, g)
	}
	a.asked = nil

	_, err = ring.Rotate(ctx, study)
	require.NoError(t, err)
	_, err = r.Digits(ctx, NIK, sandboxNIK)
	require.ErrorIs(t, err, ErrVersions)
	require.ErrorIs(t, r.DigitsAll(ctx, NIK, []string{sandboxNIK})[0].Err, ErrVersions)
	got, err = r.ReverseDigits(ctx, NIK, digits)
	require.ErrorIs(t, err, ErrVersions)
	require.Nil(t, got)
	require.Empty(t, a.asked)

	require.NoError(t, ring.SetState(ctx, study, 2, keyring.Suspended)) // not the one that is alike
	_, err = r.Digits(ctx, NIK, sandboxNIK)
	require.ErrorIs(t, err, ErrVersions)
	require.NoError(t, ring.SetState(ctx, study, 1, keyring.Suspended))
	d, err := r.Digits(ctx, NIK, sandboxNIK)
	require.NoError(t, err)
	got, err = r.ReverseDigits(ctx, NIK, []string{d, digits[1], digits[2]})
	require.NoError(t, err)
	require.Equal(t, Reversed{Value: sandboxNIK}, got[0])
	require.ErrorIs(t, got[1].Err, keyring.ErrUnknownVersion)
	require.Equal(t, Reversed{Value: sandboxNIK}, got[2])

	// what changes while the authority thinks counts
	a.during = func() { require.NoError(t, ring.SetState(ctx, study, 1, keyring.Deactivated)) }
	got, err = r.ReverseDigits(ctx, NIK, []string{d})
	require.ErrorIs(t, err, ErrVersions)
	require.Nil(t, got)
}

// TestDigitsCanTell: which sets of readable versions show in a token.
func TestDigitsCanTell(t *testing.T) {
	f, err := newFormat(BPJS, 1, secret.Random())
	require.NoError(t, err)
	for _, c := range []struct {
		kind     Kind
		versions []uint32
		ok       bool
	}{
		{NIK, []uint32{1}, true}, {NIK, []uint32{3, 2, 1}, true}, {NIK, []uint32{4, 1}, false}, {NIK, []uint32{4, 3, 2}, true},
		{NIK, []uint32{4, 3, 2, 1}, false}, {NIK, []uint32{9, 3}, false}, {NIK, []uint32{1<<32 - 1, 1}, true},
		{BPJS, []uint32{7}, true}, {BPJS, []uint32{2, 1}, false}, {BPJS, []uint32{4, 1}, false},
	} {
		p := &plan[reversibleKeys]{domain: study, versions: c.versions, keys: make([]reversibleKeys, len(c.versions))}
		for i := range p.keys {
			p.keys[i].formats[0] = f
		}
		err := canTell(p, c.kind, 0)
		if c.ok {
			require.NoError(t, err, c)
		} else {
			require.ErrorIs(t, err, ErrVersions, c)
		}
	}
}

// TestDigitsBPJS: a number's digits carry no version, so a second readable one
// ends them.
func TestDigitsBPJS(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	r := openReversible(t, ring, study, &clerk{})
	const number = "0001260979209"
	d, err := r.Digits(ctx, BPJS, number)
	require.NoError(t, err)
	require.Len(t, d, 13)
	require.NotEqual(t, number, d)
	got, err := r.ReverseDigits(ctx, BPJS, []string{d, "1"})
	require.NoError(t, err)
	require.Equal(t, Reversed{Value: number}, got[0])
	require.ErrorIs(t, got[1].Err, ErrToken)
	_, err = ring.Rotate(ctx, study)
	require.NoError(t, err)
	_, err = r.Digits(ctx, BPJS, number)
	require.ErrorIs(t, err, ErrVersions)
	_, err = r.ReverseDigits(ctx, BPJS, []string{d})
	require.ErrorIs(t, err, ErrVersions)
}
