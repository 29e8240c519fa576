package kek

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/argon2"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
)

var (
	plain = []byte("the serialised keyset of a ring.")
	ad    = []byte("ring and name")
)

func passphrase(t testing.TB, p string) *Passphrase {
	k, err := NewPassphrase(p, Argon2id{})
	require.NoError(t, err)
	return k
}

func TestPassphrase(t *testing.T) {
	ctx := t.Context()
	k := passphrase(t, "correct horse")
	stretched := 0
	inner := k.stretch
	k.stretch = func(p argonParams) (secret.AEAD, error) { stretched++; return inner(p) }
	wrapped, err := k.Wrap(ctx, plain, ad)
	require.NoError(t, err)
	require.Len(t, wrapped, passphraseHeader+12+len(plain)+16)
	require.False(t, bytes.Contains(wrapped, plain))
	second, err := k.Wrap(ctx, plain, ad)
	require.NoError(t, err)
	require.Equal(t, wrapped[:passphraseHeader], second[:passphraseHeader], "one salt a ring")
	require.NotEqual(t, wrapped[passphraseHeader:], second[passphraseHeader:])
	require.Equal(t, 1, stretched)

	other := passphrase(t, "correct horse")
	stretched, inner = 0, other.stretch
	other.stretch = func(p argonParams) (secret.AEAD, error) { stretched++; return inner(p) }
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := other.Unwrap(ctx, wrapped, ad)
			if err != nil || !bytes.Equal(got, plain) {
				t.Error("does not unwrap", err)
			}
		})
	}
	wg.Wait()
	third, err := other.Wrap(ctx, plain, ad)
	require.NoError(t, err)
	require.Equal(t, wrapped[:passphraseHeader], third[:passphraseHeader], "the salt that was read is used again")
	require.Equal(t, 1, stretched, "one Argon2id for one salt")

	_, err = passphrase(t, "incorrect horse").Unwrap(ctx, wrapped, ad)
	require.ErrorIs(t, err, ErrKEK)
	_, err = NewPassphrase("", Argon2id{})
	require.ErrorIs(t, err, ErrEmpty)
}

// The construction, written a second time.
func TestPassphraseByHand(t *testing.T) {
	wrapped, err := passphrase(t, "pass").Wrap(t.Context(), plain, ad)
	require.NoError(t, err)
	require.Equal(t, []byte{1, 0, 1, 0, 0, 0, 0, 0, 3, 4}, wrapped[:10], "64 MiB, 3 passes, 4 lanes")
	key, err := secret.NewKey(argon2.IDKey([]byte("pass"), wrapped[10:26], 3, 64<<10, 4, 32))
	require.NoError(t, err)
	a, err := secret.NewAEAD(key)
	require.NoError(t, err)
	got, err := secret.OpenRandom(a, nil, wrapped[26:], lp.Append(nil, wrapped[:26], ad))
	require.NoError(t, err)
	require.Equal(t, plain, got)
}

// An edited blob must neither weaken the stretching nor exhaust the process.
func TestAttackPassphraseCost(t *testing.T) {
	k := passphrase(t, "pass")
	wrapped, err := k.Wrap(t.Context(), plain, ad)
	require.NoError(t, err)
	k.stretch = func(argonParams) (secret.AEAD, error) { t.Error("stretched"); return secret.AEAD{}, ErrKEK }
	set := func(at int, v uint32) []byte {
		b := bytes.Clone(wrapped)
		binary.BigEndian.PutUint32(b[at:], v)
		return b
	}
	lanes := func(n byte) []byte { b := bytes.Clone(wrapped); b[9] = n; return b }
	for name, b := range map[string][]byte{
		"less memory": set(1, argonMemory-1), "no memory": set(1, 0), "much memory": set(1, argonMaxMemory+1), "all memory": set(1, 1<<32-1),
		"fewer passes": set(5, 2), "many passes": set(5, argonMaxPasses+1), "no lanes": lanes(0), "many lanes": lanes(argonMaxLanes + 1),
		"other format": append([]byte{9}, wrapped[1:]...), "empty": nil, "header cut": wrapped[:passphraseHeader-1],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := k.Unwrap(t.Context(), b, ad)
			require.ErrorIs(t, err, ErrKEK)
		})
	}
}

