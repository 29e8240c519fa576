package ff1

import (
	"crypto/aes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzCipher: every alphabet, tweak and text is refused by an error that holds
// nothing of them, or is encrypted to what the standard's steps give, of as many
// characters of the alphabet, and decrypted again.
func FuzzCipher(f *testing.F) {
	f.Add(digits, []byte(nil), "3171234567890001")
	f.Add(digits, []byte("9876543210"), "0123456789")
	f.Add(base36, []byte("tweak"), "0123456789abcdefghi")
	f.Add("01", []byte{0}, strings.Repeat("10", 70))
	f.Add("aé\uFFFD😀", []byte(nil), "aé\uFFFD😀aé\uFFFD😀aé\uFFFD😀")
	f.Add("ab\uFFFD", []byte(nil), "abababababababab\xff")
	f.Add("00", []byte(nil), "0")
	f.Add("", []byte(nil), "")
	block, err := aes.NewCipher(testKey())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, alphabet string, tweak []byte, text string) {
		c, err := New(block, alphabet)
		if err != nil {
			if err != ErrAlphabet { // // the sentinel itself, which holds no input
				t.Fatal("another error")
			}
			return
		}
		got, err := c.AppendEncrypt(nil, tweak, text)
		if err != nil {
			if got != nil || !errors.Is(err, ErrCharacter) && !errors.Is(err, ErrLength) || err.Error() != ErrCharacter.Error() && err.Error() != ErrLength.Error() {
				t.Fatal("another error")
			}
			return
		}
		if utf8.RuneCount(got) != utf8.RuneCountInString(text) {
			t.Fatal("another length")
		}
		back, err := c.AppendDecrypt(nil, tweak, string(got))
		if err != nil || string(back) != text {
			t.Fatalf("not the text again: %v", err)
		}
		var s state
		if err := c.alphabet.read(&s, text); err != nil {
			t.Fatal(err)
		}
		want := reference(block, int(c.alphabet.radix), tweak, s.numerals, false)
		if string(c.alphabet.append(nil, want)) != string(got) {
			t.Fatal("not what the standard's steps give")
		}
	})
}
