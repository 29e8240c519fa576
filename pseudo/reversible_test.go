package pseudo

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/internal/siv"
	"github.com/rahasia/rahasia/keyring"
)

// A clerk allows what it is told to and keeps what it was asked.
type clerk struct {
	mu     sync.Mutex
	asked  []Reversal
	refuse error
	during func() // what happens while it thinks
}

func (c *clerk) Authorize(_ context.Context, r Reversal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, r)
	if c.during != nil {
		c.during()
	}
	return c.refuse
}

func openReversible(t testing.TB, ring *keyring.Ring, name string, a Authority) *Reversible {
	t.Helper()
	r, err := OpenReversible(context.Background(), ring, name, a)
	require.NoError(t, err)
	return r
}

func reversibleToken(t testing.TB, r *Reversible, kind Kind, value string) ReversibleToken {
	t.Helper()
	tok, err := r.Token(context.Background(), kind, value)
	require.NoError(t, err)
	return tok
}

// TestReversibleVectors checks every intermediate of vectors that Python's
// cryptography computed.
func TestReversibleVectors(t *testing.T) {
	file, err := os.ReadFile("testdata/vectors/reversible_v1.json")
	require.NoError(t, err)
	var set struct {
		Vectors []struct {
			Domain, Value, Normal, AD, SIV, Ciphertext, Binary, Text string
			Kind                                                     Kind
			Version                                                  uint32
			PRFKey                                                   string `json:"prf_key"`
			InfoMAC                                                  string `json:"info_mac"`
			InfoCTR                                                  string `json:"info_ctr"`
			KeyMAC                                                   string `json:"key_mac"`
			KeyCTR                                                   string `json:"key_ctr"`
		}
	}
	require.NoError(t, json.Unmarshal(file, &set))
	require.Len(t, set.Vectors, 8)
	for _, v := range set.Vectors {
		normal, place, err := v.Kind.normalize(v.Value)
		require.NoError(t, err)
		require.Equal(t, v.Normal, normal)
		infoMAC := lp.Append(nil, "rahasia/reversible/v1", v.Domain, string(v.Kind), v.Kind.normalizer(), "mac")
		infoCTR := lp.Append(nil, "rahasia/reversible/v1", v.Domain, string(v.Kind), v.Kind.normalizer(), "ctr")
		require.Equal(t, v.InfoMAC, hex.EncodeToString(infoMAC))
		require.Equal(t, v.InfoCTR, hex.EncodeToString(infoCTR))
		ikm, err := hex.DecodeString(v.PRFKey)
		require.NoError(t, err)
		prk := secret.Extract(ikm, nil)
		mac, ctr := secret.Derive(prk, infoMAC), secret.Derive(prk, infoCTR)
		require.Equal(t, v.KeyMAC, hex.EncodeToString(secret.Expose(mac)))
		require.Equal(t, v.KeyCTR, hex.EncodeToString(secret.Expose(ctr)))
		ad := lp.Append(nil, v.Domain, string(v.Kind))
		require.Equal(t, v.AD, hex.EncodeToString(ad))

		p := &plan[reversibleKeys]{versions: []uint32{v.Version}, keys: []reversibleKeys{{version: v.Version}}}
		p.keys[0].ciphers[place], err = siv.New(mac, ctr, ad)
		require.NoError(t, err)
		tok := p.keys[0].seal(place, normal)
		require.Equal(t, v.SIV+v.Ciphertext, hex.EncodeToString(tok.appendSealed(nil)))
		require.Equal(t, v.Binary, hex.EncodeToString(tok.Bytes()))
		require.Equal(t, v.Text, tok.String())
		parsed, err := ParseReversibleToken(v.Text)
		require.NoError(t, err)
		back, err := openToken(p, place, parsed)
		require.NoError(t, err)
		require.Equal(t, normal, back)
	}
}

