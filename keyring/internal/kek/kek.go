// Package kek is the key-encryption keys that need no service: a passphrase and
// a key file.
package kek

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
)

// The errors; package keyring exports them under these names.
var (
	ErrKEK    = errors.New("key-encryption key failed")
	ErrEmpty  = errors.New("empty argument")
	ErrExists = errors.New("exists already")
)

// sealUnder and openUnder are how the KEKs of this package encrypt: header,
// 12-byte random nonce, AES-256-GCM, with the header authenticated.
func sealUnder(a secret.AEAD, header, plaintext, ad []byte) ([]byte, error) {
	if len(ad) > lp.MaxPart {
		return nil, fmt.Errorf("keyring: associated data of %d bytes: %w", len(ad), ErrKEK)
	}
	return secret.SealRandom(a, bytes.Clone(header), plaintext, lp.Append(nil, header, ad)), nil
}

func openUnder(a secret.AEAD, header, sealed, ad []byte) ([]byte, error) {
	if len(ad) > lp.MaxPart {
		return nil, fmt.Errorf("keyring: associated data of %d bytes: %w", len(ad), ErrKEK)
	}
	plaintext, err := secret.OpenRandom(a, nil, sealed, lp.Append(nil, header, ad))
	if err != nil {
		return nil, fmt.Errorf("keyring: wrong key, or not made for this keyset: %w", ErrKEK)
	}
	return plaintext, nil
}