// cheap makes k derive without the cost, but as distinctly.
func cheap(k *Passphrase, p string) *Passphrase {
	k.stretch = func(a argonParams) (secret.AEAD, error) {
		key, err := secret.NewKey(argon2.IDKey([]byte(p), a.header(), 1, 8, 1, 32))
		if err != nil {
			return secret.AEAD{}, err
		}
		return secret.NewAEAD(key)
	}
	return k
}

func costly(t testing.TB, cost Argon2id) *Passphrase {
	k, err := NewPassphrase("pass", cost)
	require.NoError(t, err)
	return cheap(k, "pass")
}

func costOf(t testing.TB, wrapped []byte) Argon2id {
	p, _, err := parsePassphrase(wrapped)
	require.NoError(t, err)
	return p.cost
}

func TestPassphraseCost(t *testing.T) {
	wrap := func(k *Passphrase) []byte {
		b, err := k.Wrap(t.Context(), plain, ad)
		require.NoError(t, err)
		return b
	}
	unwrap := func(k *Passphrase, b []byte) {
		got, err := k.Unwrap(t.Context(), b, ad)
		require.NoError(t, err)
		require.Equal(t, plain, got)
	}
	memory, passes := Argon2id{128 << 10, 3, 4}, Argon2id{64 << 10, 5, 2}
	low, high := wrap(costly(t, Argon2id{})), wrap(costly(t, memory))
	require.Equal(t, Argon2id{64 << 10, 3, 4}, costOf(t, low))
	require.Equal(t, memory, costOf(t, high))

	k := costly(t, memory)
	unwrap(k, low)
	require.True(t, k.Older(low))
	require.False(t, k.Older(high))
	up := wrap(k)
	require.Equal(t, memory, costOf(t, up), "an upgrade")
	require.NotEqual(t, low[10:26], up[10:26], "with a salt of its own")
	require.Equal(t, up[:passphraseHeader], wrap(k)[:passphraseHeader], "which serves for all")
	unwrap(costly(t, Argon2id{}), up)

	k = costly(t, Argon2id{})
	unwrap(k, low)
	unwrap(k, high)
	require.Equal(t, high[:passphraseHeader], wrap(k)[:passphraseHeader], "no downgrade, whatever was chosen")
	require.True(t, k.Older(low), "what is left of an upgrade")

	k = costly(t, passes)
	unwrap(k, high)
	require.True(t, k.Older(high))
	require.Equal(t, Argon2id{128 << 10, 5, 2}, costOf(t, wrap(k)), "neither in memory nor in passes")
	require.False(t, costly(t, Argon2id{64 << 10, 3, 1}).Older(low), "lanes are no cost")
	require.False(t, k.Older([]byte("another form")))

	for _, cost := range []Argon2id{{Memory: 1}, {64<<10 - 1, 3, 4}, {64 << 10, 2, 4}, {64 << 10, 3, 0}, {256<<10 + 1, 3, 4}, {64 << 10, 11, 4}, {64 << 10, 3, 17}} {
		_, err := NewPassphrase("pass", cost)
		require.ErrorIs(t, err, ErrKEK, "%v", cost)
	}
}

func TestPassphraseRemembersFewSalts(t *testing.T) {
	k := passphrase(t, "pass")
	k.stretch = func(argonParams) (secret.AEAD, error) { return secret.NewAEAD(secret.Random()) }
	a, err := secret.NewAEAD(secret.Random())
	require.NoError(t, err)
	for i := range 3 * maxSalts {
		k.keep(argonParams{cost: Argon2id{Passes: uint32(i)}}, a)
	}
	require.Len(t, k.proved, maxSalts)
	wrapped, err := k.Wrap(t.Context(), plain, ad)
	require.NoError(t, err)
	before := len(k.proved)
	wrapped[10] ^= 1 // an attacker's salt
	_, err = k.Unwrap(t.Context(), wrapped, ad)
	require.ErrorIs(t, err, ErrKEK)
	require.Len(t, k.proved, before, "a salt that opened nothing is not remembered")
}