// TestReversibleConstruction: the verbs use the keys of the definition.
func TestReversibleConstruction(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	r := openReversible(t, ring, study, nil)
	require.Equal(t, study, r.Name())
	ks, err := ring.Keyset(ctx, study)
	require.NoError(t, err)
	for kind, value := range map[Kind]string{NIK: "9271-0603-1200-0001", Phone: "0810-0000-0001", Name: "Dr. Ardianto Putra", Subject: strings.Repeat("x", 255)} {
		normal, err := kind.Normalize(value)
		require.NoError(t, err)
		mac, err := ks.Derive(ks.Primary(), "rahasia/reversible/v1", study, string(kind), "1", "mac")
		require.NoError(t, err)
		ctr, err := ks.Derive(ks.Primary(), "rahasia/reversible/v1", study, string(kind), "1", "ctr")
		require.NoError(t, err)
		c, err := siv.New(mac, ctr, lp.Append(nil, study, string(kind)))
		require.NoError(t, err)
		tok := reversibleToken(t, r, kind, value)
		require.Equal(t, c.Seal(nil, normal), tok.appendSealed(nil))
		require.Equal(t, ks.Primary(), tok.Version())
		require.Len(t, tok.Bytes(), 21+len(normal))
	}
}

// TestReversibleNormalizers: no normaliser has a second version. When one gets
// it, newReversibleKeys must derive the keys of the first too and openToken must try
// them, or what was promised to be reversible no longer is (docs/SPEC.md).
func TestReversibleNormalizers(t *testing.T) {
	for _, kind := range all() {
		require.Equal(t, "1", kind.normalizer(), kind)
	}
}

func TestReverse(t *testing.T) {
	ctx := context.Background()
	a := &clerk{}
	r := openReversible(t, newRing(t, study), study, a)
	values := []string{"9271-0603-1200-0001", "not a number", "9204014804000002", ""}
	results := r.Tokens(ctx, NIK, values)
	require.Len(t, results, 4)
	var tokens []ReversibleToken
	for i, v := range values {
		one, err := r.Token(ctx, NIK, v)
		require.Equal(t, err, results[i].Err)
		require.True(t, one == results[i].Token)
		require.Equal(t, err != nil, results[i].Token.IsZero())
		tokens = append(tokens, one)
	}
	require.Empty(t, a.asked, "making tokens asks nobody")
	tokens = append(tokens, reversibleSample(16), tokens[0])

	got, err := r.Reverse(ctx, NIK, tokens)
	require.NoError(t, err)
	require.Equal(t, []Reversal{{Domain: study, Kind: NIK, Count: 6}}, a.asked)
	require.Len(t, got, 6)
	require.Equal(t, Reversed{Value: sandboxNIK}, got[0])
	require.Equal(t, Reversed{Value: "9204014804000002"}, got[2])
	require.Equal(t, got[0], got[5])
	require.ErrorIs(t, got[1].Err, ErrToken)
	require.ErrorIs(t, got[3].Err, ErrToken)
	require.ErrorIs(t, got[4].Err, keyring.ErrUnknownVersion)
	for _, i := range []int{1, 3, 4} {
		require.Empty(t, got[i].Value)
	}

	got, err = r.Reverse(ctx, NIK, nil)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Len(t, a.asked, 1, "nothing to ask")
}

// TestReverseRefused: without a yes nothing is opened, by any verb.
func TestReverseRefused(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study, insurer)
	refusal := errors.New("no consent covers this")
	for name, c := range map[string]struct {
		authority Authority
		want      error
	}{
		"refused": {&clerk{refuse: refusal}, refusal},
		"nobody":  {nil, ErrNoAuthority},
	} {
		r := openReversible(t, ring, study, c.authority)
		tokens := []ReversibleToken{reversibleToken(t, r, NIK, sandboxNIK)}
		digits, err := r.Digits(ctx, NIK, sandboxNIK)
		require.NoError(t, err)
		values, err := r.Reverse(ctx, NIK, tokens)
		require.ErrorIs(t, err, c.want, name)
		require.Nil(t, values)
		requireNoValue(t, err, sandboxNIK)
		values, err = r.ReverseDigits(ctx, NIK, []string{digits})
		require.ErrorIs(t, err, c.want, name)
		require.Nil(t, values)
		requireNoValue(t, err, digits)
		translated, err := r.Translate(ctx, open(t, ring, insurer), NIK, tokens)
		require.ErrorIs(t, err, c.want, name)
		require.Nil(t, translated)
		if a, ok := c.authority.(*clerk); ok {
			require.Equal(t, []Reversal{{study, "", NIK, 1}, {study, "", NIK, 1}, {study, insurer, NIK, 1}}, a.asked)
		}
	}
}

