package keyring

import (
	"context"
	"crypto/hmac"
)

// Tag names the key of one subject in one compartment without telling either:
// it is an HMAC under a key of the ring. It is the primary key of a [KeyRecord].
type Tag [16]byte

// Head is the newest journal entry that a store has taken in. The zero Head
// is that of a store without a ring.
type Head struct {
	Ring string   // the ring's id, at most 64 bytes of ASCII
	Seq  uint64   // sequence number of the entry, from 1; at most 2⁶³-1
	Hash [32]byte // SHA-256 of the entry
}

// KeysetRecord is one wrapped keyset.
type KeysetRecord struct {
	Name     string   // at most 128 bytes of ASCII
	Revision uint64   // counts the wrapped forms of this keyset, from 1; at most 2⁶³-1
	Digest   [32]byte // of name, revision and Wrapped; a store compares it and need not compute it
	Wrapped  []byte   // at most 64 KiB; opaque
}

// KeyRecord is one subject's wrapped key in one compartment, or its tombstone.
type KeyRecord struct {
	Tag         Tag
	Compartment string // at most 32 bytes of ASCII
	Generation  uint32
	Version     uint32   // of the keyset that wraps the key
	State       State    // Active, Retained or Destroyed; a store keeps others alike
	Wrapped     []byte   // some 100 bytes, seldom more, at most 64 KiB; opaque
	Commitment  [32]byte // to the key inside; zero in a tombstone
}

// Equal reports whether two records agree in every column, as [Store].SwapKeys
// has it. The wrapped bytes are compared in constant time, for those of a row
// that is out of service hold a MAC.
func (r *KeyRecord) Equal(other *KeyRecord) bool {
	return r.Tag == other.Tag && r.Compartment == other.Compartment && r.State == other.State &&
		r.Generation == other.Generation && r.Version == other.Version && r.Commitment == other.Commitment &&
		hmac.Equal(r.Wrapped, other.Wrapped)
}

// Change is what one journal entry does to a store.
type Change struct {
	Prev, Head Head
	// Activate names the staged keyset that becomes the active one; its
	// Wrapped is not looked at. With an empty Name there is none.
	Activate KeysetRecord
	// Keys are what is left of keys that the entry takes out of service, or what
	// it brings back: records of any state. Each is inserted, or replaces the row
	// of its tag whole, whatever that was.
	Keys []KeyRecord
}

// Swap is a row as it was read and what shall take its place.
type Swap struct{ Old, New KeyRecord }

// Store keeps what a ring persists: wrapped keysets, wrapped subject keys and
// the head. It never sees a key, a subject id or a passphrase, and it is not
// trusted: what it returns is authenticated. It is trusted to be durable.
//
//   - A method that returns nil has made its effect durable; one that returns
//     an error has had no effect, or its whole effect, never a part of it.
//   - All methods are safe for concurrent use, by several processes too where
//     the medium is shared.
//   - Neither a record given nor a record returned is shared with the caller
//     afterwards: byte slices are copied.
//   - Records come back byte for byte as they were given.
//   - A cancelled context is an error that wraps ctx.Err.
//
// Package keyringtest checks an implementation in one line.
type Store interface {
	// Head returns the head; the zero Head if none was ever committed.
	Head(ctx context.Context) (Head, error)

	// Keysets returns every active keyset, by ascending name.
	Keysets(ctx context.Context) ([]KeysetRecord, error)

	// Keyset returns the active keyset of that name, or ErrNoKeyset.
	Keyset(ctx context.Context, name string) (KeysetRecord, error)

	// StageKeyset keeps rec beside the active keyset of its name, to be
	// activated by a Commit; it replaces one staged before. Its revision must
	// be one more than the active one's (1 where there is none), otherwise it
	// is ErrConflict.
	StageKeyset(ctx context.Context, rec KeysetRecord) error

	// Commit does c in one transaction. If the head is not c.Prev, or if the
	// staged keyset's revision and digest are not those of c.Activate, it is
	// ErrConflict and nothing changes. c.Head may equal c.Prev.
	Commit(ctx context.Context, c Change) error

	// Keys returns the records of those tags that exist, in any order.
	Keys(ctx context.Context, tags []Tag) ([]KeyRecord, error)

	// CreateKeys inserts, in one transaction, each record whose tag is not
	// there yet, tombstones included, and returns the stored records of all
	// these tags, in any order: of two that create the same tag at once, both
	// get the same record. The tags in recs differ from each other.
	CreateKeys(ctx context.Context, recs []KeyRecord) ([]KeyRecord, error)

	// StaleKeys returns at most limit records in state Active of that
	// compartment whose Version is not version, and whose tags are greater than
	// after (from the first if after is nil), by ascending tag. With version 0,
	// which no record has, it returns those of all versions.
	StaleKeys(ctx context.Context, compartment string, version uint32, after *Tag, limit int) ([]KeyRecord, error)

	// SwapKeys replaces, in one transaction, each row that equals its Old in
	// every column by its New, and returns how many it replaced. Both may be in
	// any state. A row that
	// differs, a tombstone above all, or that is not there, is left alone and
	// keeps no other from being replaced. Old and New have one tag, and the tags
	// in swaps differ from each other. The store has a head.
	SwapKeys(ctx context.Context, swaps []Swap) (swapped int, err error)

	// Inactive returns at most limit records in any state but Active whose tags
	// are greater than after (from the first if after is nil), by ascending tag.
	Inactive(ctx context.Context, after *Tag, limit int) ([]KeyRecord, error)
}
