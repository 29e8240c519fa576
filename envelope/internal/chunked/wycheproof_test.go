package chunked

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

// hexBytes is a byte string of a vector file.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// groups reads a vector file.
func groups[T any](t *testing.T, name string) []T {
	b, err := fs.ReadFile(wycheproof.TestVectors, name)
	require.NoError(t, err)
	var file struct{ TestGroups []T }
	require.NoError(t, json.Unmarshal(b, &file))
	return file.TestGroups
}

// TestWycheproofGCM: all vectors of the one shape of AES-GCM that is used.
func TestWycheproofGCM(t *testing.T) {
	type group struct {
		KeySize, IvSize, TagSize int
		Tests                    []struct {
			TcID                       int `json:"tcId"`
			Key, IV, AAD, Msg, CT, Tag hexBytes
			Result                     string
		}
	}
	valid, invalid := 0, 0
	for _, g := range groups[group](t, "aes_gcm_test.json") {
		if g.KeySize != 8*secret.KeySize || g.IvSize != 8*nonceSize || g.TagSize != 8*Overhead {
			continue
		}
		for _, v := range g.Tests {
			key, err := secret.NewKey(v.Key)
			require.NoError(t, err)
			aead, err := secret.NewAEAD(key)
			require.NoError(t, err)
			sealed := append(append([]byte(nil), v.CT...), v.Tag...)
			plain, err := secret.Cipher(aead).Open(nil, v.IV, sealed, v.AAD)
			if v.Result == "valid" {
				valid++
				require.NoError(t, err, v.TcID)
				require.Equal(t, string(v.Msg), string(plain), v.TcID)
				require.Equal(t, sealed, secret.Cipher(aead).Seal(nil, v.IV, v.Msg, v.AAD), v.TcID)
			} else {
				invalid++
				require.Error(t, err, v.TcID)
			}
		}
	}
	t.Logf("AES-GCM, 256-bit keys, 96-bit nonces, 128-bit tags: %d valid, %d invalid", valid, invalid)
	require.Equal(t, [2]int{39, 27}, [2]int{valid, invalid})
}

// TestWycheproofHKDF: all vectors of both hashes; Extract only makes the key
// that Expand is given.
func TestWycheproofHKDF(t *testing.T) {
	type group struct {
		Tests []struct {
			TcID            int `json:"tcId"`
			IKM, Salt, Info hexBytes
			Size            int
			OKM             hexBytes
			Result          string
		}
	}
	for _, file := range []struct {
		name  string
		hash  func() hash.Hash
		count [2]int // valid and invalid
	}{
		{"hkdf_sha512_test.json", sha512.New, [2]int{80, 3}},
		{"hkdf_sha256_test.json", sha256.New, [2]int{83, 3}},
	} {
		var count [2]int
		for _, g := range groups[group](t, file.name) {
			for _, v := range g.Tests {
				prk, err := hkdf.Extract(file.hash, v.IKM, v.Salt)
				require.NoError(t, err)
				okm, err := hkdf.Expand(file.hash, prk, string(v.Info), v.Size)
				if v.Result == "valid" {
					count[0]++
					require.NoError(t, err, v.TcID)
					require.Equal(t, []byte(v.OKM), okm, v.TcID)
				} else {
					count[1]++
					require.Error(t, err, v.TcID)
				}
			}
		}
		t.Logf("%s: %d valid, %d invalid", file.name, count[0], count[1])
		require.Equal(t, file.count, count, file.name)
	}
}