// TestReverseAsksOnlyForWhatCanBe: what cannot be reversed at all is not
// reported as if it had been.
func TestReverseAsksOnlyForWhatCanBe(t *testing.T) {
	ctx := context.Background()
	a := &clerk{}
	ring := newRing(t, study, insurer)
	r := openReversible(t, ring, study, a)
	tokens := []ReversibleToken{reversibleToken(t, r, NIK, sandboxNIK)}
	_, err := r.Reverse(ctx, "iban", tokens)
	require.ErrorIs(t, err, ErrUnknownKind)
	_, err = r.Translate(ctx, open(t, ring, insurer), "iban", tokens)
	require.ErrorIs(t, err, ErrUnknownKind)
	_, err = r.Translate(ctx, nil, NIK, tokens)
	require.ErrorIs(t, err, ErrNoDomain)
	_, err = r.Translate(ctx, &Domain{}, NIK, tokens)
	require.ErrorIs(t, err, ErrNoDomain)
	_, err = r.ReverseDigits(ctx, "iban", []string{"1"})
	require.ErrorIs(t, err, ErrUnknownKind)
	_, err = r.ReverseDigits(ctx, Phone, []string{"1"})
	require.ErrorIs(t, err, ErrNotRepresentable)
	require.Empty(t, a.asked)
}

// TestAttackReverseElsewhere: a token opens in its domain, as its kind, under
// its ring; every other answer is the same, and names no value.
func TestAttackReverseElsewhere(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study, insurer)
	mine := openReversible(t, ring, study, &clerk{})
	tok := reversibleToken(t, mine, NIK, sandboxNIK)
	for name, c := range map[string]struct {
		r    *Reversible
		kind Kind
	}{
		"another domain": {openReversible(t, ring, insurer, &clerk{}), NIK},
		"another ring":   {openReversible(t, newRing(t, study), study, &clerk{}), NIK},
		"another kind":   {mine, Subject},
	} {
		got, err := c.r.Reverse(ctx, c.kind, []ReversibleToken{tok})
		require.NoError(t, err)
		require.ErrorIs(t, got[0].Err, ErrToken, name)
		require.Equal(t, "pseudo: not a token: this domain did not make it for this kind", got[0].Err.Error())
		require.Empty(t, got[0].Value)
	}
	raw := tok.Bytes()
	for bit := 8; bit < len(raw)*8; bit++ {
		changed := append([]byte(nil), raw...)
		changed[bit/8] ^= 1 << (bit % 8)
		parsed, err := ReversibleTokenFromBytes(changed)
		if err != nil {
			continue // key version 0
		}
		got, err := mine.Reverse(ctx, NIK, []ReversibleToken{parsed})
		require.NoError(t, err)
		require.Error(t, got[0].Err)
		require.Empty(t, got[0].Value)
	}
}

