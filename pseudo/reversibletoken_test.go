package pseudo

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// reversibleSample is a token of a value of n bytes, without a domain.
func reversibleSample(n int) ReversibleToken {
	sealed := bytes.Repeat([]byte{0xff, 0x00, 0xa5}, 350)[:16+n]
	return newReversibleToken(0x01020304, sealed)
}

func TestReversibleTokenForms(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 15, 16, 17, 32, 48, 49, 1024} {
		tok := reversibleSample(n)
		require.Len(t, tok.Bytes(), 21+n)
		require.Len(t, tok.String(), base32Size(21+n))
		require.Equal(t, uint32(0x01020304), tok.Version())

		requireForms(t, tok, ReversibleTokenFromBytes, ParseReversibleToken)
		back, err := ParseReversibleToken(strings.ToLower(tok.String()))
		require.NoError(t, err)
		require.True(t, back == tok)
	}
}

// TestReversibleTokenEqual: tokens are equal where all their bytes are.
func TestReversibleTokenEqual(t *testing.T) {
	for _, n := range []int{1, 16, 17, 60} {
		raw := reversibleSample(n).Bytes()
		for i := 1; i < len(raw); i++ {
			changed := bytes.Clone(raw)
			changed[i] ^= 1
			tok, err := ReversibleTokenFromBytes(changed)
			require.NoError(t, err)
			require.False(t, tok == reversibleSample(n), i)
		}
	}
	require.False(t, reversibleSample(16) == reversibleSample(17))
}

func TestReversibleTokenAppendKeepsDst(t *testing.T) {
	dst := append(make([]byte, 0, 4096), "head"...)
	b, err := reversibleSample(16).AppendBinary(dst)
	require.NoError(t, err)
	require.Equal(t, "head", string(b[:4]))
	require.Equal(t, reversibleSample(16).Bytes(), b[4:])
	b, err = reversibleSample(16).AppendText(dst)
	require.NoError(t, err)
	require.Equal(t, "head"+reversibleSample(16).String(), string(b))
}

func TestReversibleTokenZero(t *testing.T) {
	var zero ReversibleToken
	require.True(t, zero.IsZero())
	require.False(t, reversibleSample(1).IsZero())
	require.Zero(t, zero.Version())
	require.Nil(t, zero.Bytes())
	_, err := ParseReversibleToken(zero.String())
	require.ErrorIs(t, err, ErrToken)
	for name, f := range map[string]func() ([]byte, error){
		"MarshalText":   zero.MarshalText,
		"MarshalBinary": zero.MarshalBinary,
		"AppendText":    func() ([]byte, error) { return zero.AppendText(nil) },
		"AppendBinary":  func() ([]byte, error) { return zero.AppendBinary(nil) },
	} {
		b, err := f()
		require.ErrorIs(t, err, ErrToken, name)
		require.Empty(t, b, name)
	}
	v, err := zero.Value()
	require.ErrorIs(t, err, ErrToken)
	require.Nil(t, v)
	_, err = json.Marshal(zero)
	require.ErrorIs(t, err, ErrToken)
}

