package siv

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"
)

// hexBytes is a byte string of a vector file.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// read reads the JSON of a file into a value of type T.
func read[T any](t *testing.T, system fs.FS, name string) (v T) {
	t.Helper()
	b, err := fs.ReadFile(system, name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &v))
	return v
}

var testdata = os.DirFS("testdata")

// check seals and opens one valid vector.
func check(t *testing.T, name any, key []byte, ad [][]byte, plaintext, sealed []byte) {
	t.Helper()
	c, err := prepare(key[:len(key)/2], key[len(key)/2:], ad...)
	require.NoError(t, err, name)
	require.Equal(t, hex.EncodeToString(sealed), hex.EncodeToString(c.Seal(nil, string(plaintext))), name)
	got, err := c.Open(nil, sealed)
	require.NoError(t, err, name)
	require.Equal(t, string(plaintext), string(got), name)
}

func components(parts ...hexBytes) [][]byte {
	list := make([][]byte, len(parts))
	for i := range parts {
		list[i] = parts[i]
	}
	return list
}

// TestRFC5297: the two examples of appendix A and more, from Miscreant and
// from OpenSSL through Tink.
func TestRFC5297(t *testing.T) {
	miscreant := read[struct {
		Examples []struct {
			Name       string     `json:"name:s"`
			Key        hexBytes   `json:"key:d16"`
			AD         []hexBytes `json:"ad:A<d16>"`
			Plaintext  hexBytes   `json:"plaintext:d16"`
			Ciphertext hexBytes   `json:"ciphertext:d16"`
		} `json:"examples:A<O>"`
	}](t, testdata, "aes_siv.tjson").Examples
	for _, v := range miscreant {
		check(t, v.Name, v.Key, components(v.AD...), v.Plaintext, v.Ciphertext)
	}
	openssl := read[struct {
		Vectors []struct {
			Key                        hexBytes
			AD                         []hexBytes
			SIV, Plaintext, Ciphertext hexBytes
		}
	}](t, testdata, "rfc5297_openssl_multi_ad.json").Vectors
	for i, v := range openssl {
		check(t, i, v.Key, components(v.AD...), v.Plaintext, append(append([]byte(nil), v.SIV...), v.Ciphertext...))
	}
	aead := read[struct {
		Examples []struct {
			Name       string   `json:"name:s"`
			Alg        string   `json:"alg:s"`
			Key        hexBytes `json:"key:d16"`
			AD         hexBytes `json:"ad:d16"`
			Nonce      hexBytes `json:"nonce:d16"`
			Plaintext  hexBytes `json:"plaintext:d16"`
			Ciphertext hexBytes `json:"ciphertext:d16"`
		} `json:"examples:A<O>"`
	}](t, testdata, "aes_siv_aead.tjson").Examples
	used := 0
	for _, v := range aead {
		if v.Alg != "AES-SIV" {
			continue // AES-PMAC-SIV is another mode
		}
		used++
		check(t, v.Name, v.Key, components(v.AD, v.Nonce), v.Plaintext, v.Ciphertext)
	}
	t.Logf("RFC 5297: %d vectors of Miscreant, %d with a nonce (%d of AES-PMAC-SIV skipped), %d of OpenSSL", len(miscreant), used, len(aead)-used, len(openssl))
	require.Equal(t, [4]int{6, 3, 3, 7}, [4]int{len(miscreant), used, len(aead) - used, len(openssl)})
}

// TestCMAC and TestDouble: the parts of S2V by themselves.
func TestCMAC(t *testing.T) {
	vectors := read[struct {
		Examples []struct {
			Key     hexBytes `json:"key:d16"`
			Message hexBytes `json:"message:d16"`
			Tag     hexBytes `json:"tag:d16"`
		} `json:"examples:A<O>"`
	}](t, testdata, "aes_cmac.tjson").Examples
	for i, v := range vectors {
		c, err := prepare(v.Key, v.Key)
		require.NoError(t, err)
		s := new(scratch)
		cmac(c.key(), s, []byte(v.Message), block{})
		require.Equal(t, hex.EncodeToString(v.Tag), hex.EncodeToString(s.v[:]), i)
	}
	t.Logf("CMAC: %d vectors", len(vectors))
	require.NotEmpty(t, vectors)
}

func TestDouble(t *testing.T) {
	vectors := read[struct {
		Examples []struct {
			Input  hexBytes `json:"input:d16"`
			Output hexBytes `json:"output:d16"`
		} `json:"examples:A<O>"`
	}](t, testdata, "dbl.tjson").Examples
	for i, v := range vectors {
		require.Equal(t, block(v.Output), double(block(v.Input)), i)
	}
	require.NotEmpty(t, vectors)
}

// TestWycheproofSIV: every vector of aes_siv_cmac_test.json, of all three key
// sizes; the associated data is one component.
func TestWycheproofSIV(t *testing.T) {
	file := read[struct {
		TestGroups []struct {
			Tests []struct {
				TcID              int `json:"tcId"`
				Key, AAD, Msg, CT hexBytes
				Result            string
			}
		}
	}](t, wycheproof.TestVectors, "aes_siv_cmac_test.json")
	valid, invalid := 0, 0
	for _, g := range file.TestGroups {
		for _, v := range g.Tests {
			if v.Result == "valid" {
				valid++
				check(t, v.TcID, v.Key, [][]byte{v.AAD}, v.Msg, v.CT)
				continue
			}
			invalid++
			refuse(t, v.TcID, v.Key, [][]byte{v.AAD}, v.CT)
		}
	}
	t.Logf("aes_siv_cmac_test.json: %d valid, %d invalid, none skipped", valid, invalid)
	require.Equal(t, [2]int{118, 324}, [2]int{valid, invalid})
}

// TestWycheproofAEAD: every vector of aead_aes_siv_cmac_test.json, where the
// nonce is the second component (RFC 5297, section 3).
func TestWycheproofAEAD(t *testing.T) {
	file := read[struct {
		TestGroups []struct {
			Tests []struct {
				TcID                       int `json:"tcId"`
				Key, IV, AAD, Msg, CT, Tag hexBytes
				Result                     string
			}
		}
	}](t, wycheproof.TestVectors, "aead_aes_siv_cmac_test.json")
	valid, invalid := 0, 0
	for _, g := range file.TestGroups {
		for _, v := range g.Tests {
			ad, sealed := [][]byte{v.AAD, v.IV}, append(append([]byte(nil), v.Tag...), v.CT...)
			if v.Result == "valid" {
				valid++
				check(t, v.TcID, v.Key, ad, v.Msg, sealed)
				continue
			}
			invalid++
			refuse(t, v.TcID, v.Key, ad, sealed)
		}
	}
	t.Logf("aead_aes_siv_cmac_test.json: %d valid, %d invalid, none skipped", valid, invalid)
	require.Equal(t, [2]int{252, 648}, [2]int{valid, invalid})
}

func refuse(t *testing.T, name any, key []byte, ad [][]byte, sealed []byte) {
	t.Helper()
	c, err := prepare(key[:len(key)/2], key[len(key)/2:], ad...)
	require.NoError(t, err, name)
	got, err := c.Open(nil, sealed)
	require.ErrorIs(t, err, ErrOpen, name)
	require.Nil(t, got, name)
}