// TestReverseRotation: older tokens open while their version is readable, and
// not after; also when it ends while the authority thinks.
func TestReverseRotation(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	a := &clerk{}
	r := openReversible(t, ring, study, a)
	old := reversibleToken(t, r, NIK, sandboxNIK)
	version, err := ring.Rotate(ctx, study)
	require.NoError(t, err)
	fresh := reversibleToken(t, r, NIK, sandboxNIK)
	require.Equal(t, version, fresh.Version())
	require.False(t, fresh == old)
	got, err := r.Reverse(ctx, NIK, []ReversibleToken{old, fresh})
	require.NoError(t, err)
	require.Equal(t, []Reversed{{Value: sandboxNIK}, {Value: sandboxNIK}}, got)

	a.during = func() { require.NoError(t, ring.SetState(ctx, study, old.Version(), keyring.Suspended)) }
	got, err = r.Reverse(ctx, NIK, []ReversibleToken{old, fresh})
	require.NoError(t, err)
	require.ErrorIs(t, got[0].Err, keyring.ErrUnknownVersion)
	require.Equal(t, Reversed{Value: sandboxNIK}, got[1])

	a.during = func() { require.NoError(t, ring.Close()) }
	got, err = r.Reverse(ctx, NIK, []ReversibleToken{fresh})
	require.ErrorIs(t, err, keyring.ErrClosed)
	require.Nil(t, got)
}

func TestTranslate(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study, insurer)
	a := &clerk{}
	r, to := openReversible(t, ring, study, a), open(t, ring, insurer)
	tokens := []ReversibleToken{reversibleToken(t, r, Phone, "0810-0000-0001"), {}, reversibleToken(t, r, NIK, sandboxNIK)}
	got, err := r.Translate(ctx, to, Phone, tokens)
	require.NoError(t, err)
	require.Equal(t, []Reversal{{Domain: study, To: insurer, Kind: Phone, Count: 3}}, a.asked)
	want, err := to.Token(ctx, Phone, "+62 810 0000 0001")
	require.NoError(t, err)
	require.Equal(t, Result[Token]{Token: want}, got[0])
	for _, i := range []int{1, 2} {
		require.ErrorIs(t, got[i].Err, ErrToken)
		require.True(t, got[i].Token.IsZero())
	}
	got, err = r.Translate(ctx, to, Phone, nil)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Len(t, a.asked, 1)
}

// TestTranslateToWhatEnded: the other domain's keys are read after the answer.
func TestTranslateToWhatEnded(t *testing.T) {
	ctx := context.Background()
	ring, other := newRing(t, study), newRing(t, insurer)
	a := &clerk{during: func() { require.NoError(t, other.Close()) }}
	r := openReversible(t, ring, study, a)
	got, err := r.Translate(ctx, open(t, other, insurer), NIK, []ReversibleToken{reversibleToken(t, r, NIK, sandboxNIK)})
	require.ErrorIs(t, err, keyring.ErrClosed)
	require.Nil(t, got)
}

func TestReversibleNotOpened(t *testing.T) {
	ctx := context.Background()
	for _, r := range []*Reversible{nil, {}} {
		_, err := r.Token(ctx, NIK, sandboxNIK)
		require.ErrorIs(t, err, ErrNoDomain)
		require.ErrorIs(t, r.Tokens(ctx, NIK, []string{sandboxNIK})[0].Err, ErrNoDomain)
		_, err = r.Digits(ctx, NIK, sandboxNIK)
		require.ErrorIs(t, err, ErrNoDomain)
		require.ErrorIs(t, r.DigitsAll(ctx, NIK, []string{sandboxNIK})[0].Err, ErrNoDomain)
		_, err = r.Reverse(ctx, NIK, make([]ReversibleToken, 1))
		require.ErrorIs(t, err, ErrNoDomain)
		_, err = r.ReverseDigits(ctx, NIK, make([]string, 1))
		require.ErrorIs(t, err, ErrNoDomain)
		require.Empty(t, r.Name())
	}
	ring := newRing(t, study, "clinical")
	for name, want := range map[string]error{"": ErrNoDomain, "clinical": ErrNoDomain, "research/x": keyring.ErrNoKeyset} {
		r, err := OpenReversible(ctx, ring, name, &clerk{})
		require.ErrorIs(t, err, want)
		require.Nil(t, r)
	}
}