func TestKeyFile(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "kek")
	k, err := CreateKeyFile(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	wrapped, err := k.Wrap(ctx, plain, ad)
	require.NoError(t, err)
	require.Len(t, wrapped, 1+12+len(plain)+16)

	again, err := OpenKeyFile(path)
	require.NoError(t, err)
	got, err := again.Unwrap(ctx, wrapped, ad)
	require.NoError(t, err)
	require.Equal(t, plain, got)

	_, err = CreateKeyFile(path)
	require.ErrorIs(t, err, ErrExists)
	other, err := CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	_, err = other.Unwrap(ctx, wrapped, ad)
	require.ErrorIs(t, err, ErrKEK)
	_, err = k.Unwrap(ctx, nil, ad)
	require.ErrorIs(t, err, ErrKEK)
	_, err = CreateKeyFile(filepath.Join(t.TempDir(), "no", "kek"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = OpenKeyFile(filepath.Join(t.TempDir(), "no"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestAttackKeyFileMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	_, err := CreateKeyFile(path)
	require.NoError(t, err)
	for _, mode := range []fs.FileMode{0o604, 0o640, 0o644, 0o660, 0o700, 0o601, 0o777} {
		require.NoError(t, os.Chmod(path, mode))
		_, err = OpenKeyFile(path)
		require.ErrorIs(t, err, ErrKEK, "%v", mode)
	}
	require.NoError(t, os.Chmod(path, 0o400))
	_, err = OpenKeyFile(path)
	require.NoError(t, err)
	_, err = OpenKeyFile(filepath.Dir(path))
	require.ErrorIs(t, err, ErrKEK, "a folder")
}

func TestKeyFileContent(t *testing.T) {
	good := formatSecret(keyFilePrefix, secret.Random())
	_, err := parseSecret(keyFilePrefix, good)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "kek")
	for name, text := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)-1], "longer": append(bytes.Clone(good), 'x'), "two lines": append(bytes.Clone(good), good...),
		"version": bytes.Replace(good, []byte("v1"), []byte("v2"), 1), "newline inside": append(append(bytes.Clone(good[:40]), '\n'), good[41:]...),
		"no newline": append(bytes.Clone(good[:len(good)-1]), ' '), "spare bits": append(append(bytes.Clone(good[:len(good)-2]), 'B'), '\n'),
		"raw key": bytes.Repeat([]byte{1}, 32),
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, text, 0o600))
			_, err := OpenKeyFile(path)
			require.ErrorIs(t, err, ErrKEK)
			if len(text) > 0 {
				require.NotContains(t, err.Error(), string(text))
			}
		})
	}
}

type wrapper interface {
	Wrap(ctx context.Context, plaintext, ad []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error)
}

func both(t testing.TB) map[string]wrapper {
	file, err := CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	return map[string]wrapper{"passphrase": passphrase(t, "pass"), "key file": file}
}

func TestAttackEveryBit(t *testing.T) {
	for name, k := range both(t) {
		t.Run(name, func(t *testing.T) {
			wrapped, err := k.Wrap(t.Context(), plain, ad)
			require.NoError(t, err)
			if p, ok := k.(*Passphrase); ok { // the salt's bits need no true stretching to fail
				p.stretch = func(argonParams) (secret.AEAD, error) { return secret.NewAEAD(secret.Random()) }
			}
			for i := range wrapped {
				for bit := range 8 {
					changed := bytes.Clone(wrapped)
					changed[i] ^= 1 << bit
					got, err := k.Unwrap(t.Context(), changed, ad)
					require.ErrorIs(t, err, ErrKEK)
					require.Nil(t, got)
				}
			}
			for n := range wrapped {
				_, err := k.Unwrap(t.Context(), wrapped[:n], ad)
				require.ErrorIs(t, err, ErrKEK)
			}
			_, err = k.Unwrap(t.Context(), wrapped, []byte("another ring and name"))
			require.ErrorIs(t, err, ErrKEK)
			_, err = k.Wrap(t.Context(), plain, make([]byte, 1<<16))
			require.ErrorIs(t, err, ErrKEK, "associated data that cannot be encoded")
			_, err = k.Unwrap(t.Context(), wrapped, make([]byte, 1<<16))
			require.ErrorIs(t, err, ErrKEK)
		})
	}
}

