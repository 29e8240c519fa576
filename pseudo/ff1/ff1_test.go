package ff1

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func testKey() []byte { return []byte("0123456789abcdefghijklmnopqrstuv") }

func TestNewRefuses(t *testing.T) {
	block, err := aes.NewCipher(testKey())
	require.NoError(t, err)
	small, err := des.NewTripleDESCipher(testKey()[:24])
	require.NoError(t, err)
	_, err = New(nil, digits)
	require.ErrorIs(t, err, ErrCipher)
	_, err = New(small, digits)
	require.ErrorIs(t, err, ErrCipher)
	for name, alphabet := range map[string]string{
		"empty": "", "one": "0", "twice": "01234567890", "twice beyond ASCII": "aéé", "broken": "ab\xff",
		"half a surrogate": "ab\xed\xa0\x80", "65,537": codePoints(maxRadix + 1), "a million": strings.Repeat("x", 1<<20),
	} {
		_, err = New(block, alphabet)
		require.ErrorIs(t, err, ErrAlphabet, name)
	}
	for _, alphabet := range []string{"01", "\x00\x01", "a\uFFFD", codePoints(maxRadix)} {
		_, err = New(block, alphabet)
		require.NoError(t, err)
	}
}

func TestZeroCipher(t *testing.T) {
	for _, c := range []*Cipher{nil, {}} {
		got, err := c.AppendEncrypt([]byte("x"), nil, "0123456789")
		require.ErrorIs(t, err, ErrCipher)
		require.Nil(t, got)
		got, err = c.AppendDecrypt([]byte("x"), nil, "0123456789")
		require.ErrorIs(t, err, ErrCipher)
		require.Nil(t, got)
	}
}

// TestLengths: a text has at least a million others of its length.
func TestLengths(t *testing.T) {
	for _, c := range []struct{ radix, least int }{
		{2, 20}, {3, 13}, {10, 6}, {16, 5}, {36, 4}, {62, 4}, {64, 4}, {99, 4}, {100, 3}, {999, 3}, {1000, 2}, {65536, 2},
	} {
		f := newCipher(t, testKey(), codePoints(c.radix))
		for n, want := range map[int]error{0: ErrLength, 1: ErrLength, c.least - 1: ErrLength, c.least: nil, maxLength: nil, maxLength + 1: ErrLength} {
			if n > c.least && c.radix > 16 {
				continue // long texts are checked at small radices
			}
			text := strings.Repeat("A", n)
			got, err := f.AppendEncrypt(nil, nil, text)
			require.ErrorIs(t, err, want, "radix %d, %d characters", c.radix, n)
			if want == nil {
				got, err = f.AppendDecrypt(nil, nil, string(got))
				require.NoError(t, err)
				require.Equal(t, text, string(got))
			} else {
				require.Nil(t, got)
				_, err = f.AppendDecrypt(nil, nil, text)
				require.ErrorIs(t, err, want)
			}
		}
	}
	f := newCipher(t, testKey(), digits)
	_, err := f.AppendEncrypt(nil, make([]byte, maxTweak), "0123456789")
	require.NoError(t, err)
	_, err = f.AppendEncrypt(nil, make([]byte, maxTweak+1), "0123456789")
	require.ErrorIs(t, err, ErrLength)
	_, err = f.AppendDecrypt(nil, make([]byte, maxTweak+1), "0123456789")
	require.ErrorIs(t, err, ErrLength)
}

// TestCharacters: digits that big-integer parsers take, and bytes that decode
// to a character of the alphabet without being it, are refused.
func TestCharacters(t *testing.T) {
	f := newCipher(t, testKey(), digits)
	for _, text := range []string{"+12345678", "-12345678", " 12345678", "12345678 ", "1_2345678", "0x1234567", "12345678\n", "12345678\x00", "１２３４５６７８９", "١٢٣٤٥٦٧٨٩", "12345678\xff"} {
		got, err := f.AppendEncrypt([]byte("kept?"), nil, text)
		require.ErrorIs(t, err, ErrCharacter, "%q", text)
		require.Nil(t, got)
		_, err = f.AppendDecrypt(nil, nil, text)
		require.ErrorIs(t, err, ErrCharacter, "%q", text)
	}
	f = newCipher(t, testKey(), digits+"\uFFFD")
	_, err := f.AppendEncrypt(nil, nil, "12345678\uFFFD")
	require.NoError(t, err)
	for _, text := range []string{"12345678\xff", "12345678\xef\xbf", "\x80\uFFFD1234567", "\xed\xa0\x80123456"} {
		_, err = f.AppendEncrypt(nil, nil, text)
		require.ErrorIs(t, err, ErrCharacter, "%q", text)
	}
}

