package pseudo

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

const bpjsNumber = "0001234567890"

// newTestFormat returns a format under a key that is the same in every run.
func newTestFormat(t testing.TB, kind Kind, version uint32) *format {
	t.Helper()
	key, err := secret.NewKey([]byte("0123456789abcdefghijklmnopqrstuv"))
	require.NoError(t, err)
	f, err := newFormat(kind, version, key)
	require.NoError(t, err)
	return f
}

// randomNIK is any NIK that the normaliser accepts, each as likely.
func randomNIK(r *rand.Rand) string { return string(appendNIK(nil, r.Uint64N(nikCount))) }

// TestNIKTokens: a million random NIKs (20,000 under -short, 100,000 under
// -race) have tokens of 16 digits, distinct and invertible, of which none is a NIK. Three versions share
// them; a version opens its own and those of no other slot.
func TestNIKTokens(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 20_000
	} else if raceEnabled {
		n = 100_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	formats := []*format{newTestFormat(t, NIK, 1), newTestFormat(t, NIK, 2), newTestFormat(t, NIK, 3)}
	tokens := make([]uint64, 0, n)
	numbers := make([]uint64, 0, n)
	for i := range n {
		nik := randomNIK(r)
		f := formats[i%3]
		token, err := f.seal(nik)
		if err != nil || !isDigits(token, 16) {
			t.Fatalf("%d: a token of %d characters, %v", i, len(token), err)
		}
		if _, err := NIK.Normalize(token); err == nil {
			t.Fatalf("%d: a token is a NIK", i)
		}
		if slot, ok := formatVersion(token); !ok || slot != f.slot {
			t.Fatalf("%d: slot %d, %v", i, slot, ok)
		}
		if back, err := f.open(token); err != nil || back != nik {
			t.Fatalf("%d: opens to another NIK, or %v", i, err)
		}
		if i < 1000 {
			_, err = formats[(i+1)%3].open(token)
			require.ErrorIs(t, err, ErrToken)
		}
		number, _ := strconv.ParseUint(nik, 10, 64)
		numbers = append(numbers, number*3+uint64(i%3))
		number, _ = strconv.ParseUint(token, 10, 64)
		tokens = append(tokens, number)
	}
	require.Equal(t, distinct(numbers), distinct(tokens))
	t.Logf("%d NIKs, %d distinct tokens", n, distinct(tokens))
}

func distinct(list []uint64) int {
	slices.Sort(list)
	return len(slices.Compact(slices.Clone(list)))
}

// TestNIKPairs: of the 10,000 pairs of digits where day and month are, 744 are
// those of NIKs by the normaliser, 2,232 those of tokens, none of both.
func TestNIKPairs(t *testing.T) {
	niks, tokens := 0, map[uint32]int{}
	for pair := range 10_000 {
		text := fmt.Sprintf("317123%04d980001", pair)
		_, err := NIK.Normalize(text)
		rank, isNIK := rankNIK(text)
		number, slot, isToken := rankNIKToken(text)
		require.Equal(t, err == nil, isNIK)
		require.False(t, isNIK && isToken, "%04d", pair)
		if isNIK {
			niks++
			require.Less(t, rank, uint64(nikCount))
			require.Equal(t, text, string(appendNIK(nil, rank)))
		}
		if isToken {
			tokens[slot]++
			require.Less(t, number, uint64(nikCount))
			require.Equal(t, text, string(appendNIKToken(nil, number, slot)))
		}
	}
	require.Equal(t, 744, niks)
	require.Equal(t, map[uint32]int{0: 744, 1: 744, 2: 744}, tokens)
}

