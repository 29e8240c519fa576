package pseudo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// recipients opens n domains of one ring.
func recipients(t testing.TB, n int) (*keyring.Ring, []*Domain) {
	t.Helper()
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("recipient/r%02d", i))
	}
	ring := newRing(t, names...)
	var domains []*Domain
	for _, name := range names {
		domains = append(domains, open(t, ring, name))
	}
	return ring, domains
}

// people yields n numbers of persons, always the same.
func people(n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range n {
			if !yield(person(i)) {
				return
			}
		}
	}
}

func person(i int) string { return fmt.Sprintf("927106%02d%02d%06d", i%28+1, i%12+1, i) }

// noise is a token that nobody made.
func noise(r *rand.Rand, version uint32) Token {
	t := Token{version: version}
	for i := range t.mac {
		t.mac[i] = byte(r.Uint32())
	}
	return t
}

func tokensOf(t testing.TB, d *Domain, from, to int) []Token {
	t.Helper()
	var list []Token
	for i := from; i < to; i++ {
		tok, err := d.Token(context.Background(), NIK, person(i))
		require.NoError(t, err)
		list = append(list, tok)
	}
	return list
}

// TestAttribute: 1,000 tokens of one recipient of 20, some twice, in twice as
// much noise, against many candidates: that recipient, all of them, and nobody
// else.
func TestAttribute(t *testing.T) {
	candidates := 1_000_000
	if testing.Short() {
		candidates = 100_000
	}
	if raceEnabled {
		candidates /= 20
	}
	ring, domains := recipients(t, 20)
	for _, d := range domains[5:9] { // some have been rotated; their new version occurs in nothing
		_, err := ring.Rotate(context.Background(), d.name)
		require.NoError(t, err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	var leaked []Token
	for i := range 1000 {
		leaked = append(leaked, tokensOf(t, domains[13], i*(candidates/1000), i*(candidates/1000)+1)...)
	}
	made := map[Token]bool{}
	for _, tok := range leaked {
		made[tok] = true
	}
	for range 2000 {
		leaked = append(leaked, noise(r, 1))
	}
	leaked = append(leaked, leaked[:10]...)
	leaked = append(leaked, Token{})
	r.Shuffle(len(leaked), func(i, j int) { leaked[i], leaked[j] = leaked[j], leaked[i] })

	began := time.Now()
	a, err := Attribute(context.Background(), domains, NIK, leaked, func(yield func(string) bool) {
		if yield("not a number") {
			people(candidates)(yield)
		}
	})
	require.NoError(t, err)
	t.Logf("%d candidates, %.0f a second, 20 domains", candidates, float64(candidates)/time.Since(began).Seconds())
	require.Equal(t, [4]int{3000, 1000, candidates, 1}, [4]int{a.Leaked, a.Explained, a.Candidates, a.Refused})
	require.Len(t, a.Evidence, 20)
	first := a.Evidence[0]
	require.Equal(t, "recipient/r13", first.Domain)
	require.Equal(t, uint32(1), first.Version)
	require.Equal(t, [2]int{3000, 1000}, [2]int{first.Leaked, first.Explained})
	require.Zero(t, first.Chance)
	require.NoError(t, first.Err)
	require.Len(t, first.Places, 1010)
	require.True(t, slices.IsSorted(first.Places))
	for _, i := range first.Places {
		require.True(t, made[leaked[i]])
	}
	for _, e := range a.Evidence[1:] {
		require.Equal(t, Evidence{Domain: e.Domain, Version: 1, Leaked: 3000, Chance: 1}, e)
	}
}

// TestAttributeVersions: the tables of two recipients and two versions in one
// leak; and a version whose key is gone clears nobody.
func TestAttributeVersions(t *testing.T) {
	ctx := context.Background()
	ring, domains := recipients(t, 3)
	leaked := tokensOf(t, domains[0], 0, 10)
	_, err := ring.Rotate(ctx, domains[0].name)
	require.NoError(t, err)
	leaked = append(leaked, tokensOf(t, domains[0], 0, 20)...)
	leaked = append(leaked, tokensOf(t, domains[1], 0, 5)...)
	a, err := Attribute(ctx, domains, NIK, leaked, people(100))
	require.NoError(t, err)
	require.Equal(t, 35, a.Leaked)
	require.Equal(t, 35, a.Explained)
	require.Len(t, a.Evidence, 4)
	for i, want := range []Evidence{
		{Domain: "recipient/r00", Version: 2, Leaked: 20, Explained: 20},
		{Domain: "recipient/r00", Version: 1, Leaked: 15, Explained: 10},
		{Domain: "recipient/r01", Version: 1, Leaked: 15, Explained: 5},
		{Domain: "recipient/r02", Version: 1, Leaked: 15},
	} {
		got := a.Evidence[i]
		require.Equal(t, want.Explained > 0, got.Chance < 1e-100, i)
		require.Len(t, got.Places, want.Explained)
		got.Chance, got.Places = 0, nil
		require.Equal(t, want, got)
	}

	require.NoError(t, ring.SetState(ctx, domains[0].name, 1, keyring.Suspended))
	a, err = Attribute(ctx, domains, NIK, leaked, people(100))
	require.NoError(t, err)
	require.Equal(t, 25, a.Explained)
	require.Len(t, a.Evidence, 4)
	lost := a.Evidence[2]
	require.Equal(t, "recipient/r00", lost.Domain)
	require.Equal(t, uint32(1), lost.Version)
	require.Equal(t, [3]int{15, 0, 0}, [3]int{lost.Leaked, lost.Explained, len(lost.Places)})
	require.Equal(t, float64(1), lost.Chance)
	require.ErrorIs(t, lost.Err, keyring.ErrUnknownVersion)
}

// TestAttributeFindsNobody: strangers, another kind, no candidates, no tokens.
func TestAttributeFindsNobody(t *testing.T) {
	ctx := context.Background()
	_, domains := recipients(t, 3)
	leaked := tokensOf(t, domains[0], 0, 50)
	for name, c := range map[string]struct {
		kind       Kind
		leaked     []Token
		candidates iter.Seq[string]
	}{
		"strangers":     {NIK, leaked, func(yield func(string) bool) { yield(person(50)) }},
		"another kind":  {Subject, leaked, people(100)},
		"no candidates": {NIK, leaked, people(0)},
		"no tokens":     {NIK, nil, people(10)},
		"zero tokens":   {NIK, make([]Token, 3), people(10)},
		"no domain has": {NIK, []Token{noise(rand.New(rand.NewPCG(1, 1)), 7)}, people(10)},
	} {
		a, err := Attribute(ctx, domains, c.kind, c.leaked, c.candidates)
		require.NoError(t, err, name)
		require.Zero(t, a.Explained, name)
		for _, e := range a.Evidence {
			require.Zero(t, e.Explained, name)
			require.Equal(t, float64(1), e.Chance, name)
		}
	}
}

func TestAttributeErrors(t *testing.T) {
	ctx := context.Background()
	ring, domains := recipients(t, 2)
	leaked := tokensOf(t, domains[0], 0, 5)
	_, err := Attribute(ctx, domains, "iban", leaked, people(5))
	require.ErrorIs(t, err, ErrUnknownKind)
	_, err = Attribute(ctx, []*Domain{domains[0], {}}, NIK, leaked, people(5))
	require.ErrorIs(t, err, ErrNoDomain)

	// an endless list of candidates ends with the context
	ending, cancel := context.WithCancel(ctx)
	n := 0
	a, err := Attribute(ending, domains, NIK, leaked, func(yield func(string) bool) {
		for yield(person(n % 1000)) {
			if n++; n == 10_000 {
				cancel()
			}
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, Attribution{}, a)

	// a panic of the caller's reaches the caller, and leaves nothing running
	require.PanicsWithValue(t, "candidates", func() {
		_, _ = Attribute(ctx, domains, NIK, leaked, func(func(string) bool) { panic("candidates") })
	})

	require.NoError(t, ring.Close())
	_, err = Attribute(ctx, domains, NIK, leaked, people(5))
	require.ErrorIs(t, err, keyring.ErrClosed)
}

// TestAttributeChance compares the bound with the binomial distribution of a
// smaller token, and looks at its ends.
func TestAttributeChance(t *testing.T) {
	require.Equal(t, float64(1), chance(1000, 1000, 0))
	one := chance(1000, 10_000_000, 1)
	require.InEpsilon(t, 1e10*math.Pow(2, -128), one, 1e-9)
	require.InEpsilon(t, 3e-29, one, 0.03) // as the doc comment and SPEC.md say
	require.InEpsilon(t, one*one/2, chance(1000, 10_000_000, 2), 1e-9)
	require.Zero(t, chance(1000, 10_000_000, 1000))
	require.InEpsilon(t, 0.25, chance(math.MaxInt64, math.MaxInt64, 1), 1e-9) // never above 1
}

// TestAttributeReversible: reversible tokens name their domain without a
// candidate and without asking for a reversal.
func TestAttributeReversible(t *testing.T) {
	ctx := context.Background()
	ring, plain := recipients(t, 5)
	a := &clerk{}
	var domains []*Reversible
	for _, d := range plain {
		domains = append(domains, openReversible(t, ring, d.name, a))
	}
	var leaked []ReversibleToken
	add := func(d, from, to int) {
		for i := from; i < to; i++ {
			leaked = append(leaked, reversibleToken(t, domains[d], NIK, person(i)))
		}
	}
	add(3, 0, 1000)
	add(3, 0, 10) // twice
	_, err := ring.Rotate(ctx, domains[1].Name())
	require.NoError(t, err)
	add(1, 0, 7)
	for i := range 500 {
		leaked = append(leaked, newReversibleToken(1, fmt.Appendf(nil, "noise%027d", i)))
	}
	leaked = append(leaked, ReversibleToken{}, reversibleToken(t, domains[0], Name, "Ardianto Putra"), newReversibleToken(9, make([]byte, 32)))

	got, err := AttributeReversible(ctx, domains, NIK, leaked)
	require.NoError(t, err)
	require.Empty(t, a.asked)
	require.Equal(t, 1000+7+500+2, got.Leaked)
	require.Equal(t, 1007, got.Explained)
	require.Zero(t, got.Candidates+got.Refused)
	require.Len(t, got.Evidence, 6)
	first, second := got.Evidence[0], got.Evidence[1]
	require.Equal(t, "recipient/r03", first.Domain)
	require.Equal(t, [2]int{1501, 1000}, [2]int{first.Leaked, first.Explained})
	require.Len(t, first.Places, 1010)
	require.True(t, slices.IsSorted(first.Places))
	require.Equal(t, 1009, first.Places[1009])
	require.Zero(t, first.Chance)
	require.Equal(t, "recipient/r01", second.Domain)
	require.Equal(t, uint32(2), second.Version)
	require.Equal(t, [2]int{7, 7}, [2]int{second.Leaked, second.Explained})
	require.Less(t, second.Chance, 1e-200)
	for _, e := range got.Evidence[2:] {
		require.Equal(t, Evidence{Domain: e.Domain, Version: 1, Leaked: 1501, Chance: 1}, e)
	}

	require.NoError(t, ring.SetState(ctx, domains[1].Name(), 1, keyring.Suspended))
	got, err = AttributeReversible(ctx, domains, NIK, leaked)
	require.NoError(t, err)
	lost := slices.IndexFunc(got.Evidence, func(e Evidence) bool { return e.Err != nil })
	require.ErrorIs(t, got.Evidence[lost].Err, keyring.ErrUnknownVersion)
	require.Equal(t, "recipient/r01", got.Evidence[lost].Domain)

	_, err = AttributeReversible(ctx, domains, "iban", leaked)
	require.ErrorIs(t, err, ErrUnknownKind)
	_, err = AttributeReversible(ctx, []*Reversible{{}}, NIK, leaked)
	require.ErrorIs(t, err, ErrNoDomain)
	ended, cancel := context.WithCancelCause(ctx)
	cancel(errors.New("enough"))
	_, err = AttributeReversible(ended, domains, NIK, leaked)
	require.ErrorIs(t, err, context.Canceled)
}

// BenchmarkAttribute is what one leak of 1,000 tokens costs with 20 recipients.
func BenchmarkAttribute(b *testing.B) {
	_, domains := recipients(b, 20)
	leaked := tokensOf(b, domains[13], 0, 1000)
	const n = 20_000
	list := slices.Collect(people(n))
	b.ResetTimer()
	for range b.N {
		if a, err := Attribute(context.Background(), domains, NIK, leaked, slices.Values(list)); err != nil || a.Explained != 1000 {
			b.Fatal(a.Explained, err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "candidates/s")
}
