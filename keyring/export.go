package keyring

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/keyring/internal/name"
)

// exportFormat starts an export, and the associated data of what is in it:
// ring, name, revision, digest.
const exportFormat = "rahasia/ring-export/v1"

// maxExport bounds an export: some 50,000 keysets of a few versions.
const maxExport = 64 << 20

// secondKEK is what errors call the KEK of an export.
const secondKEK = "the export's KEK"

// exported is an export: one JSON object and a newline, in the one spelling
// that formatExport writes.
type exported struct {
	Format  string     `json:"format"`
	Ring    string     `json:"ring"`
	Keysets keysetList `json:"keysets"` // by ascending name
}

// keysetList refuses a keyset that cannot be before it reads the next: one that
// is nothing takes three bytes of an export and many times that in memory.
type keysetList []exportedKeyset

// UnmarshalJSON reads the keysets one by one.
func (l *keysetList) UnmarshalJSON(b []byte) error {
	*l = nil
	d := json.NewDecoder(bytes.NewReader(b))
	if start, err := d.Token(); err != nil || start != json.Delim('[') {
		return ErrCorrupt
	}
	for d.More() {
		var k exportedKeyset
		if err := d.Decode(&k); err != nil {
			return ErrCorrupt
		}
		if sorted := len(*l) == 0 || (*l)[len(*l)-1].Name < k.Name; !sorted || !k.valid() {
			return ErrCorrupt
		}
		*l = append(*l, k)
	}
	return nil
}

// exportedKeyset is a keyset under the second KEK.
type exportedKeyset struct {
	Name     string `json:"name"`
	Revision uint64 `json:"revision"` // in the store
	Digest   []byte `json:"digest"`   // of that revision, in the journal
	Wrapped  []byte `json:"wrapped"`
}

// Export returns all keysets of the ring, the control keyset among them, wrapped
// by a second KEK, for the day on which the ring's KEKs are gone: [Restore]
// puts them under new ones. It is text, some 250 bytes a keyset and 150 a
// version. It holds no subject key and no journal: keep it beside the backups
// of those, and make it anew whenever a keyset was created, rotated, changed
// or moved, for Restore refuses one that may lack versions.
//
// Each keyset is unwrapped again and compared before Export returns. What the
// export tells in clear is the ring's id and the keysets' names and revisions. With the
// second KEK and a copy of the store it opens everything that the ring could open
// then, subjects erased since in a store copied before among them: choose
// a KEK of another provider or custody, guarded like the ring's.
//
// A view of a part of the ring is [ErrNotGranted]; a KEK that fails, the
// ring's own or the second, [ErrKEK], which says which. Other errors are those of
// [Ring.Keyset].
func (r *Ring) Export(ctx context.Context, kek KEK) ([]byte, error) {
	c, err := r.allow()
	if err != nil {
		return nil, err
	}
	switch {
	case r.granted != nil:
		return nil, fmt.Errorf("keyring: export a part of the ring: %w", ErrNotGranted)
	case kek == nil:
		return nil, fmt.Errorf("keyring: export: no KEK to wrap it: %w", ErrKEK)
	}
	if _, err := c.fresh(ctx); err != nil {
		return nil, err
	}
	kek = namedKEK{meterKEK(kek, c.metrics), secondKEK}
	c.mu.RLock()
	names := slices.Sorted(maps.Keys(c.chain.Keysets))
	c.mu.RUnlock()
	out := exported{Format: exportFormat, Ring: c.ring}
	for _, name := range names {
		k, err := c.exportKeyset(ctx, kek, name)
		if err != nil {
			return nil, err
		}
		out.Keysets = append(out.Keysets, k)
	}
	b := formatExport(&out)
	if len(b) > maxExport {
		return nil, fmt.Errorf("keyring: export: more than %d bytes: %w", maxExport, ErrKEK)
	}
	c.tellExport("")
	return b, nil
}

func (c *core) exportKeyset(ctx context.Context, to KEK, name string) (exportedKeyset, error) {
	from, err := c.keks.of(name)
	if err != nil {
		return exportedKeyset{}, err
	}
	rec, err := c.record(ctx, name)
	if err != nil {
		return exportedKeyset{}, err
	}
	_, rev, err := openRevision(ctx, namedKEK{from, ringsOwn}, c.ring, name, rec)
	if err != nil {
		return exportedKeyset{}, err
	}
	out := exportedKeyset{Name: name, Revision: rec.Revision, Digest: rec.Digest[:]}
	wrapped, serialized, err := wrapSet(ctx, to, name, rev.set, out.ad(c.ring))
	if err != nil {
		return exportedKeyset{}, err
	}
	clear(serialized)
	out.Wrapped = wrapped
	return out, nil
}

// ad binds a keyset of an export to its ring, and to the revision of it whose
// keys these are: two histories of one ring may count the same.
func (k *exportedKeyset) ad(ring string) []byte {
	b := lp.Append(nil, exportFormat, ring, k.Name)
	return lp.Append(b, binary.BigEndian.AppendUint64(nil, k.Revision), k.Digest)
}

// open unwraps a keyset of an export. Its digest is that of the revision.
func (k *exportedKeyset) open(ctx context.Context, kek KEK, ring string) (*Keyset, *revision, error) {
	serialized, err := unwrap(ctx, kek, k.Name, k.Wrapped, k.ad(ring))
	if err != nil {
		return nil, nil, err
	}
	defer clear(serialized)
	ks, set, err := parseKeyset(k.Name, [32]byte(k.Digest), serialized)
	if err != nil {
		return nil, nil, err
	}
	return ks, &revision{k.Revision, set}, nil
}

// formatExport cannot fail: the type holds texts, numbers and bytes.
func formatExport(e *exported) []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}

// parseExport accepts exactly what formatExport writes of a ring that can be.
// Its errors quote nothing of it.
func parseExport(b []byte) (*exported, error) {
	bad := func(what string) (*exported, error) {
		return nil, fmt.Errorf("keyring: export of a ring: %s: %w", what, ErrCorrupt)
	}
	if len(b) > maxExport {
		return bad("too long")
	}
	e := &exported{}
	if err := json.Unmarshal(b, e); err != nil {
		return bad("malformed")
	}
	if e.Format != exportFormat {
		return bad("unknown format")
	}
	if !name.Ring(e.Ring) || len(e.Keysets) == 0 {
		return bad("malformed")
	}
	// The parser takes many spellings, unknown members among them.
	if !bytes.Equal(formatExport(e), b) {
		return bad("not as it was written")
	}
	return e, nil
}

// valid reports whether a ring can have this keyset.
func (k *exportedKeyset) valid() bool {
	return (k.Name == controlKeyset || name.Keyset(k.Name)) && k.Revision > 0 && k.Revision <= math.MaxInt64 &&
		len(k.Digest) == 32 && len(k.Wrapped) <= maxWrapped
}

// keyset returns the keyset of that name, if the export has it.
func (e *exported) keyset(name string) (*exportedKeyset, bool) {
	i, ok := slices.BinarySearchFunc(e.Keysets, name, func(k exportedKeyset, name string) int {
		return strings.Compare(k.Name, name)
	})
	if !ok {
		return nil, false
	}
	return &e.Keysets[i], true
}