// TestNIKRank: the numbers of NIKs begin at 0, end at 744·10¹²-1 and ascend by
// day and month, and each is that of one NIK and one token.
func TestNIKRank(t *testing.T) {
	for nik, want := range map[string]uint64{
		"0000000101000000": 0,
		"9999990101999999": nikRest - 1,
		"0000000102000000": nikRest,
		"0000003112000000": (31*12 - 1) * nikRest,
		"0000004101000000": 31 * 12 * nikRest,
		"9999997112999999": nikCount - 1,
		"9271060312000001": (2*12+11)*nikRest + 927106000001,
		"3171236902000001": (59*12+1)*nikRest + 317123000001,
	} {
		rank, ok := rankNIK(nik)
		require.True(t, ok)
		require.Equal(t, want, rank, nik)
	}
	require.Less(t, uint64(nikCount), uint64(1e15)) // so that fifteen digits hold it
	r := rand.New(rand.NewPCG(3, 4))
	for range 10_000 {
		rank := r.Uint64N(nikCount)
		slot := r.Uint32N(nikSlots)
		got, ok := rankNIK(string(appendNIK(nil, rank)))
		require.True(t, ok)
		require.Equal(t, rank, got)
		got, in, ok := rankNIKToken(string(appendNIKToken(nil, rank, slot)))
		require.True(t, ok)
		require.Equal(t, rank, got)
		require.Equal(t, slot, in)
	}
	require.Equal(t, "0000007213000000", string(appendNIKToken(nil, 0, 0)))
	require.Equal(t, "9999999769999999", string(appendNIKToken(nil, nikCount-1, 2)))
}

// TestNIKWalk: the walk takes 10¹⁵/N steps in the mean, and the walk back takes
// as many as the walk there.
func TestNIKWalk(t *testing.T) {
	f := newTestFormat(t, NIK, 1)
	r := rand.New(rand.NewPCG(5, 6))
	const n = 20_000
	steps, most := 0, 0
	for range n {
		rank := r.Uint64N(nikCount)
		end, took := stepwise(t, f, rank)
		got, err := f.walk(rank, false)
		require.NoError(t, err)
		require.Equal(t, end, got)
		got, err = f.walk(end, true)
		require.NoError(t, err)
		require.Equal(t, rank, got)
		steps += took
		most = max(most, took)
	}
	mean := float64(steps) / n
	t.Logf("%.3f steps in the mean, %d at most", mean, most)
	require.InDelta(t, 1e15/float64(nikCount), mean, 0.02) // four standard deviations of the mean
}

// stepwise walks with the cipher alone.
func stepwise(t *testing.T, f *format, rank uint64) (end uint64, steps int) {
	for {
		text, err := f.cipher.AppendEncrypt(nil, nil, fmt.Sprintf("%015d", rank))
		require.NoError(t, err)
		rank, err = strconv.ParseUint(string(text), 10, 64)
		require.NoError(t, err)
		if steps++; rank < 744e12 {
			return rank, steps
		}
	}
}

// TestNIKTokensKeepNothing: the tokens of one district, day of birth and row of
// serial numbers are spread over all days and months of tokens, all regions and
// all serials as by chance, and not in the order of the numbers. The chi-square
// bounds are those of a chance of one in 10⁶.
func TestNIKTokensKeepNothing(t *testing.T) {
	f := newTestFormat(t, NIK, 1)
	const n = 9999
	dates, provinces, ends := make([]int, nikDates), make([]int, 100), make([]int, 100)
	rising, last := 0, ""
	for serial := range n {
		token, err := f.seal(fmt.Sprintf("317123310198%04d", serial+1))
		require.NoError(t, err)
		rank, _, ok := rankNIKToken(token)
		require.True(t, ok)
		dates[rank/nikRest]++
		provinces[pair(token, 0)]++
		ends[pair(token, 14)]++
		if token > last {
			rising++
		}
		last = token
	}
	require.Less(t, chiSquare(dates, n), 941.0)     // 743 degrees of freedom
	require.Less(t, chiSquare(provinces, n), 181.0) // 99
	require.Less(t, chiSquare(ends, n), 181.0)
	require.InDelta(t, n/2, rising, 150) // a standard deviation is √(n/12) = 29
}

func chiSquare(counts []int, n int) (sum float64) {
	want := float64(n) / float64(len(counts))
	for _, c := range counts {
		sum += (float64(c) - want) * (float64(c) - want) / want
	}
	return sum
}

