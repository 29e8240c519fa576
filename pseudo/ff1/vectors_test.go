package ff1

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func newCipher(t testing.TB, key []byte, alphabet string) *Cipher {
	t.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	c, err := New(block, alphabet)
	require.NoError(t, err)
	return c
}

const (
	digits = "0123456789"
	base36 = "0123456789abcdefghijklmnopqrstuvwxyz"
)

// TestNIST is samples 1 to 9 of NIST's examples with intermediate values for
// FF1 (testdata/nist.json says where they are from).
func TestNIST(t *testing.T) {
	b, err := os.ReadFile("testdata/nist.json")
	require.NoError(t, err)
	var file struct {
		Vectors []struct {
			Radix                             int
			Key, Tweak, Plaintext, Ciphertext string
		}
	}
	require.NoError(t, json.Unmarshal(b, &file))
	require.Len(t, file.Vectors, 9)
	for i, v := range file.Vectors {
		c := newCipher(t, unhex(t, v.Key), base36[:v.Radix])
		got, err := c.AppendEncrypt(nil, unhex(t, v.Tweak), v.Plaintext)
		require.NoError(t, err)
		require.Equal(t, v.Ciphertext, string(got), "sample %d", i+1)
		got, err = c.AppendDecrypt(nil, unhex(t, v.Tweak), v.Ciphertext)
		require.NoError(t, err)
		require.Equal(t, v.Plaintext, string(got), "sample %d", i+1)
	}
	t.Logf("%d samples, each in both directions", len(file.Vectors))
}

// A group is some vectors of a Wycheproof file. A message is a text, or a list
// of numerals.
type group struct {
	Alphabet string
	KeySize  int
	Radix    int
	Tests    []struct {
		TcID            int
		Flags           []string
		Key, Tweak      string
		Msg, CT         json.RawMessage
		Result, Comment string
	}
}

// TestWycheproof runs every aes_ff1_* file of Wycheproof. Lists of numerals are
// texts over an alphabet of as many code points; a list with a number that no
// numeral can be becomes a text with a character that the alphabet has not.
func TestWycheproof(t *testing.T) {
	files, err := fs.Glob(wycheproof.TestVectors, "aes_ff1_*.json")
	require.NoError(t, err)
	require.Len(t, files, 22)
	total := map[string]int{}
	for _, name := range files {
		count := map[string]int{}
		b, err := fs.ReadFile(wycheproof.TestVectors, name)
		require.NoError(t, err)
		var file struct {
			NumberOfTests int
			TestGroups    []group
		}
		require.NoError(t, json.Unmarshal(b, &file))
		for _, g := range file.TestGroups {
			runGroup(t, name, g, count)
		}
		sum := 0
		for k, n := range count {
			total[k] += n
			sum += n
		}
		require.Equal(t, file.NumberOfTests, sum, name)
		t.Logf("%s: %v", name, count)
	}
	t.Logf("all: %v", total)
	require.Equal(t, map[string]int{"valid": 49102, "below the floor": 138, "refused: key": 110, "refused: length": 132, "refused: character": 7764}, total)
}

func runGroup(t *testing.T, name string, g group, count map[string]int) {
	alphabet := g.Alphabet
	if alphabet == "" {
		alphabet = codePoints(g.Radix)
	}
	first := newCipher(t, make([]byte, 16), alphabet)
	_, pool := first.key()
	for _, v := range g.Tests {
		block, err := aes.NewCipher(unhex(t, v.Key))
		if slices.Contains(v.Flags, "InvalidKeySize") {
			require.Error(t, err, "%s %d", name, v.TcID) // the standard library's refusal; a Block of AES has a right key
			count["refused: key"]++
			continue
		}
		require.NoError(t, err)
		c := &Cipher{alphabet: first.alphabet, key: func() (cipher.Block, *sync.Pool) { return block, pool }} // as New does: the alphabet is made once a group
		msg, ct, tweak := text(t, g, v.Msg), text(t, g, v.CT), unhex(t, v.Tweak)
		got, err := c.AppendEncrypt(nil, tweak, msg)
		back, err2 := c.AppendDecrypt(nil, tweak, ct)
		switch {
		case slices.Contains(v.Flags, "SmallMessageSize"):
			require.ErrorIs(t, err, ErrLength, "%s %d", name, v.TcID)
			require.ErrorIs(t, err2, ErrLength, "%s %d", name, v.TcID)
			count["below the floor"]++
		case slices.Contains(v.Flags, "InvalidMessageSize"):
			require.ErrorIs(t, err, ErrLength, "%s %d", name, v.TcID)
			require.Nil(t, got)
			count["refused: length"]++
		case slices.Contains(v.Flags, "InvalidPlaintext"):
			require.ErrorIs(t, err, ErrCharacter, "%s %d", name, v.TcID)
			require.Nil(t, got)
			count["refused: character"]++
		default:
			require.Equal(t, "valid", v.Result)
			require.NoError(t, err, "%s %d", name, v.TcID)
			require.NoError(t, err2, "%s %d", name, v.TcID)
			if ct != string(got) || msg != string(back) {
				t.Fatalf("%s %d %v", name, v.TcID, v.Flags)
			}
			count["valid"]++
		}
	}
}

// codePoints returns an alphabet of n code points, of one to four bytes.
func codePoints(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteRune(codePoint(i))
	}
	return b.String()
}

func codePoint(i int) rune {
	r := rune('A' + i)
	if r >= 0xD800 {
		r += 0x800 // surrogates are no characters
	}
	return r
}

// text returns a message as a text.
func text(t *testing.T, g group, raw json.RawMessage) string {
	if g.Alphabet != "" {
		var s string
		require.NoError(t, json.Unmarshal(raw, &s))
		return s
	}
	var list []int
	require.NoError(t, json.Unmarshal(raw, &list))
	var b strings.Builder
	for _, n := range list {
		if n < 0 || n >= g.Radix {
			b.WriteByte('!')
		} else {
			b.WriteRune(codePoint(n))
		}
	}
	return b.String()
}
