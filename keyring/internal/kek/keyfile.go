package kek

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/rahasia/rahasia/internal/folder"
	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
)

// A key file is a prefix, 32 bytes in unpadded base64url, and a newline.
const (
	keyFilePrefix = "rahasia-key-file-v1:"
	secretSize    = 43 + 1
)

// keyFileFormat starts what a key file wraps: format(1) || nonce(12) || sealed.
const keyFileFormat = 0x02

// keyFileLabel is of the key that wraps, derived from the key in the file.
const keyFileLabel = "rahasia/key-file/v1"

// KeyFile wraps with AES-256-GCM under a key derived from the one in a file.
type KeyFile struct{ aead secret.AEAD }

// CreateKeyFile makes a new random key in a new file at path, with mode 0600,
// durable when it returns. A path that is there is [ErrExists].
func CreateKeyFile(path string) (*KeyFile, error) {
	key, err := CreateSecret(path, keyFilePrefix)
	if err != nil {
		return nil, err
	}
	return newKeyFile(key)
}

// OpenKeyFile reads what [CreateKeyFile] made. A file whose mode is wider than
// 0600, or whose content has another form, is [ErrKEK].
func OpenKeyFile(path string) (*KeyFile, error) {
	key, err := OpenSecret(path, keyFilePrefix)
	if err != nil {
		return nil, err
	}
	return newKeyFile(key)
}

// CreateSecret makes a new random key in a new file at path, behind a prefix
// that says what it is for.
func CreateSecret(path, prefix string) (secret.Key, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return secret.Key{}, fmt.Errorf("keyring: create key file: %w", ErrExists)
	} else if err != nil {
		return secret.Key{}, fmt.Errorf("keyring: create key file: %w", err)
	}
	key := secret.Random()
	text := formatSecret(prefix, key)
	defer clear(text)
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close(), folder.Sync(path))
	if err != nil {
		_ = os.Remove(path) // half a key is worse than none: it would look like one
		return secret.Key{}, fmt.Errorf("keyring: create key file: %w", err)
	}
	return key, nil
}

// OpenSecret reads what [CreateSecret] made.
func OpenSecret(path, prefix string) (secret.Key, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|folder.Nonblock, 0) // a pipe is refused, not waited for
	if err != nil {
		return secret.Key{}, fmt.Errorf("keyring: key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat() // of the open file: the path may be swapped meanwhile
	if err != nil {
		return secret.Key{}, fmt.Errorf("keyring: key file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&^0o600 != 0 {
		return secret.Key{}, fmt.Errorf("keyring: key file has mode %v, wider than 0600: %w", info.Mode(), ErrKEK)
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(len(prefix)+secretSize)+1))
	if err != nil {
		return secret.Key{}, fmt.Errorf("keyring: key file: %w", err)
	}
	defer clear(text)
	return parseSecret(prefix, text)
}

func formatSecret(prefix string, key secret.Key) []byte {
	text := base64.RawURLEncoding.AppendEncode([]byte(prefix), secret.Expose(key))
	return append(text, '\n')
}

// parseSecret accepts exactly what formatSecret writes. Its error quotes nothing.
func parseSecret(prefix string, text []byte) (secret.Key, error) {
	bad := fmt.Errorf("keyring: not a key file of version 1, or not of this kind: %w", ErrKEK)
	body, ok := bytes.CutPrefix(text, []byte(prefix))
	if !ok || len(body) != secretSize {
		return secret.Key{}, bad
	}
	var b [secret.KeySize + 1]byte
	defer clear(b[:])
	// Strict refuses spare bits; the decoder would skip a newline, so the
	// length of the result is checked too.
	n, err := base64.RawURLEncoding.Strict().Decode(b[:], body[:len(body)-1])
	if err != nil || n != secret.KeySize || body[len(body)-1] != '\n' {
		return secret.Key{}, bad
	}
	return secret.NewKey(b[:n])
}

func newKeyFile(key secret.Key) (*KeyFile, error) {
	a, err := secret.NewAEAD(secret.Derive(key, lp.Append(nil, keyFileLabel)))
	if err != nil {
		return nil, fmt.Errorf("keyring: key file: %w", ErrKEK)
	}
	return &KeyFile{a}, nil
}

// Wrap encrypts and authenticates plaintext with ad.
func (k *KeyFile) Wrap(_ context.Context, plaintext, ad []byte) ([]byte, error) {
	return sealUnder(k.aead, []byte{keyFileFormat}, plaintext, ad)
}

// Unwrap returns what Wrap was given, or [ErrKEK].
func (k *KeyFile) Unwrap(_ context.Context, wrapped, ad []byte) ([]byte, error) {
	if len(wrapped) == 0 || wrapped[0] != keyFileFormat {
		return nil, fmt.Errorf("keyring: not wrapped by a key file: %w", ErrKEK)
	}
	return openUnder(k.aead, wrapped[:1], wrapped[1:], ad)
}
