package kms

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/rahasia/rahasia/keyring"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
)

// AWS returns the KEK of a symmetric key in AWS KMS, by its ARN
// (arn:aws:kms:REGION:ACCOUNT:key/ID), called through client, which must be of
// that region. An alias is refused: it can be pointed at another key, and what
// it wrapped would no longer open.
//
// The caller needs kms:Encrypt and kms:Decrypt on the key. AWS takes 4,096 bytes
// at most, which is a keyset of 39 versions, and writes the encryption context,
// ring id and keyset name as hex, to CloudTrail. The client retries a throttled
// call twice; contexts are honoured.
func AWS(ctx context.Context, arn string, client *kms.Client) (keyring.KEK, error) {
	if !strings.HasPrefix(arn, "arn:") || !strings.Contains(arn, ":key/") {
		return nil, fmt.Errorf("kms: %q is not the ARN of a key", arn)
	}
	// NewAEADWithContext and not the deprecated constructors, which name the
	// context otherwise than Tink does in other languages.
	a, err := awskms.NewAEADWithContext(ctx, arn, awskms.WithKMS(client))
	if err != nil {
		return nil, fmt.Errorf("kms: %q: %w", arn, err)
	}
	return keyring.TinkAEADWithContext(a), nil
}
