package pseudo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// A linker is an attacker's way to join two recipients' columns of the same
// people: for each row of a, the row of b that it takes for the same person's. Both
// columns have lost their order.
type linker func(a, b [][]byte) (guess []int)

// linkers are the ways of the issue: equality, order, prefix, bitwise distance and
// frequency.
func linkers() map[string]linker {
	return map[string]linker{
		"equality": func(a, b [][]byte) []int {
			return best(a, b, func(x, y []byte) int { return map[bool]int{true: 0, false: 1}[bytes.Equal(x, y)] })
		},
		"prefix":           func(a, b [][]byte) []int { return best(a, b, func(x, y []byte) int { return -common(x, y) }) },
		"bitwise distance": func(a, b [][]byte) []int { return best(a, b, distance) },
		"bitwise opposite": func(a, b [][]byte) []int { return best(a, b, func(x, y []byte) int { return -distance(x, y) }) },
		"order":            func(a, b [][]byte) []int { return inOrder(a, b, bytes.Compare) },
		"frequency": func(a, b [][]byte) []int {
			seen := map[string]int{}
			for _, column := range [][][]byte{a, b} {
				for _, cell := range column {
					seen[string(cell)]++
				}
			}
			return inOrder(a, b, func(x, y []byte) int { return cmp.Compare(seen[string(x)], seen[string(y)]) })
		},
	}
}

// best pairs each row of a with the row of b that is nearest.
func best(a, b [][]byte, far func(x, y []byte) int) []int {
	guess := make([]int, len(a))
	for i, x := range a {
		least := far(x, b[0])
		for j, y := range b[1:] {
			if d := far(x, y); d < least {
				least, guess[i] = d, j+1
			}
		}
	}
	return guess
}

// inOrder sorts both columns and pairs them by rank.
func inOrder(a, b [][]byte, compare func(x, y []byte) int) []int {
	rank := func(column [][]byte) []int {
		order := make([]int, len(column))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(i, j int) int { return compare(column[i], column[j]) })
		return order
	}
	guess, ofB := make([]int, len(a)), rank(b)
	for r, i := range rank(a) {
		guess[i] = ofB[r]
	}
	return guess
}

func common(x, y []byte) (n int) {
	for i := range min(len(x), len(y)) {
		if d := x[i] ^ y[i]; d != 0 {
			return 8*i + bits.LeadingZeros8(d)
		}
	}
	return 8 * min(len(x), len(y))
}

func distance(x, y []byte) (n int) {
	for i := range min(len(x), len(y)) {
		n += bits.OnesCount8(x[i] ^ y[i])
	}
	return n
}

// linked joins the columns that two recipients were given of the same people, in
// every way, and returns how many rows each way got right. By chance that is one
// on average, whatever the number of rows, and more than 12 once in 10¹⁰.
func linked(a, b [][]byte) map[string]int {
	shuffle := rand.New(rand.NewPCG(5, uint64(len(a))))
	atA, atB := shuffle.Perm(len(a)), shuffle.Perm(len(b))
	lost := func(column [][]byte, at []int) [][]byte {
		out := make([][]byte, len(column))
		for i, cell := range column {
			out[at[i]] = cell
		}
		return out
	}
	right := map[string]int{}
	mixedA, mixedB := lost(a, atA), lost(b, atB)
	for name, link := range linkers() {
		guess := link(mixedA, mixedB)
		right[name] = 0
		for i := range a {
			if guess[atA[i]] == atB[i] {
				right[name]++
			}
		}
	}
	return right
}

const byChance = 12

// joinedRows is how many rows the joined tables have.
func joinedRows() int {
	if testing.Short() {
		return 500
	}
	return 2000
}

// stored are the forms in which a domain's stand-ins for values are given away. A
// form that is added to the package belongs here.
func stored() map[string]func(t *testing.T, ring *keyring.Ring, domain string, kind Kind, values []string) [][]byte {
	return map[string]func(t *testing.T, ring *keyring.Ring, domain string, kind Kind, values []string) [][]byte{
		"reversible token": func(t *testing.T, ring *keyring.Ring, domain string, kind Kind, values []string) [][]byte {
			column := make([][]byte, len(values))
			results := openReversible(t, ring, domain, nil).Tokens(context.Background(), kind, values)
			for i, r := range results {
				require.NoError(t, r.Err)
				column[i] = r.Token.Bytes()
			}
			return column
		},
		"digits": func(t *testing.T, ring *keyring.Ring, domain string, kind Kind, values []string) [][]byte {
			column := make([][]byte, len(values))
			r := openReversible(t, ring, domain, nil)
			for i, v := range values {
				d, err := r.Digits(context.Background(), kind, v)
				require.NoError(t, err)
				column[i] = []byte(d)
			}
			return column
		},
		"token": func(t *testing.T, ring *keyring.Ring, domain string, kind Kind, values []string) [][]byte {
			column := make([][]byte, len(values))
			for i, r := range open(t, ring, domain).Tokens(context.Background(), kind, values) {
				require.NoError(t, r.Err)
				column[i] = r.Token.Bytes()
			}
			return column
		},
		"token text": func(t *testing.T, ring *keyring.Ring, domain string, kind Kind, values []string) [][]byte {
			column := make([][]byte, len(values))
			for i, r := range open(t, ring, domain).Tokens(context.Background(), kind, values) {
				require.NoError(t, r.Err)
				column[i] = []byte(r.Token.String())
			}
			return column
		},
	}
}

