package custody

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/kek"
)

const ring = "clinic"

var subject = [16]byte{1, 2, 3}

func created(t testing.TB) Private {
	p, err := Create(filepath.Join(t.TempDir(), "custodian"))
	require.NoError(t, err)
	return p
}

// sample returns keys of three compartments, of one and two generations.
func sample() []Keys {
	return []Keys{
		{"audit", 1, []secret.Key{secret.Random()}},
		{"clinical", 7, []secret.Key{secret.Random(), secret.Random()}},
		{"identity", 2, []secret.Key{secret.Random()}},
	}
}

func requireSame(t testing.TB, want, got []Keys) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].Compartment, got[i].Compartment)
		require.Equal(t, want[i].Generation, got[i].Generation)
		require.Len(t, got[i].Keys, len(want[i].Keys))
		for j := range want[i].Keys {
			require.Equal(t, secret.Expose(want[i].Keys[j]), secret.Expose(got[i].Keys[j]))
		}
	}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "custodian")
	p, err := Create(path)
	require.NoError(t, err)
	require.False(t, p.IsZero())
	keys := sample()
	sealed, err := Seal(p.Public(), ring, subject, keys)
	require.NoError(t, err)
	for _, k := range keys {
		for _, key := range k.Keys {
			require.NotContains(t, string(sealed), string(secret.Expose(key)))
		}
	}
	again, err := Seal(p.Public(), ring, subject, keys)
	require.NoError(t, err)
	require.NotEqual(t, sealed, again, "HPKE draws a key for each package")

	reopened, err := Open(path)
	require.NoError(t, err)
	public, err := Parse(p.Public().String())
	require.NoError(t, err)
	require.Equal(t, p.Public(), public)
	require.Equal(t, public, reopened.Public())
	back, err := Unseal(reopened, ring, subject, sealed)
	require.NoError(t, err)
	requireSame(t, keys, back)
}

func TestUnsealRefuses(t *testing.T) {
	p := created(t)
	sealed, err := Seal(p.Public(), ring, subject, sample())
	require.NoError(t, err)
	for name, try := range map[string]func() ([]Keys, error){
		"another custodian": func() ([]Keys, error) { return Unseal(created(t), ring, subject, sealed) },
		"another ring":      func() ([]Keys, error) { return Unseal(p, "clinic2", subject, sealed) },
		"another subject":   func() ([]Keys, error) { return Unseal(p, ring, [16]byte{1, 2, 4}, sealed) },
		"empty":             func() ([]Keys, error) { return Unseal(p, ring, subject, nil) },
		"cut":               func() ([]Keys, error) { return Unseal(p, ring, subject, sealed[:len(sealed)-1]) },
		"longer":            func() ([]Keys, error) { return Unseal(p, ring, subject, append(bytes.Clone(sealed), 0)) },
	} {
		keys, err := try()
		require.ErrorIs(t, err, kek.ErrKEK, name)
		require.Nil(t, keys, name)
	}
	_, err = Unseal(Private{}, ring, subject, sealed)
	require.ErrorIs(t, err, kek.ErrEmpty)
}

// Every region of a package is authenticated: the encapsulated keys of both
// schemes, the ciphertext, the tag.
func TestAttackPackageChanged(t *testing.T) {
	p := created(t)
	sealed, err := Seal(p.Public(), ring, subject, sample())
	require.NoError(t, err)
	for i := range sealed {
		if i > 32 && i < len(sealed)-300 && i%61 != 0 {
			continue // some bytes of the ML-KEM ciphertext, all of the rest
		}
		changed := bytes.Clone(sealed)
		changed[i] ^= 1 << (i % 8)
		_, err := Unseal(p, ring, subject, changed)
		require.ErrorIs(t, err, kek.ErrKEK, "byte %d", i)
	}
}

func TestSealRefuses(t *testing.T) {
	_, err := Seal(Public{}, ring, subject, sample())
	require.ErrorIs(t, err, kek.ErrKEK)
	// An X25519 half of small order would leave the post-quantum one alone.
	raw := []byte(created(t).Public().raw)
	clear(raw[len(raw)-32:])
	_, err = Seal(Public{string(raw)}, ring, subject, sample())
	require.ErrorIs(t, err, kek.ErrKEK)
}

