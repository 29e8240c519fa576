package keyring

import (
	"sync/atomic"

	"github.com/rahasia/rahasia/internal/secret"
)

// derivations keeps what was derived of one key, and what was prepared of that,
// for as long as the key itself: so it is gone no later than the ring's bound on
// seeing an erasure, or the end of a keyset.
type derivations struct{ all atomic.Pointer[[]*derivation] }

// derivation is one derived key. What is prepared of it is made when it is first
// asked for; of several that make it at once any will do.
type derivation struct {
	version uint32 // of a keyset; 0 of a subject key
	label   string
	key     secret.Key
	aead    atomic.Pointer[secret.AEAD]
	hmac    atomic.Pointer[secret.MAC]
}

// maxDerived bounds what is kept: labels are few and constant, and of a keyset's
// versions few are in use.
const maxDerived = 64

// of returns what is kept for a version and label, made if need be.
func (d *derivations) of(version uint32, label string, derive func() secret.Key) *derivation {
	if at := d.kept(version, label); at != nil {
		return at
	}
	at := &derivation{version: version, label: label, key: derive()}
	old := d.all.Load()
	var all []*derivation
	if old != nil {
		all = *old
	}
	if len(all) < maxDerived {
		all = append(all[:len(all):len(all)], at)
		d.all.CompareAndSwap(old, &all) // who is late derives again
	}
	return at
}

func (d *derivations) kept(version uint32, label string) *derivation {
	all := d.all.Load()
	if all == nil {
		return nil
	}
	for _, at := range *all {
		if at.version == version && at.label == label {
			return at
		}
	}
	return nil
}

func (d *derivation) sealer() (secret.AEAD, error) {
	if a := d.aead.Load(); a != nil {
		return *a, nil
	}
	a, err := secret.NewAEAD(d.key)
	if err == nil {
		d.aead.Store(&a)
	}
	return a, err
}

func (d *derivation) mac() (secret.MAC, error) {
	if m := d.hmac.Load(); m != nil {
		return *m, nil
	}
	m, err := secret.NewMAC(d.key)
	if err == nil {
		d.hmac.Store(&m)
	}
	return m, err
}