// A caller's slices are neither written to nor kept.
func TestSlicesAreTheCallers(t *testing.T) {
	for name, k := range both(t) {
		t.Run(name, func(t *testing.T) {
			p, a := padded(plain), padded(ad)
			wrapped, err := k.Wrap(t.Context(), p, a)
			require.NoError(t, err)
			w := padded(wrapped)
			_, err = k.Unwrap(t.Context(), w, a)
			require.NoError(t, err)
			for _, c := range [][2][]byte{{p, plain}, {a, ad}, {w, wrapped}} {
				require.Equal(t, c[1], c[0])
				require.Equal(t, bytes.Repeat([]byte{0xee}, 64), c[0][len(c[0]):len(c[0])+64], "wrote past the end")
			}
		})
	}
}

func padded(b []byte) []byte {
	return append(bytes.Clone(b), bytes.Repeat([]byte{0xee}, 64)...)[:len(b)]
}

func TestLeak(t *testing.T) {
	const pass = "Tr0ub4dor&3-is-the-passphrase"
	p := passphrase(t, pass)
	_, err := p.Wrap(t.Context(), plain, ad)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "kek")
	f, err := CreateKeyFile(path)
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, v := range []any{p, f, struct{ k any }{p}, struct{ k any }{f}, []any{p, f}, *f, map[string]any{"a": p}} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			for _, flag := range []string{"", "+", "#", " ", "# "} {
				out := fmt.Sprintf("%"+flag+string(verb), v)
				for _, bad := range []string{pass, hex.EncodeToString([]byte(pass)), strings.ToUpper(hex.EncodeToString([]byte(pass))), string(text[len(keyFilePrefix) : len(text)-1])} {
					if strings.Contains(out, bad) {
						t.Fatalf("%%%s%c prints a secret", flag, verb)
					}
				}
			}
		}
	}
}

func FuzzParsePassphrase(f *testing.F) {
	p := argonParams{cost: Argon2id{argonMemory, argonPasses, argonLanes}}
	f.Add(append(p.header(), make([]byte, 28)...))
	f.Add(p.header())
	f.Add([]byte{})
	p.cost.Memory = 1
	f.Add(p.header())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, sealed, err := parsePassphrase(b)
		if err != nil {
			if p != (argonParams{}) && sealed != nil {
				t.Fatal("a result beside an error")
			}
			return
		}
		if !bytes.Equal(append(p.header(), sealed...), b) {
			t.Fatal("what parses is written otherwise")
		}
		if p.cost.Memory < argonMemory || p.cost.Memory > argonMaxMemory || p.cost.Passes < argonPasses || p.cost.Passes > argonMaxPasses || p.cost.Lanes == 0 {
			t.Fatal("a cost out of bounds")
		}
	})
}

func FuzzParseKeyFile(f *testing.F) {
	key, err := secret.NewKey(bytes.Repeat([]byte{9}, 32))
	require.NoError(f, err)
	f.Add(formatSecret(keyFilePrefix, key))
	f.Add([]byte(keyFilePrefix))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := parseSecret(keyFilePrefix, text)
		if err != nil {
			if !key.IsZero() {
				t.Fatal("a key beside an error")
			}
			if len(text) > 8 && strings.Contains(err.Error(), string(text)) {
				t.Fatal("the error quotes the file")
			}
			return
		}
		if !bytes.Equal(formatSecret(keyFilePrefix, key), text) {
			t.Fatal("what parses is written otherwise")
		}
	})
}