// TestPermutation: the results for all texts of six digits are all texts of six
// digits, and nearly none is its own.
func TestPermutation(t *testing.T) {
	if testing.Short() {
		t.Skip("a million encryptions")
	}
	f := newCipher(t, testKey(), digits)
	var seen [1_000_000]bool
	var dst [6]byte
	same := 0
	for i := range seen {
		in := fmt.Sprintf("%06d", i)
		got, err := f.AppendEncrypt(dst[:0], nil, in)
		require.NoError(t, err)
		if string(got) == in {
			same++
		}
		n := 0
		for _, c := range got {
			n = n*10 + int(c-'0')
		}
		if seen[n] {
			t.Fatal("two texts have one result")
		}
		seen[n] = true
	}
	require.Less(t, same, 12) // one is expected; more than eleven with a chance of 1e-9
}

// TestSeparation: another key, tweak or alphabet gives another result, also a
// tweak that differs in nothing but a zero byte.
func TestSeparation(t *testing.T) {
	const text = "3171234567890001"
	seen := map[string]string{text: "the text"}
	add := func(name string, f *Cipher, tweak []byte) {
		got, err := f.AppendEncrypt(nil, tweak, text)
		require.NoError(t, err)
		require.Empty(t, seen[string(got)], name)
		seen[string(got)] = name
	}
	f := newCipher(t, testKey(), digits)
	for _, tweak := range []string{"", "\x00", "\x00\x00", "a", "a\x00", strings.Repeat("\x00", 11), strings.Repeat("\x00", 12), strings.Repeat("\x00", 16), strings.Repeat("\x00", 28)} {
		add(fmt.Sprintf("tweak %q", tweak), f, []byte(tweak))
	}
	add("key", newCipher(t, testKey()[:16], digits), nil)
	add("key of 192 bits", newCipher(t, testKey()[:24], digits), nil)
	add("order", newCipher(t, testKey(), "1023456789"), nil)
	add("radix", newCipher(t, testKey(), digits+"a"), nil)
}

