package kms

import (
	"context"
	"fmt"
	"strings"

	"github.com/rahasia/rahasia/keyring"
	"github.com/tink-crypto/tink-go-gcpkms/v2/integration/gcpkms"
	"google.golang.org/api/option"
)

// Google returns the KEK of a symmetric key in Google Cloud KMS, by its name
// (projects/P/locations/L/keyRings/R/cryptoKeys/K). Options are those of
// Google's clients; without any it uses the application default credentials.
// Its connection stays open for the life of the process.
//
// The caller needs roles/cloudkms.cryptoKeyEncrypterDecrypter on the key. A
// software key takes 64 KiB; an HSM key 8 KiB, which is a keyset of 79 versions.
// An unreachable service is retried until the context ends, or for a minute, so
// give [keyring.Open] a context with a deadline; a spent quota fails at once.
func Google(ctx context.Context, name string, opts ...option.ClientOption) (keyring.KEK, error) {
	if parts := strings.Split(name, "/"); len(parts) != 8 || parts[0] != "projects" || parts[6] != "cryptoKeys" {
		return nil, fmt.Errorf("kms: %q is not the name of a key", name)
	}
	// gRPC, for only there Tink passes the context on.
	a, err := gcpkms.GetAEADWithContext(ctx, "gcp-kms://"+name, gcpkms.WithGoogleAPIClientOptions(opts...))
	if err != nil {
		return nil, fmt.Errorf("kms: %q: %w", name, err)
	}
	return keyring.TinkAEADWithContext(a), nil
}