// TestReversibleTokenRefuses: what is not exactly a token, and the receiver
// stays as it was. A Token is not one, nor the other way round.
func TestReversibleTokenRefuses(t *testing.T) {
	keep := reversibleSample(9)
	good := reversibleSample(16).Bytes()
	plain := Token{version: 1, mac: [16]byte{1}}
	for name, b := range map[string][]byte{
		"empty":         {},
		"without value": good[:21],
		"a Token":       plain.Bytes(),
		"too long":      append(reversibleSample(1024).Bytes(), 0),
		"format 0":      append([]byte{0}, good[1:]...),
		"format 1":      append([]byte{1}, good[1:]...),
		"key version 0": append(binary.BigEndian.AppendUint32([]byte{2}, 0), good[5:]...),
	} {
		_, err := ReversibleTokenFromBytes(b)
		require.ErrorIs(t, err, ErrToken, name)
		require.ErrorIs(t, keep.UnmarshalBinary(b), ErrToken, name)
		require.ErrorIs(t, keep.Scan(b), ErrToken, name)
		require.True(t, keep == reversibleSample(9), name)
	}
	_, err := TokenFromBytes(good)
	require.ErrorIs(t, err, ErrToken)
	_, err = TokenFromBytes(append([]byte{2}, plain.Bytes()[1:]...))
	require.ErrorIs(t, err, ErrToken)

	text := reversibleSample(16).String()
	last := len(text) - 1
	for name, s := range map[string]string{
		"empty":           "",
		"check alone":     "0",
		"short":           text[:last],
		"long":            text + "0",
		"a Token":         plain.String(),
		"hyphen":          text[:10] + "-" + text[10:],
		"space":           " " + text,
		"newline":         text + "\n",
		"check as digit":  text[:5] + "*" + text[6:],
		"not ASCII":       text[:20] + "é" + text[22:],
		"wrong check":     text[:last] + string(symbols[(symbol(text[last])+1)%37]),
		"spare bits":      withCheck(text[:last-1] + string(symbols[symbol(text[last-1])|1])),
		"spare digit":     withCheck(reversibleSample(14).String()[:base32Size(35)-1] + "0"),
		"unknown format":  withCheck("0C" + text[2:last]),
		"key version 0":   withCheck("08000000" + text[8:last]),
		"too long":        strings.Repeat("0", 1674),
		"the zero string": ReversibleToken{}.String(),
	} {
		_, err := ParseReversibleToken(s)
		require.ErrorIs(t, err, ErrToken, name)
		require.ErrorIs(t, keep.UnmarshalText([]byte(s)), ErrToken, name)
		require.True(t, keep == reversibleSample(9), name)
	}
	_, err = ParseToken(text)
	require.ErrorIs(t, err, ErrToken)
	_, err = ParseReversibleToken(strings.Repeat("0", 1674)) // before anything is decoded
	require.ErrorContains(t, err, "want at most 1,673 characters")
	require.Equal(t, 1673, base32Size(1045))
	for _, src := range []any{nil, text, 7, []byte(text), good[:8]} {
		require.ErrorIs(t, keep.Scan(src), ErrToken)
		require.True(t, keep == reversibleSample(9))
	}
}

// TestReversibleTokenCheckSymbol: it finds every single wrong symbol and every
// exchange of neighbours, whatever the length.
func TestReversibleTokenCheckSymbol(t *testing.T) {
	for _, n := range []int{1, 16, 36} {
		text := reversibleSample(n).String()
		for i := range len(text) {
			for c := range len(symbols) {
				changed := text[:i] + symbols[c:c+1] + text[i+1:]
				if _, err := ParseReversibleToken(changed); changed != text {
					require.ErrorIs(t, err, ErrToken, changed)
				}
			}
			if i > 0 && text[i-1] != text[i] {
				_, err := ParseReversibleToken(text[:i-1] + text[i:i+1] + text[i-1:i] + text[i+1:])
				require.ErrorIs(t, err, ErrToken, i)
			}
		}
	}
}

// FuzzParseReversibleToken: what parses writes the same text, but for case and
// the letters that are read as 0 and 1.
func FuzzParseReversibleToken(f *testing.F) {
	text := reversibleSample(16).String()
	for _, s := range []string{text, strings.ToLower(text), text[:34], text + "0", strings.ReplaceAll(text, "0", "O"), reversibleSample(1).String(), sample().String(), "", "*"} {
		f.Add(s)
	}
	fuzzTokenText(f, ParseReversibleToken, "pseudo: not a token: want at most 1,673 characters want 22 to 1,045 bytes no text is not a digit of base 32 the check symbol does not fit spare bits are set unknown format key version")
}

// FuzzReversibleTokenFromBytes: what parses writes the same bytes, and the text
// form holds the same token.
func FuzzReversibleTokenFromBytes(f *testing.F) {
	good := reversibleSample(16).Bytes()
	for _, b := range [][]byte{good, good[:21], append(good, 0), make([]byte, 37), reversibleSample(40).Bytes(), nil} {
		f.Add(b)
	}
	fuzzTokenBytes(f, ReversibleTokenFromBytes, ParseReversibleToken)
}
