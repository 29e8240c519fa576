package pseudo

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// A plan is what a domain derives of one keyset: a K for each readable version.
type plan[K any] struct {
	domain   string
	keyset   *keyring.Keyset
	versions []uint32 // the primary first
	keys     []K      // in the order of versions
}

// A deriver derives a key of one version for a kind: PRF_v(label, domain, kind,
// normaliser version, part).
type deriver func(label string, kind Kind, part ...string) (secret.Key, error)

// current returns the plan of the keyset as the ring has it now. The ring is
// asked every time, so that a rotation, a destroyed version and a closed ring
// are noticed as soon as it knows of them.
func current[K any](ctx context.Context, d *Domain, last *atomic.Pointer[plan[K]], keys func(version uint32, domain string, derive deriver) (K, error)) (*plan[K], error) {
	if d.keyset == nil {
		return nil, ErrNoDomain
	}
	ks, err := d.keyset(ctx)
	if err != nil {
		return nil, fmt.Errorf("pseudo: domain %q: %w", d.name, err)
	}
	if p := last.Load(); p != nil && p.keyset == ks {
		return p, nil
	}
	p := &plan[K]{domain: d.name, keyset: ks, versions: ks.Versions()}
	if len(p.versions) == 0 || slices.Contains(p.versions, 0) {
		return nil, fmt.Errorf("pseudo: domain %q: %w", d.name, keyring.ErrUnknownVersion) // version 0 marks the zero token
	}
	for _, version := range p.versions {
		k, err := keys(version, d.name, func(label string, kind Kind, part ...string) (secret.Key, error) {
			return ks.Derive(version, label, append([]string{d.name, string(kind), kind.normalizer()}, part...)...)
		})
		if err != nil {
			return nil, fmt.Errorf("pseudo: domain %q, version %d: %w", d.name, version, err)
		}
		p.keys = append(p.keys, k)
	}
	last.Store(p)
	return p, nil
}

// at returns the keys of a version, which may no longer be readable.
func (p *plan[K]) at(version uint32) (*K, error) {
	i := slices.Index(p.versions, version)
	if i < 0 {
		return nil, fmt.Errorf("pseudo: domain %q, version %d: %w", p.domain, version, keyring.ErrUnknownVersion)
	}
	return &p.keys[i], nil
}