// TestReversibleErrors: refused values, unknown kinds and a closed ring.
func TestReversibleErrors(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	r := openReversible(t, ring, study, &clerk{})
	check := func(kind Kind, value string, want func(error)) {
		t.Helper()
		tok, err := r.Token(ctx, kind, value)
		want(err)
		require.True(t, tok.IsZero())
		results := r.Tokens(ctx, kind, []string{value})
		want(results[0].Err)
		require.True(t, results[0].Token.IsZero())
		digits, err := r.Digits(ctx, kind, value)
		want(err)
		require.Empty(t, digits)
		all := r.DigitsAll(ctx, kind, []string{value})
		want(all[0].Err)
		require.Empty(t, all[0].Token)
		requireNoValue(t, err, value)
	}
	refusals(t, ring, check)
}

// TestReversibleAllocates: nothing, for a number that is already normal.
func TestReversibleAllocates(t *testing.T) {
	ctx := context.Background()
	r := openReversible(t, newRing(t, study), study, nil)
	for kind, value := range map[Kind]string{NIK: sandboxNIK, Phone: "+6281000000001", Name: "ardianto putra"} {
		n := testing.AllocsPerRun(1000, func() {
			if _, err := r.Token(ctx, kind, value); err != nil {
				t.Fatal(err)
			}
		})
		if !raceEnabled { // the race detector drops pooled values at random
			require.Zero(t, n, kind)
		}
	}
}

// TestLeakReversible: neither keys nor values are printed by what was at work.
func TestLeakReversible(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study, insurer)
	a := &clerk{}
	r := openReversible(t, ring, study, a)
	tok := reversibleToken(t, r, Name, "Ardianto Putra")
	got, err := r.Reverse(ctx, Name, []ReversibleToken{tok, {}})
	require.NoError(t, err)
	require.Equal(t, "ardianto putra", got[0].Value)
	ks, err := ring.Keyset(ctx, study)
	require.NoError(t, err)
	needles := spellings([]byte("ardianto putra"))
	for _, parts := range [][]string{{"rahasia/reversible/v1", study, "name", "1", "mac"}, {"rahasia/reversible/v1", study, "name", "1", "ctr"}, {"rahasia/digits/v1", study, "nik", "1"}} {
		key, err := ks.Derive(ks.Primary(), parts[0], parts[1:]...)
		require.NoError(t, err)
		needles = append(needles, spellings(secret.Expose(key))...)
	}
	p := r.plan.Load()
	for name, v := range map[string]any{
		"reversible": r, "plan": p, "plan value": *p, "cipher": p.keys[0].ciphers[placeName], "formats": p.keys[0].formats, "format": p.keys[0].formats[placeNIK],
		"nested": struct{ r *Reversible }{r}, "exported": &struct{ R *Reversible }{r}, "slice": []*Reversible{r},
		"token": tok, "result": Result[ReversibleToken]{Token: tok},
	} {
		for _, out := range printed(v) {
			for _, needle := range needles {
				if strings.Contains(out, needle) {
					t.Fatalf("%s prints %q", name, needle)
				}
			}
		}
	}
	require.Equal(t, "pseudo.Reversible("+study+")", fmt.Sprintf("%+v", r))
	require.Equal(t, "pseudo.Reversible("+study+")", r.LogValue().String())

	for _, needle := range needles {
		for i, out := range printed(struct{ R []Reversed }{got}) {
			if verb := "vTtbcdoOqxXUeEfFgGsp"; i/5 >= len(verb) || verb[i/5] != 'p' {
				require.NotContains(t, out, needle)
			}
		}
	}
	for _, verb := range "vTtbcdoOqxXUeEfFgGs" { // %p of what is no pointer prints fields without asking
		text := fmt.Sprintf("%"+string(verb)+" %+"+string(verb)+" %#"+string(verb), got, got[0], &got[0])
		for _, needle := range needles {
			require.NotContains(t, text, needle)
		}
	}
	require.Equal(t, "pseudo.Reversed", fmt.Sprint(got[0]))
	require.Equal(t, "pseudo.Reversed(pseudo: not a token: zero token)", got[1].LogValue().String())
}