// TestFormatVectors checks tokens, and every step of the walk, of vectors that
// Python computed.
func TestFormatVectors(t *testing.T) {
	file, err := os.ReadFile("testdata/vectors/format_v1.json")
	require.NoError(t, err)
	var set struct {
		Vectors []struct {
			Kind               Kind
			Version            uint32
			Key, Normal, Token string
			Walk               []uint64
		}
	}
	require.NoError(t, json.Unmarshal(file, &set))
	require.Len(t, set.Vectors, 54)
	for _, v := range set.Vectors {
		raw, err := hex.DecodeString(v.Key)
		require.NoError(t, err)
		key, err := secret.NewKey(raw)
		require.NoError(t, err)
		f, err := newFormat(v.Kind, v.Version, key)
		require.NoError(t, err)
		for i, rank := range v.Walk {
			if i == 0 {
				got, ok := rankNIK(v.Normal)
				require.True(t, ok)
				require.Equal(t, rank, got)
				continue
			}
			text, err := f.cipher.AppendEncrypt(nil, nil, fmt.Sprintf("%015d", v.Walk[i-1]))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%015d", rank), string(text))
		}
		got, err := f.seal(v.Normal)
		require.NoError(t, err)
		require.Equal(t, v.Token, got)
		got, err = f.open(v.Token)
		require.NoError(t, err)
		require.Equal(t, v.Normal, got)
	}
}

// TestFormatBPJS: tokens of BPJS numbers are 13 digits, one-to-one, and have no
// version.
func TestFormatBPJS(t *testing.T) {
	f, other := newTestFormat(t, BPJS, 1), newTestFormat(t, NIK, 1)
	seen := map[string]bool{}
	for i := range 10_000 {
		normal := fmt.Sprintf("%013d", i*999_999_937%10_000_000_000_000)
		token, err := f.seal(normal)
		require.NoError(t, err)
		require.True(t, isDigits(token, 13))
		require.False(t, seen[token])
		seen[token] = true
		back, err := f.open(token)
		require.NoError(t, err)
		require.Equal(t, normal, back)
		_, ok := formatVersion(token)
		require.False(t, ok)
	}
	_, err := other.seal(bpjsNumber)
	require.ErrorIs(t, err, ErrNotRepresentable)
}

// TestFormatRefuses: what is not represented and what is no token is an error
// that holds nothing of it, and no text.
func TestFormatRefuses(t *testing.T) {
	for _, kind := range []Kind{"", Phone, Name, Subject, "kk", "NIK"} {
		_, err := newFormat(kind, 1, secret.Random())
		require.ErrorIs(t, err, ErrUnknownKind, kind)
	}
	_, err := newFormat(NIK, 1, secret.Key{})
	require.ErrorIs(t, err, secret.ErrZero)

	nik, bpjs := newTestFormat(t, NIK, 1), newTestFormat(t, BPJS, 1)
	refuse := func(want error, do func(string) (string, error), values ...string) {
		for _, v := range values {
			got, err := do(v)
			require.ErrorIs(t, err, want, "%q", v)
			require.Empty(t, got)
			if word, leaked := leaks(err.Error(), v); leaked {
				require.Contains(t, "want 13 digits", word)
			}
		}
	}
	malformed := []string{"", "1", "x", strings.Repeat("7", 12), strings.Repeat("7", 14), strings.Repeat("7", 15), strings.Repeat("7", 17), "+927106031200001", "9271 0603 1200 0001", "９２７１０６０３１２００", "927106031200000\x00"}
	refuse(ErrNotRepresentable, nik.seal, append(malformed, "9271060012000001", "9271063212000001", "9271064012000001", "9271067212000001", "9271060300000001", "9271060313000001", bpjsNumber)...)
	refuse(ErrToken, nik.open, append(malformed, sandboxNIK, "9271060000000001", "9271063200000001", "9271067212000001", "9271067113000001",
		"9271069770000001", "9271069999000001", bpjsNumber)...) // the last pairs of 2,436 are nobody's
	refuse(ErrNotRepresentable, bpjs.seal, append(malformed, sandboxNIK, "+001234567890", "000123456789O")...)
	refuse(ErrToken, bpjs.open, append(malformed, sandboxNIK, "+001234567890", "000123456789O")...)
	token, err := nik.seal(sandboxNIK)
	require.NoError(t, err)
	refuse(ErrToken, newTestFormat(t, NIK, 2).open, token)
	refuse(ErrToken, newTestFormat(t, NIK, 3).open, token)
	refuse(ErrNotRepresentable, nik.seal, token)
	for _, text := range append(malformed, sandboxNIK, "9271069770000001") {
		_, ok := formatVersion(text)
		require.False(t, ok)
	}
}

// TestFormatSeparates: another key gives unrelated tokens, and versions of one
// slot differ by their keys alone.
func TestFormatSeparates(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		f, err := newFormat(NIK, 4, secret.Random())
		require.NoError(t, err)
		token, err := f.seal(sandboxNIK)
		require.NoError(t, err)
		require.False(t, seen[token[:6]+token[10:]])
		seen[token[:6]+token[10:]] = true
		slot, ok := formatVersion(token)
		require.True(t, ok)
		require.Equal(t, uint32(1), slot)
	}
}