// TestConcurrent: one cipher shared by 16 goroutines gives to each what it
// gives to one alone, over texts and tweaks of several lengths: a million calls
// in all, a tenth of it under -short.
func TestConcurrent(t *testing.T) {
	const goroutines = 16
	calls := 1_000_000 / goroutines
	if testing.Short() {
		calls /= 10
	}
	f := newCipher(t, testKey(), digits)
	type job struct {
		text, want string
		tweak      []byte
	}
	jobs := make([]job, 509) // a prime, so that neighbours differ in all
	for i := range jobs {
		j := job{text: fmt.Sprintf("%0*d", 6+i%40, i), tweak: make([]byte, i%37)}
		got, err := f.AppendEncrypt(nil, j.tweak, j.text)
		require.NoError(t, err)
		j.want = string(got)
		jobs[i] = j
	}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			var buf [64]byte
			for i := range calls {
				j := &jobs[(i*7+g*31)%len(jobs)]
				var got []byte
				var err error
				want := j.want
				if (i+g)%2 == 0 {
					got, err = f.AppendEncrypt(buf[:0], j.tweak, j.text)
				} else {
					got, err = f.AppendDecrypt(buf[:0], j.tweak, j.want)
					want = j.text
				}
				if err != nil || string(got) != want {
					t.Errorf("goroutine %d, call %d: another result", g, i)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d calls", calls*goroutines)
}

// TestSlicesAreTheCallers: nothing but the end of dst is written.
func TestSlicesAreTheCallers(t *testing.T) {
	f := newCipher(t, testKey(), digits)
	tweak := bytes.Repeat([]byte{7}, 64)
	buf := bytes.Repeat([]byte{0xee}, 64)
	copy(buf, "head")
	got, err := f.AppendEncrypt(buf[:4], tweak[:20], "0123456789")
	require.NoError(t, err)
	require.Equal(t, "head", string(got[:4]))
	require.Len(t, got, 14)
	require.Equal(t, bytes.Repeat([]byte{0xee}, 50), buf[14:])
	require.Equal(t, bytes.Repeat([]byte{7}, 64), tweak)
	_, err = f.AppendEncrypt(buf[:4], nil, "012345678x")
	require.Error(t, err)
	require.Equal(t, string(got), string(buf[:14]))
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("a pool forgets at random under -race")
	}
	f := newCipher(t, testKey(), digits)
	dst, tweak := make([]byte, 0, 128), make([]byte, 20)
	for _, text := range []string{"0123456789", "3171234567890001", strings.Repeat("7", 38), strings.Repeat("7", 39), strings.Repeat("7", 120)} {
		n := testing.AllocsPerRun(1000, func() {
			_, err := f.AppendEncrypt(dst, tweak, text)
			_, err2 := f.AppendDecrypt(dst, nil, text)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
		})
		require.Less(t, n, 0.5, "%d digits", len(text)) // the pool may lose a state to the collector
	}
}

// TestLeak: nothing prints the key, of a copy of a cipher neither.
func TestLeak(t *testing.T) {
	key := leakKey()
	f := newCipher(t, key, digits)
	_, err := f.AppendEncrypt(nil, nil, "0123456789")
	require.NoError(t, err)
	for _, v := range []any{f, *f, struct{ f *Cipher }{f}, &struct{ F *Cipher }{f}, struct{ f Cipher }{*f}, []*Cipher{f}, map[string]*Cipher{"a": f}} {
		require.Empty(t, leaks(v, key))
	}
	require.Equal(t, "ff1.Cipher", fmt.Sprintf("%+v", f))
	require.Equal(t, "ff1.Cipher", f.LogValue().String())
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	require.NotEmpty(t, leaks(struct{ b cipher.Block }{block}, key), "the check is blind")
	require.NotEmpty(t, leaks(key, key), "the check is blind")
}

// leakKey is a key whose bytes are no part of anything else.
func leakKey() []byte {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(200 + i*11%53)
	}
	return key
}

// leaks returns what of the key is in all that fmt, the slog handlers and JSON
// make of v: runs of four bytes, with which AES's key schedule begins too.
func leaks(v any, key []byte) string {
	var out bytes.Buffer
	for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
		for _, flag := range []string{"", "+", "#", " ", "# "} {
			fmt.Fprintf(&out, "%"+flag+string(verb)+"\n", v)
		}
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	_ = json.NewEncoder(&out).Encode(v)
	for i := 0; i+4 <= len(key); i += 4 {
		w := key[i : i+4]
		le, be := binary.LittleEndian.Uint32(w), binary.BigEndian.Uint32(w)
		for _, s := range []string{string(w), hex.EncodeToString(w), strings.ToUpper(hex.EncodeToString(w)), strings.Trim(fmt.Sprint(w), "[]"),
			fmt.Sprint(le), fmt.Sprint(be), fmt.Sprintf("%x", le), fmt.Sprintf("%x", be)} {
			if strings.Contains(out.String(), s) {
				return s
			}
		}
	}
	return ""
}

// TestLeakPool: the pooled state keeps nothing of a text.
func TestLeakPool(t *testing.T) {
	f := newCipher(t, testKey(), digits)
	_, pool := f.key()
	for _, text := range []string{"3171234567890001", strings.Repeat("7", 120), strings.Repeat("7", 20), "31712345678900x1"} {
		for range 100 { // until the pool gives back the state that was used
			_, _ = f.AppendEncrypt(nil, []byte("tweak"), text)
			s := pool.Get().(*state)
			for _, b := range [][]byte{s.block[:], s.tail, s.stream} {
				require.Equal(t, make([]byte, len(b)), append([]byte{}, b...))
			}
			for _, n := range s.numerals[:cap(s.numerals)] {
				require.Zero(t, n)
			}
			pool.Put(s)
		}
	}
}
