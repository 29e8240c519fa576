package keyring

import (
	"maps"

	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Backup returns a copy of a memory store as it is now.
func Backup(s Store) Store {
	m := s.(*memoryStore)
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memoryStore{head: m.head, active: maps.Clone(m.active), staged: maps.Clone(m.staged), keys: maps.Clone(m.keys)}
}

// PutBack makes a memory store what a backup was.
func PutBack(s, backup Store) {
	m, b := s.(*memoryStore), Backup(backup).(*memoryStore)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.head, m.active, m.staged, m.keys = b.head, b.active, b.staged, b.keys
}

// Rows and the others let a test do what an attacker with write access does.
func Rows(s Store) map[Tag]KeyRecord                { return s.(*memoryStore).keys }
func ActiveKeysets(s Store) map[string]KeysetRecord { return s.(*memoryStore).active }
func StagedKeysets(s Store) map[string]KeysetRecord { return s.(*memoryStore).staged }
func SetHead(s Store, h Head)                       { s.(*memoryStore).head = h }

// NewJournal returns a journal on a medium of the test's.
func NewJournal(m journal.Medium) *Journal { return &Journal{journal.New(m)} }

// TagOf returns the tag of a subject's row.
func (r *Ring) TagOf(compartment, subject string) Tag {
	return r.core().subjectTag(compartment, subject)
}

// ErasureTagOf returns the tag by which the journal names a subject.
func (r *Ring) ErasureTagOf(subject string) Tag { return r.core().erasureTag(subject) }

// CustodyTagOf returns the tag of the row with a subject's package.
func (r *Ring) CustodyTagOf(subject string) Tag {
	return r.core().custodyTag(r.core().erasureTag(subject))
}

// Bury returns the true tombstone of any row, as only a holder of the ring's keys can make it.
func (r *Ring) Bury(compartment, rowOf, erasureOf string) KeyRecord {
	c := r.core()
	return c.buryRow(compartment, c.subjectTag(compartment, rowOf), c.erasureTag(erasureOf))
}

// KeysetSecrets returns the keys in a keyset as a KEK is given it, and the
// pseudorandom keys that are prepared from them.
func KeysetSecrets(serialized []byte) (out [][]byte) {
	set := &tinkpb.Keyset{}
	if err := proto.Unmarshal(serialized, set); err != nil {
		panic(err)
	}
	for _, k := range keyMaterial(set) {
		out = append(out, k, secret.Expose(secret.Extract(k, nil)))
	}
	return out
}

// SubjectSecrets returns every key that subject keys hold.
func SubjectSecrets(keys ...*SubjectKey) (out [][]byte) {
	for _, k := range keys {
		out = append(out, secret.Expose(k.key), secret.Expose(k.Derive(labelRecordKey)))
	}
	return out
}

// Import makes serialized, a Tink keyset in clear, a keyset of the ring without
// any of the checks of ImportKeyset.
func (r *Ring) Import(name string, serialized []byte) error { return importKeyset(r, name, serialized) }

// Exposed returns the bytes of a key.
func Exposed(k secret.Key) []byte { return secret.Expose(k) }

// ReformatExport parses an export and writes it again.
func ReformatExport(b []byte) ([]byte, error) {
	e, err := parseExport(b)
	if err != nil {
		return nil, err
	}
	return formatExport(e), nil
}

// KeysetAD is the associated data of a wrapped keyset.
func KeysetAD(ring, name string) []byte { return keysetAD(ring, name) }