func TestParseRefuses(t *testing.T) {
	good := created(t).Public().String()
	body := strings.TrimPrefix(good, publicPrefix)
	require.Len(t, body, 1622)
	raw, err := base64.RawURLEncoding.DecodeString(body)
	require.NoError(t, err)
	high := bytes.Clone(raw)
	copy(high, "\xff\xff\xff") // ML-KEM coefficients above the modulus
	for name, text := range map[string]string{
		"empty":          "",
		"prefix alone":   publicPrefix,
		"private prefix": privatePrefix + body,
		"next version":   strings.Replace(good, "-v1:", "-v2:", 1),
		"upper case":     strings.ToUpper(good),
		"space":          " " + good,
		"newline":        good + "\n",
		"newline inside": good[:100] + "\n" + good[100:],
		"carriage":       good[:100] + "\r" + good[100:],
		"padding":        good + "==",
		"short":          publicPrefix + base64.RawURLEncoding.EncodeToString(raw[:len(raw)-1]),
		"long":           publicPrefix + base64.RawURLEncoding.EncodeToString(append(bytes.Clone(raw), 0)),
		"standard":       publicPrefix + base64.StdEncoding.EncodeToString(raw),
		"spare bits":     good[:len(good)-1] + string(good[len(good)-1]+1),
		"not reduced":    publicPrefix + base64.RawURLEncoding.EncodeToString(high),
	} {
		p, err := Parse(text)
		require.ErrorIs(t, err, kek.ErrKEK, name)
		require.True(t, p.IsZero(), name)
		if len(text) > 40 {
			require.NotContains(t, err.Error(), text[len(text)/2:len(text)/2+8])
		}
	}
	require.Equal(t, publicPrefix, Public{}.String())
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "custodian")
	_, err := Create(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	_, err = Create(path)
	require.ErrorIs(t, err, kek.ErrExists)
	_, err = Create(filepath.Join(path, "below"))
	require.Error(t, err)
	_, err = Open(path + "x")
	require.ErrorIs(t, err, fs.ErrNotExist)
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o700, 0o666} {
		require.NoError(t, os.Chmod(path, mode))
		_, err = Open(path)
		require.ErrorIs(t, err, kek.ErrKEK, mode)
	}
	require.NoError(t, os.Chmod(path, 0o400))
	_, err = Open(path)
	require.NoError(t, err)

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), privatePrefix))
	for name, bad := range map[string]string{
		"a KEK's": strings.Replace(string(text), privatePrefix, "rahasia-key-file-v1:", 1),
		"cut":     string(text[:len(text)-1]),
		"longer":  string(text) + "\n",
		"empty":   "",
	} {
		other := filepath.Join(t.TempDir(), "other")
		require.NoError(t, os.WriteFile(other, []byte(bad), 0o600))
		_, err = Open(other)
		require.ErrorIs(t, err, kek.ErrKEK, name)
	}
	// And a KEK's reader refuses a custodian's key.
	require.NoError(t, os.Chmod(path, 0o600))
	_, err = kek.OpenKeyFile(path)
	require.ErrorIs(t, err, kek.ErrKEK)
}

func TestDecodeRefuses(t *testing.T) {
	one := func(name string, generation uint32, keys int) []byte {
		b := append([]byte{byte(len(name))}, name...)
		b = append(b, byte(generation>>24), byte(generation>>16), byte(generation>>8), byte(generation), byte(keys))
		return append(b, make([]byte, 32*keys)...)
	}
	good := append(one("audit", 1, 1), one("clinical", 2, 2)...)
	_, err := decode(good)
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"empty":                nil,
		"cut":                  good[:len(good)-1],
		"longer":               append(bytes.Clone(good), 0),
		"name alone":           {5, 'a', 'u', 'd', 'i', 't'},
		"length alone":         {5},
		"no name":              one("", 1, 1),
		"a domain":             one("a/b", 1, 1),
		"the control keyset":   one("ring", 1, 1),
		"upper case":           one("Audit", 1, 1),
		"descending":           append(one("clinical", 1, 1), one("audit", 1, 1)...),
		"twice":                append(one("audit", 1, 1), one("audit", 1, 1)...),
		"generation 0":         one("audit", 0, 1),
		"no key":               one("audit", 1, 0),
		"older than the first": one("audit", 1, 2),
		"three generations":    one("audit", 3, 3),
	} {
		keys, err := decode(bad)
		require.ErrorIs(t, err, ErrPackage, name)
		require.Nil(t, keys, name)
	}
}

