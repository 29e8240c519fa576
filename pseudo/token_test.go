package pseudo

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sample is a token without a domain; its bytes use every symbol position.
func sample() Token {
	return Token{version: 0x01020304, mac: [16]byte{0xff, 0x00, 0xa5, 4: 1, 8: 0x80, 15: 0x7f}}
}

func TestTokenForms(t *testing.T) {
	tok := sample()
	require.Equal(t, "0101020304ff00a500010000008000000000"+"00007f", hex.EncodeToString(tok.Bytes()))
	require.Len(t, tok.String(), 35)
	require.Equal(t, uint32(0x01020304), tok.Version())

	requireForms(t, tok, TokenFromBytes, ParseToken)
}

// storedToken is what both kinds of token can do.
type storedToken interface {
	comparable
	driver.Valuer
	encoding.BinaryMarshaler
	IsZero() bool
	Bytes() []byte
	String() string
}

// requireForms wants tok back from each of its forms.
func requireForms[T storedToken, P interface {
	*T
	encoding.BinaryUnmarshaler
}](t *testing.T, tok T, fromBytes func([]byte) (T, error), parse func(string) (T, error)) {
	t.Helper()
	back, err := fromBytes(tok.Bytes())
	require.NoError(t, err)
	require.True(t, back == tok)
	back, err = parse(tok.String())
	require.NoError(t, err)
	require.True(t, back == tok)

	out, err := json.Marshal(map[string]any{"t": tok, "p": &tok})
	require.NoError(t, err)
	require.JSONEq(t, `{"t":"`+tok.String()+`","p":"`+tok.String()+`"}`, string(out))
	var in struct{ T T }
	require.NoError(t, json.Unmarshal(out, &in))
	require.True(t, in.T == tok)

	b, err := tok.MarshalBinary()
	require.NoError(t, err)
	var bin T
	require.NoError(t, P(&bin).UnmarshalBinary(b))
	require.True(t, bin == tok)
	b[len(b)-1] ^= 1 // the token must not have kept the slice
	require.True(t, bin == tok)

	value, err := tok.Value()
	require.NoError(t, err)
	var scanned sql.Null[T]
	require.NoError(t, scanned.Scan(value))
	require.True(t, scanned.Valid && scanned.V == tok)
	require.NoError(t, scanned.Scan(nil))
	require.False(t, scanned.Valid)
}

// TestTokenAppendKeepsDst: the caller's bytes are only appended to.
func TestTokenAppendKeepsDst(t *testing.T) {
	dst := append(make([]byte, 0, 64), "head"...)
	b, err := sample().AppendBinary(dst)
	require.NoError(t, err)
	require.Equal(t, "head", string(b[:4]))
	b, err = sample().AppendText(dst)
	require.NoError(t, err)
	require.Equal(t, "head"+sample().String(), string(b))
}

func TestTokenZero(t *testing.T) {
	var zero Token
	require.True(t, zero.IsZero())
	require.False(t, sample().IsZero())
	require.Zero(t, zero.Version())
	require.Nil(t, zero.Bytes())
	_, err := ParseToken(zero.String())
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
	_, err = zero.Value()
	require.ErrorIs(t, err, ErrToken)
	_, err = json.Marshal(zero)
	require.ErrorIs(t, err, ErrToken)
}

