package keyringtest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
)

// kek is a key-encryption key for one check: random, and gone with it.
type kek struct{ aead func() cipher.AEAD }

func newKEK() (kek, error) {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return kek{}, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return kek{}, err
	}
	return kek{func() cipher.AEAD { return gcm }}, nil
}

func (k kek) Wrap(_ context.Context, plaintext, ad []byte) ([]byte, error) {
	return k.aead().Seal(nil, nil, plaintext, ad), nil
}

func (k kek) Unwrap(_ context.Context, wrapped, ad []byte) ([]byte, error) {
	return k.aead().Open(nil, nil, wrapped, ad)
}
