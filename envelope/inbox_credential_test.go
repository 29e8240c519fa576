package envelope

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

// anyCredential is a credential with fixed keys.
func anyCredential(t testing.TB) *credential {
	private, err := kem().NewPrivateKey(bytes.Repeat([]byte{0x33}, 32))
	require.NoError(t, err)
	key, err := secret.NewKey(bytes.Repeat([]byte{0x44}, 32))
	require.NoError(t, err)
	return &credential{itemPlace{"ring-1", "branches", "solo-1", 3}, private.PublicKey().Bytes(), key}
}

func credentialText(t testing.TB, c *credential) []byte {
	text, err := c.marshal()
	require.NoError(t, err)
	return text
}

func TestCredential(t *testing.T) {
	c := anyCredential(t)
	text := credentialText(t, c)
	back, err := parseCredential(text)
	require.NoError(t, err)
	require.Equal(t, c.itemPlace, back.itemPlace)
	require.Equal(t, c.public, back.public)
	require.Equal(t, secret.Expose(c.key), secret.Expose(back.key))
	require.Equal(t, text, credentialText(t, back))

	long := anyCredential(t)
	long.itemPlace = itemPlace{strings.Repeat("r", 64), strings.Repeat("i", 122), strings.Repeat("s", 64), 1<<32 - 1}
	text = credentialText(t, long)
	require.Len(t, text, len(credentialPrefix)+textEncoding().EncodedLen(maxCredential)+1)
	path := filepath.Join(t.TempDir(), "c")
	require.NoError(t, writeCredential(path, long))
	back, err = readCredential(path)
	require.NoError(t, err)
	require.Equal(t, long.itemPlace, back.itemPlace)
}

// TestAttackCredential: no second spelling, nothing exchanged.
func TestAttackCredential(t *testing.T) {
	c := anyCredential(t)
	text := credentialText(t, c)
	for i := range text {
		for bit := range 8 {
			bad := bytes.Clone(text)
			bad[i] ^= 1 << bit
			back, err := parseCredential(bad)
			require.ErrorIs(t, err, ErrCredential, "byte %d bit %d", i, bit)
			require.Nil(t, back)
		}
	}
	for n := range text {
		_, err := parseCredential(text[:n])
		require.ErrorIs(t, err, ErrCredential, "cut to %d", n)
	}
	body := string(text[len(credentialPrefix) : len(text)-1])
	for name, bad := range map[string]string{
		"empty": "", "no newline": string(text[:len(text)-1]), "two newlines": string(text) + "\n", "CRLF": string(text[:len(text)-1]) + "\r\n",
		"newline inside": string(text[:100]) + "\n" + string(text[100:]), "padding": string(text[:len(text)-1]) + "=\n",
		"another prefix": "rahasia-key-file-v1:" + body + "\n", "twice": string(text) + string(text),
		"standard": credentialPrefix + base64.StdEncoding.EncodeToString(make([]byte, 1400)) + "\n", "space": " " + string(text),
		"long": credentialPrefix + strings.Repeat("A", 1<<20) + "\n",
	} {
		_, err := parseCredential([]byte(bad))
		require.ErrorIs(t, err, ErrCredential, name)
	}
	// What whoever knows the key could write.
	for name, change := range map[string]func(*credential){
		"version 0":   func(c *credential) { c.version = 0 },
		"no ring":     func(c *credential) { c.ring = "" },
		"no inbox":    func(c *credential) { c.inbox = "" },
		"long inbox":  func(c *credential) { c.inbox = strings.Repeat("i", 123) },
		"no sender":   func(c *credential) { c.sender = "" },
		"bad sender":  func(c *credential) { c.sender = "a b" },
		"short key":   func(c *credential) { c.public = c.public[1:] },
		"long public": func(c *credential) { c.public = append(c.public, 0) },
	} {
		bad := anyCredential(t)
		change(bad)
		_, err := parseCredential(credentialText(t, bad))
		require.ErrorIs(t, err, ErrCredential, name)
	}
	bad := anyCredential(t)
	for i := range bad.public { // coefficients beyond the modulus
		bad.public[i] = 0xff
	}
	path := filepath.Join(t.TempDir(), "c")
	require.NoError(t, writeCredential(path, bad))
	_, err := OpenIntake(path)
	require.ErrorIs(t, err, ErrCredential)

	exchanged := bytes.Clone(c.public) // by someone who cannot read the sender's key
	c.public[len(c.public)-1] ^= 1
	other := credentialText(t, c)
	raw, err := textEncoding().DecodeString(string(other[len(credentialPrefix) : len(other)-1]))
	require.NoError(t, err)
	c.public = exchanged
	good := credentialText(t, c)
	rawGood, err := textEncoding().DecodeString(string(good[len(credentialPrefix) : len(good)-1]))
	require.NoError(t, err)
	mixed := append(raw[:len(raw)-64], rawGood[len(rawGood)-64:]...)
	_, err = parseCredential([]byte(credentialPrefix + textEncoding().EncodeToString(mixed) + "\n"))
	require.ErrorIs(t, err, ErrCredential)
}

func TestCredentialFile(t *testing.T) {
	ctx := context.Background()
	inbox := newInbox(t, "branches", newRing(t, "r", "inbox/branches"))
	path := filepath.Join(t.TempDir(), "c")
	require.NoError(t, inbox.Enrol(ctx, "solo-1", path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		for _, mode := range []os.FileMode{0o640, 0o604, 0o610, 0o700, 0o666} {
			require.NoError(t, os.Chmod(path, mode))
			_, err = OpenIntake(path)
			require.ErrorIs(t, err, ErrCredential, "%v", mode)
		}
		require.NoError(t, os.Chmod(path, 0o400))
		_, err = OpenIntake(path)
		require.NoError(t, err)
	}
	again := path + "2"
	require.NoError(t, inbox.Enrol(ctx, "solo-1", again))
	second, err := os.ReadFile(again)
	require.NoError(t, err)
	require.Equal(t, first, second, "the same sender, the same version")
	require.NoError(t, inbox.Enrol(ctx, "solo-2", path+"3"))
	third, err := os.ReadFile(path + "3")
	require.NoError(t, err)
	require.NotEqual(t, first, third)

	_, err = OpenIntake(path + "4")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = OpenIntake(t.TempDir())
	require.ErrorIs(t, err, ErrCredential, "a folder")
	require.NoError(t, os.Mkdir(path+"6", 0o600))
	_, err = OpenIntake(path + "6")
	require.ErrorIs(t, err, ErrCredential, "a folder of the right mode")
	for _, content := range []string{"", string(first) + "x", string(first[:500])} {
		require.NoError(t, os.WriteFile(path+"5", []byte(content), 0o600))
		_, err = OpenIntake(path + "5")
		require.ErrorIs(t, err, ErrCredential)
	}
}