// All compartments that a ring can have, each with two generations, fit a row.
func TestPackageOfAllCompartmentsFitsARow(t *testing.T) {
	var keys []Keys
	for i := range 512 {
		keys = append(keys, Keys{fmt.Sprintf("%s%03d", strings.Repeat("c", 29), i), 1 << 31, []secret.Key{secret.Random(), secret.Random()}})
	}
	p := created(t)
	sealed, err := Seal(p.Public(), ring, subject, keys)
	require.NoError(t, err)
	require.Less(t, len(sealed)+48, 64<<10)
	back, err := Unseal(p, ring, subject, sealed)
	require.NoError(t, err)
	requireSame(t, keys, back)
}

// The frozen package of the ring's vector opens.
func TestVector(t *testing.T) {
	b, err := os.ReadFile("../../testdata/vectors/keyring_v1.json")
	require.NoError(t, err)
	var v map[string]string
	require.NoError(t, json.Unmarshal(b, &v))
	get := func(name string) []byte {
		b, err := hex.DecodeString(v[name])
		require.NoError(t, err)
		return b
	}
	seed, err := secret.NewKey(get("custodian_key"))
	require.NoError(t, err)
	p, err := newPrivate(seed)
	require.NoError(t, err)
	require.Equal(t, get("custody_info"), info(v["ring"], [16]byte(get("erasure_tag"))))
	back, err := Unseal(p, v["ring"], [16]byte(get("erasure_tag")), get("custody_package"))
	require.NoError(t, err)
	require.Equal(t, get("custody_plaintext"), encode(back))
}

// No verb shows a private key or a key of a package.
func TestLeak(t *testing.T) {
	path := filepath.Join(t.TempDir(), "custodian")
	p, err := Create(path)
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	seed, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(string(text), privatePrefix)))
	require.NoError(t, err)
	keys := sample()
	secrets := [][]byte{seed, secret.Expose(keys[0].Keys[0])}
	for _, v := range []any{p, &p, struct{ p Private }{p}, []Private{p}, keys, keys[0], &keys[0]} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			for _, flag := range []string{"", "+", "#", " ", "# "} {
				out := fmt.Sprintf("%"+flag+string(verb), v)
				for _, s := range secrets {
					for _, bad := range []string{string(s[8:16]), hex.EncodeToString(s[8:16]), strings.Trim(fmt.Sprint(s[8:16]), "[]"), base64.RawURLEncoding.EncodeToString(s)[4:12]} {
						require.NotContains(t, out, bad, "%T %s%c", v, flag, verb)
					}
				}
			}
		}
		if b, err := json.Marshal(v); err == nil {
			require.NotContains(t, string(b), base64.StdEncoding.EncodeToString(seed)[4:12])
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(sample()))
	f.Add(encode(sample()[:1]))
	f.Add([]byte{})
	f.Add([]byte{255})
	f.Add([]byte{1, 'a', 0, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := decode(b)
		if err != nil {
			if keys != nil || !errors.Is(err, ErrPackage) || len(err.Error()) > 60 {
				t.Fatal("a result beside an error, or another error")
			}
			return
		}
		if !bytes.Equal(encode(keys), b) {
			t.Fatal("two spellings of one package")
		}
	})
}

func FuzzParse(f *testing.F) {
	good := created(f).Public().String()
	f.Add(good)
	f.Add(publicPrefix)
	f.Add(good[:len(good)-1])
	f.Add(good + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			if !p.IsZero() || !errors.Is(err, kek.ErrKEK) || len(err.Error()) > 120 {
				t.Fatal("a result beside an error, or another error")
			}
			return
		}
		if p.String() != text {
			t.Fatal("two spellings of one key")
		}
	})
}
