// Package kms shows how a ring's KEKs come from a key service, through Tink's
// own integration modules: AWS KMS, Google Cloud KMS, and the transit engine of
// HashiCorp Vault and OpenBao. Take the function that you need into your
// program; it is a module of its own so that the library carries none of these
// clients. docs/KEYS.md tells how to lay out keys and policies.
//
// Each function returns a [keyring.KEK] of one key. A keyset's associated data,
// which names ring and keyset, goes with every call: to AWS as encryption
// context, to Google as additional authenticated data, to Vault as
// associated_data. A wrapped keyset put in another's place does not open.
package kms
