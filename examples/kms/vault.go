package kms

import (
	"fmt"

	"github.com/hashicorp/vault/api"
	"github.com/rahasia/rahasia/keyring"
	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"
)

// Vault returns the KEK of a key in the transit engine of HashiCorp Vault 1.13
// or later, or OpenBao, by its path (/transit/keys/NAME). The key must be of type
// aes128-gcm96, aes256-gcm96 (the default) or chacha20-poly1305, and not derived.
//
// Older servers ignore associated_data, and so do not bind a keyset to its name:
// do not use them. hcvault's NewClient sends it as the derivation context, which
// a key that is not derived ignores likewise: this function does not use it.
//
// The token needs the capability update on transit/encrypt/NAME and
// transit/decrypt/NAME, and not create, with which a mistyped name would make a
// new key. Tink passes no context to Vault's client: how long a call may take
// is client.SetClientTimeout, a minute for each try if it is not set.
func Vault(path string, client *api.Client) (keyring.KEK, error) {
	a, err := hcvault.NewAEAD(path, client.Logical())
	if err != nil {
		return nil, fmt.Errorf("kms: %q: %w", path, err)
	}
	return keyring.TinkAEAD(a), nil
}