// TestUnlinkableTables: the columns that two domains hold of the same people are
// joined no better than by chance, by any way and in any form, whether the values
// come in a row or at random.
func TestUnlinkableTables(t *testing.T) {
	ring := newRing(t, study, insurer)
	random := rand.New(rand.NewPCG(1, 2))
	scattered := make([]string, joinedRows())
	for i := range scattered {
		scattered[i] = fmt.Sprintf("%06d%02d%02d%02d%04d", random.IntN(1e6), 1+random.IntN(28), 1+random.IntN(12), random.IntN(100), i)
	}
	for values, list := range map[string][]string{"in a row": patients(joinedRows()), "scattered": scattered} {
		for form, column := range stored() {
			right := linked(column(t, ring, study, NIK, list), column(t, ring, insurer, NIK, list))
			t.Logf("%s, numbers %s: right of %d: %v", form, values, joinedRows(), right)
			for way, n := range right {
				require.LessOrEqual(t, n, byChance, "%s, numbers %s, by %s", form, values, way)
			}
		}
	}
}

// TestUnlinkableSaboteur: each way joins columns that are made badly, so that the
// test above would have seen it; and where a value stands in many rows, as names
// do, frequency joins the tokens of this package too. That is what equal tokens of
// equal values are worth to an attacker, and no key prevents it.
func TestUnlinkableSaboteur(t *testing.T) {
	list := patients(joinedRows())
	columns := func(make func(recipient byte, i int, value string) []byte) (a, b [][]byte) {
		for i, v := range list {
			a, b = append(a, make('a', i, v)), append(b, make('b', i, v))
		}
		return a, b
	}
	hash := func(parts ...[]byte) []byte { sum := sha256.Sum256(bytes.Join(parts, nil)); return sum[:16] }
	for name, c := range map[string]struct {
		ways []string
		make func(recipient byte, i int, value string) []byte
	}{
		"one key for all": {[]string{"equality", "prefix", "bitwise distance", "order"}, func(_ byte, _ int, v string) []byte { return hash([]byte(v)) }},
		"first half shared": {[]string{"prefix", "bitwise distance", "order"}, func(r byte, _ int, v string) []byte {
			return append(hash([]byte(v))[:8], hash([]byte{r}, []byte(v))[:8]...)
		}},
		"a mask for each recipient": {[]string{"bitwise distance"}, func(r byte, _ int, v string) []byte {
			h := hash([]byte(v))
			h[0] ^= 0x80 * (r - 'a')
			h[15] ^= 3
			return h
		}},
		"inverted": {[]string{"bitwise opposite"}, func(r byte, _ int, v string) []byte {
			h := hash([]byte(v))
			for i := range h {
				h[i] ^= 0xff * (r - 'a')
			}
			return h
		}},
		"order kept": {[]string{"order"}, func(r byte, i int, v string) []byte {
			return append(binary.BigEndian.AppendUint32(nil, uint32(i)*uint32(r)), hash([]byte{r}, []byte(v))...)
		}},
	} {
		right := linked(columns(c.make))
		for _, way := range c.ways {
			require.Greater(t, right[way], len(list)*9/10, "%s, by %s", name, way)
		}
	}

	ring := newRing(t, study, insurer)
	var names []string
	for i := range 40 { // the commonest name 40 times, the next 39 …
		for range 40 - i {
			names = append(names, fmt.Sprintf("nama%c%c", 'a'+i/26, 'a'+i%26))
		}
	}
	column := stored()["token"]
	a, b := column(t, ring, study, Name, names), column(t, ring, insurer, Name, names)
	guess, named := linkers()["frequency"](a, b), 0
	for i := range a {
		if names[guess[i]] == names[i] {
			named++
		}
	}
	require.Equal(t, len(names), named, "every row's name is joined with the same name")
}