// TestTokenRefuses: what is not exactly a token, and the receiver stays as it
// was.
func TestTokenRefuses(t *testing.T) {
	good := sample().Bytes()
	for name, b := range map[string][]byte{
		"empty":          {},
		"short":          good[:20],
		"long":           append(bytes.Clone(good), 0),
		"format 0":       append([]byte{0}, good[1:]...),
		"format 2":       append([]byte{2}, good[1:]...),
		"key version 0":  append(binary.BigEndian.AppendUint32([]byte{1}, 0), good[5:]...),
		"text in binary": []byte(sample().String())[:21],
	} {
		_, err := TokenFromBytes(b)
		require.ErrorIs(t, err, ErrToken, name)
		keep := sample()
		require.ErrorIs(t, keep.UnmarshalBinary(b), ErrToken, name)
		require.ErrorIs(t, keep.Scan(b), ErrToken, name)
		require.True(t, keep == sample(), name)
	}

	text := sample().String()
	spare := []byte(text)
	spare[33] = symbols[symbol(spare[33])|1]
	for name, s := range map[string]string{
		"empty":           "",
		"short":           text[:34],
		"long":            text + "0",
		"hyphen":          text[:10] + "-" + text[10:34],
		"space":           " " + text[:34],
		"newline":         text[:34] + "\n",
		"check as digit":  text[:5] + "*" + text[6:],
		"U as digit":      text[:5] + "U" + text[6:],
		"not ASCII":       text[:33] + "é",
		"wrong check":     text[:34] + string(symbols[(symbol(text[34])+1)%37]),
		"spare bits":      withCheck(string(spare[:34])),
		"unknown format":  withCheck("08" + text[2:34]),
		"key version 0":   withCheck("04000000" + text[8:34]),
		"binary":          string(append(sample().Bytes(), make([]byte, 14)...)),
		"the zero string": Token{}.String(),
	} {
		_, err := ParseToken(s)
		require.ErrorIs(t, err, ErrToken, name)
		keep := sample()
		require.ErrorIs(t, keep.UnmarshalText([]byte(s)), ErrToken, name)
		require.True(t, keep == sample(), name)
	}
	for _, src := range []any{nil, text, 7, []byte(text), [21]byte{}} {
		keep := sample()
		require.ErrorIs(t, keep.Scan(src), ErrToken)
		require.True(t, keep == sample())
	}
}

// withCheck appends the check symbol that fits.
func withCheck(digits string) string {
	sum := 0
	for i := range len(digits) {
		sum = (sum*32 + symbol(digits[i])) % 37
	}
	return digits + string(symbols[sum])
}

// TestTokenTextIsForgiving: case and the letters that are misread.
func TestTokenTextIsForgiving(t *testing.T) {
	tok := Token{version: 1, mac: [16]byte{0: 0x10, 7: 0x42}} // has 0 and 1 in it
	text := tok.String()
	require.Contains(t, text, "0")
	require.Contains(t, text, "1")
	for _, s := range []string{
		strings.ToLower(text),
		strings.ReplaceAll(text, "0", "O"), strings.ReplaceAll(text, "0", "o"),
		strings.ReplaceAll(text, "1", "I"), strings.ReplaceAll(text, "1", "i"),
		strings.ReplaceAll(text, "1", "L"), strings.ReplaceAll(text, "1", "l"),
	} {
		got, err := ParseToken(s)
		require.NoError(t, err, s)
		require.True(t, got == tok)
		require.Equal(t, text, got.String())
	}
	for i := uint32(1); ; i++ { // the check symbol U, in lower case
		tok := Token{version: i}
		if text := tok.String(); strings.HasSuffix(text, "U") {
			got, err := ParseToken(strings.ToLower(text))
			require.NoError(t, err)
			require.True(t, got == tok)
			break
		}
	}
}

// TestAttackMistypedToken: every single wrong symbol and every exchange of two
// neighbours is caught, in tokens that between them end in every check symbol.
func TestAttackMistypedToken(t *testing.T) {
	checks := map[byte]bool{}
	for i := byte(0); len(checks) < 37; i++ {
		tok := Token{version: 1 + uint32(i), mac: [16]byte{i, ^i, 5: i * 7, 15: i}}
		text := tok.String()
		checks[text[34]] = true
		mistyped := func(s string) {
			if got, err := ParseToken(s); err == nil {
				t.Fatalf("%s read as %s passes and gives %s", text, s, got)
			}
		}
		for at := range len(text) {
			for c := range len(symbols) {
				if symbols[c] != text[at] {
					mistyped(text[:at] + symbols[c:c+1] + text[at+1:])
				}
			}
			if at > 0 && text[at] != text[at-1] {
				mistyped(text[:at-1] + string([]byte{text[at], text[at-1]}) + text[at+1:])
			}
		}
	}
}