// TestFormatConcurrent: formats shared by 16 goroutines give to each what they
// give to one alone: a million calls in all, a tenth of it under -short or -race.
func TestFormatConcurrent(t *testing.T) {
	calls := 20_000
	if testing.Short() || raceEnabled {
		calls /= 10
	}
	r := rand.New(rand.NewPCG(7, 8))
	f, g := newTestFormat(t, NIK, 1), newTestFormat(t, BPJS, 1)
	var niks, tokens, numbers, others []string
	for range 257 {
		nik := randomNIK(r)
		token, err := f.seal(nik)
		require.NoError(t, err)
		number := fmt.Sprintf("%013d", r.Uint64N(1e13))
		other, err := g.seal(number)
		require.NoError(t, err)
		niks, tokens, numbers, others = append(niks, nik), append(tokens, token), append(numbers, number), append(others, other)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range calls {
				k := i % len(niks)
				token, err := f.seal(niks[k])
				nik, err2 := f.open(tokens[k])
				other, err3 := g.seal(numbers[k])
				if err != nil || err2 != nil || err3 != nil || token != tokens[k] || nik != niks[k] || other != others[k] {
					t.Error("another result")
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestFormatAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("a pool forgets at random under -race")
	}
	for _, kind := range []Kind{NIK, BPJS} {
		f, normal := newTestFormat(t, kind, 1), sandboxNIK
		if kind != NIK {
			normal = bpjsNumber
		}
		token, err := f.seal(normal)
		require.NoError(t, err)
		dst := make([]byte, 0, nikDigits)
		n := testing.AllocsPerRun(1000, func() {
			_, err := f.appendSeal(dst, normal)
			_, err2 := f.appendOpen(dst, token)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
		})
		require.Less(t, n, 0.5, kind) // the pool may lose a state to the collector
	}
}

// TestFormatLeak: a format that has been at work prints neither its key nor a
// number.
func TestFormatLeak(t *testing.T) {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(200 + i*11%53)
	}
	key, err := secret.NewKey(raw)
	require.NoError(t, err)
	f, err := newFormat(NIK, 1, key)
	require.NoError(t, err)
	token, err := f.seal(sandboxNIK)
	require.NoError(t, err)
	needles := append(spellings(raw), sandboxNIK, token, "927106000001")
	for _, v := range []any{f, *f, struct{ f *format }{f}, []*format{f}, map[string]*format{"a": f}} {
		for _, out := range printed(v) {
			for _, needle := range needles {
				require.NotContains(t, out, needle)
			}
		}
	}
}

// FuzzFormat: whatever is given as a token or as a number is refused with an
// error that holds nothing of it, or is one-to-one; and a token is no NIK.
func FuzzFormat(f *testing.F) {
	for _, s := range []string{"", sandboxNIK, bpjsNumber, "9271067213000001", "9999999769999999", "9999999770999999", "0000007213000000", "+271067213000001", "９２７１０６７２１３００"} {
		f.Add(s, uint32(1))
		f.Add(s, uint32(0))
	}
	const fixed = "pseudo: not a token: want 13 digits not the token of a NIK made under another key version no format-preserving token: want a NIK"
	key := secret.Random()
	f.Fuzz(func(t *testing.T, text string, version uint32) {
		for _, kind := range []Kind{NIK, BPJS} {
			g, err := newFormat(kind, version, key)
			if err != nil {
				t.Fatal(err)
			}
			for _, do := range []struct{ there, back func(string) (string, error) }{{g.seal, g.open}, {g.open, g.seal}} {
				got, err := do.there(text)
				if err != nil {
					if word, leaked := leaks(err.Error(), text); got != "" || leaked && !strings.Contains(fixed, word) {
						t.Errorf("error %q contains %q", err, word)
					}
					continue
				}
				if back, err := do.back(got); err != nil || back != text {
					t.Errorf("%q gives %q, and that gives %q, %v", text, got, back, err)
				}
			}
		}
		_, isToken := formatVersion(text)
		if _, err := NIK.Normalize(text); err == nil && isToken {
			t.Errorf("%q is a NIK and a token", text)
		}
	})
}
