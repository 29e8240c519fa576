package ff1

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// reference is FF1.Encrypt and FF1.Decrypt of SP 800-38G, step by step over
// numeral strings and big.Int: slow, and with nothing of what narrow and wide
// do to be fast.
func reference(block cipher.Block, radix int, tweak []byte, x []uint16, decrypt bool) []uint16 {
	n, t := len(x), len(tweak)
	u := n / 2
	v := n - u
	a, b := slices.Clone(x[:u]), slices.Clone(x[u:])
	largest := new(big.Int).Exp(big.NewInt(int64(radix)), big.NewInt(int64(v)), nil)
	size := (largest.Sub(largest, big.NewInt(1)).BitLen() + 7) / 8
	d := 4*((size+3)/4) + 4
	p := []byte{1, 2, 1, byte(radix >> 16), byte(radix >> 8), byte(radix), 10, byte(u)}
	p = binary.BigEndian.AppendUint32(p, uint32(n))
	p = binary.BigEndian.AppendUint32(p, uint32(t))
	for step := range 10 {
		i, half, other := step, b, a
		if decrypt {
			i, half, other = 9-step, a, b
		}
		q := slices.Concat(tweak, make([]byte, ((-t-size-1)%16+16)%16), []byte{byte(i)}, numRef(half, radix).FillBytes(make([]byte, size)))
		r := make([]byte, 16)
		for in := slices.Concat(p, q); len(in) > 0; in = in[16:] {
			for k := range r {
				r[k] ^= in[k]
			}
			block.Encrypt(r, r)
		}
		s := slices.Clone(r)
		for j := 1; len(s) < d; j++ {
			next := slices.Clone(r)
			next[14] ^= byte(j >> 8)
			next[15] ^= byte(j)
			block.Encrypt(next, next)
			s = append(s, next...)
		}
		y := new(big.Int).SetBytes(s[:d])
		m := new(big.Int).Exp(big.NewInt(int64(radix)), big.NewInt(int64(len(other))), nil)
		c := numRef(other, radix)
		if decrypt {
			c.Sub(c, y)
		} else {
			c.Add(c, y)
		}
		next := strRef(c.Mod(c, m), radix, len(other))
		if decrypt {
			a, b = next, a
		} else {
			a, b = b, next
		}
	}
	return append(a, b...)
}

func numRef(x []uint16, radix int) *big.Int {
	n := new(big.Int)
	for _, d := range x {
		n.Mul(n, big.NewInt(int64(radix))).Add(n, big.NewInt(int64(d)))
	}
	return n
}

func strRef(n *big.Int, radix, length int) []uint16 {
	x, rest := make([]uint16, length), new(big.Int)
	for i := length - 1; i >= 0; i-- {
		n.DivMod(n, big.NewInt(int64(radix)), rest)
		x[i] = uint16(rest.Int64())
	}
	return x
}

// radices has those at which something changes: powers of two, chunks that are
// exactly 2³², the largest.
func radices() []int {
	return []int{2, 3, 4, 7, 8, 10, 16, 26, 36, 62, 64, 85, 255, 256, 257, 1000, 1625, 1626, 2048, 4096, 65535, 65536}
}

// TestReference: the network over words and the one over numerals agree with
// the standard's steps at every radix, length and length of tweak, in both
// directions, also where a half is exactly as large as a word.
func TestReference(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	runs, narrow := 0, 0
	for _, radix := range radices() {
		a, err := newAlphabet(codePoints(radix))
		require.NoError(t, err)
		longest := 300 / bits.Len(uint(radix-1)) // numerals for up to 300 bits
		for n := 2; n <= longest; n++ {
			if !a.enough(n) {
				continue
			}
			key := make([]byte, 16+8*random.IntN(3))
			block, err := aes.NewCipher(key)
			require.NoError(t, err)
			tweak := make([]byte, random.IntN(40))
			x := make([]uint16, n)
			for i := range tweak {
				tweak[i] = byte(random.Uint32())
			}
			for i := range x {
				switch n % 3 {
				case 0:
					x[i] = uint16(radix - 1)
				case 1:
					x[i] = uint16(random.IntN(radix))
				}
			}
			for _, decrypt := range []bool{false, true} {
				want := reference(block, radix, tweak, x, decrypt)
				s := &state{numerals: slices.Clone(x)}
				s.wide(block, a, tweak, decrypt)
				require.Equal(t, want, s.numerals, "wide: radix %d, %d numerals, tweak of %d", radix, n, len(tweak))
				s = &state{numerals: slices.Clone(x)}
				s.crypt(block, a, tweak, decrypt)
				require.Equal(t, want, s.numerals, "radix %d, %d numerals, tweak of %d", radix, n, len(tweak))
				if _, ok := a.power(n - n/2); ok {
					narrow++
				}
				runs++
			}
		}
	}
	t.Logf("%d runs, %d of them in words", runs, narrow)
	require.Greater(t, narrow, 500)
	require.Greater(t, runs-narrow, 500)
}

// TestReferenceLong is the longest texts, whose S takes more than 256 blocks.
func TestReferenceLong(t *testing.T) {
	block, err := aes.NewCipher(testKey())
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(5, 6))
	for _, radix := range []int{2, 10, 65536} {
		a, err := newAlphabet(codePoints(radix))
		require.NoError(t, err)
		for _, n := range []int{maxLength, maxLength - 1, 1023} {
			if n < maxLength && (testing.Short() || raceEnabled) {
				continue
			}
			x := make([]uint16, n)
			for i := range x {
				x[i] = uint16(random.IntN(radix))
			}
			s := &state{numerals: slices.Clone(x)}
			s.crypt(block, a, nil, false)
			require.Equal(t, reference(block, radix, nil, x, false), s.numerals, "radix %d, %d numerals", radix, n)
			s.crypt(block, a, nil, true)
			require.Equal(t, x, s.numerals)
		}
	}
}

// TestModulus: the arithmetic of a half is that of big integers, at the bounds
// of a word and at random.
func TestModulus(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	edges := []uint64{0, 1, 2, 3, 10, 1e7, 1e8, 1e9, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1 << 63, 1<<63 + 1, 1<<64 - 2, 1<<64 - 1}
	for range 200 {
		edges = append(edges, random.Uint64()>>random.UintN(64))
	}
	for _, m := range edges {
		if m < 2 {
			continue
		}
		mod := modulus{m, (1<<64 - 1) / m}
		for _, x := range edges {
			require.Equal(t, x%m, mod.reduce(x), "%d mod %d", x, m)
			for _, y := range edges[:20] {
				want := new(big.Int).SetUint64(x % m)
				want.Add(want, new(big.Int).SetUint64(y%m)).Mod(want, new(big.Int).SetUint64(m))
				if got := mod.add(x%m, y%m); got != want.Uint64() {
					t.Fatalf("%d + %d mod %d: %d", x, y, m, got)
				}
				if mod.sub(mod.add(x%m, y%m), y%m) != x%m {
					t.Fatalf("%d + %d - %d mod %d", x, y, y, m)
				}
			}
		}
	}
}
