package keyring

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/rahasia/rahasia/keyring/internal/custody"
)

// Custodian is the public key of whoever holds the keys of retained subjects:
// a person or an office apart from those who run the service. With it
// [Ring.Retain] seals and nobody opens. It is one of HPKE (RFC 9180) with
// MLKEM768-X25519, HKDF-SHA256 and AES-256-GCM. The zero Custodian is nobody's.
type Custodian struct{ public custody.Public }

// ParseCustodian reads what [Custodian.String] wrote; anything else is [ErrKEK].
// Nothing but a trial shows that somebody holds the private key: retain a subject
// of a test ring first, and end it.
func ParseCustodian(text string) (Custodian, error) {
	public, err := custody.Parse(text)
	return Custodian{public}, err
}

// String returns the public key as text, some 1,650 characters.
func (c Custodian) String() string { return c.public.String() }

// CustodianKey is the custodian's private key, in a file that belongs on a
// machine of its own, best without a network. It prints as a fixed text.
type CustodianKey struct{ private custody.Private }

// CreateCustodianKey makes a new private key in a new file at path, readable by
// its owner alone (mode 0600), durable when it returns. A path that is there
// already is [ErrExists]. Without the file the keys of all that were retained
// for it are lost: keep a copy of it apart.
func CreateCustodianKey(path string) (*CustodianKey, error) {
	private, err := custody.Create(path)
	if err != nil {
		return nil, err
	}
	return &CustodianKey{private}, nil
}

// OpenCustodianKey reads the file that [CreateCustodianKey] made. One that
// others than its owner may use at all, or that has another form, is [ErrKEK].
func OpenCustodianKey(path string) (*CustodianKey, error) {
	private, err := custody.Open(path)
	if err != nil {
		return nil, err
	}
	return &CustodianKey{private}, nil
}

// Custodian returns the public key. The zero CustodianKey has the zero Custodian.
func (k *CustodianKey) Custodian() Custodian {
	if k == nil || k.private.IsZero() {
		return Custodian{}
	}
	return Custodian{k.private.Public()}
}

// Format writes a fixed text, whatever the verb.
func (k *CustodianKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "keyring.CustodianKey") }

// LogValue is a fixed text.
func (k *CustodianKey) LogValue() slog.Value { return slog.StringValue("keyring.CustodianKey") }
