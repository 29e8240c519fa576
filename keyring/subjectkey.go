package keyring

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// The labels of a subject key and of what is derived from it.
const (
	labelWrap       = "rahasia/wrap/v1"        // PRF of the compartment's keyset: compartment, tag
	labelSubjectKey = "rahasia/subject-key/v1" // associated data of the wrapped key
	labelCommitment = "rahasia/commitment/v1"  // HKDF-Expand of the subject key; then the older one, if there is one
	labelRecordKey  = "rahasia/record-key/v1"  // HKDF-Expand of the subject key
	labelObjectKey  = "rahasia/object-key/v1"  // HKDF-Expand of the subject key
)

// SubjectKey is one subject's key in one compartment, with its record key
// prepared; what seals with it is package envelope. It is immutable, safe for concurrent use, and prints as its
// compartment and generation. It must not be kept longer than the operation it
// was asked for: the ring cannot take a key back.
type SubjectKey struct {
	compartment string
	generation  uint32
	version     uint32
	erasure     Tag
	key         secret.Key
	record      secret.AEAD
	older       secret.AEAD                      // of the generation before, between Rekey and EndRekey; else zero
	olderKey    secret.Key                       // likewise
	object      *atomic.Pointer[secret.Expander] // of key, made when it is first asked for
	derived     *derivations                     // of key
}

// Compartment returns the compartment whose fields the key seals.
func (k *SubjectKey) Compartment() string { return k.compartment }

// Generation returns the generation to seal with, from 1.
func (k *SubjectKey) Generation() uint32 { return k.generation }

// Version returns the version of the compartment's keyset that wraps the key.
func (k *SubjectKey) Version() uint32 { return k.version }

// Record returns the AES-256-GCM that seals this subject's records in this
// compartment, prepared under the key derived by "rahasia/record-key/v1". A
// generation that the subject has not, or no longer, is [ErrUnknownGeneration].
func (k *SubjectKey) Record(generation uint32) (secret.AEAD, error) {
	switch {
	case generation == k.generation:
		return k.record, nil
	case generation == k.generation-1 && !k.older.IsZero():
		return k.older, nil
	}
	return secret.AEAD{}, k.unknown(generation)
}

// Object returns the key that this subject's objects in this compartment are
// sealed under, derived by "rahasia/object-key/v1" with HKDF-Expand (SHA-256,
// 32 bytes) and prepared for HKDF-Expand with SHA-512, which gives each object a
// key of its own. A generation that the subject has not, or no longer, is
// [ErrUnknownGeneration].
func (k *SubjectKey) Object(generation uint32) (secret.Expander, error) {
	switch {
	case generation == k.generation:
		if e := k.object.Load(); e != nil {
			return *e, nil
		}
		e, err := newObjectKey(k.key)
		if err == nil {
			k.object.Store(&e) // of several that make it at once any will do
		}
		return e, err
	case generation == k.generation-1 && !k.olderKey.IsZero():
		return newObjectKey(k.olderKey)
	}
	return secret.Expander{}, k.unknown(generation)
}

func newObjectKey(key secret.Key) (secret.Expander, error) {
	return secret.NewExpander(secret.Derive(key, lp.Append(nil, labelObjectKey)))
}

func (k *SubjectKey) unknown(generation uint32) error {
	return fmt.Errorf("keyring: compartment %q generation %d: %w", k.compartment, generation, ErrUnknownGeneration)
}

// Derive returns HKDF-Expand (SHA-256, 32 bytes) of the newest generation's key
// for the length-prefixed label, for uses other than records. Each use has a
// label of its own, at most 65,535 bytes.
func (k *SubjectKey) Derive(label string) secret.Key {
	return k.derived.of(0, label, func() secret.Key { return secret.Derive(k.key, lp.Append(nil, label)) }).key
}

// Sealer returns AES-256-GCM under the key that [SubjectKey.Derive] returns for
// label, prepared once for as long as the ring keeps the subject key.
func (k *SubjectKey) Sealer(label string) (secret.AEAD, error) {
	return k.derived.of(0, label, func() secret.Key { return secret.Derive(k.key, lp.Append(nil, label)) }).sealer()
}

// DeriveOlder returns what [SubjectKey.Derive] gave before [Ring.Rekey], for what
// is still under it, until [Ring.EndRekey]. For a subject that is not being
// rekeyed it returns a zero key and false.
func (k *SubjectKey) DeriveOlder(label string) (secret.Key, bool) {
	if k.olderKey.IsZero() {
		return secret.Key{}, false
	}
	return secret.Derive(k.olderKey, lp.Append(nil, label)), true
}

// Format writes compartment and generation, whatever the verb.
func (k *SubjectKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.text()) }

// LogValue is compartment and generation.
func (k *SubjectKey) LogValue() slog.Value { return slog.StringValue(k.text()) }

func (k *SubjectKey) text() string {
	return fmt.Sprintf("keyring.SubjectKey(%s, generation %d)", k.compartment, k.generation)
}

// rowKeys are the keys in one row: the newest generation's, and, between Rekey
// and EndRekey, that of the one before.
type rowKeys struct{ newest, older secret.Key }

// wrapSubject returns the record of a fresh random key under the primary of ks.
// Where a restored store has lost a key whose generations the journal knows,
// the new one is above them.
func wrapSubject(ring string, ks *Keyset, tag Tag, span journal.Span) (KeyRecord, error) {
	rec := KeyRecord{Tag: tag, Compartment: ks.name, Generation: span.Newest + 1}
	err := wrapRow(ring, ks, &rec, rowKeys{newest: secret.Random()})
	return rec, err
}

// wrapRow fills rec, which has a tag, a compartment and a generation, with keys
// wrapped under the primary of ks.
func wrapRow(ring string, ks *Keyset, rec *KeyRecord, keys rowKeys) error {
	rec.State, rec.Version = Active, ks.Primary()
	wrap, err := wrapKey(ks, rec.Version, rec.Tag)
	if err != nil {
		return err
	}
	rec.Commitment = [32]byte(secret.Expose(secret.Derive(keys.newest, commitmentInfo(keys))))
	var buf [2 * secret.KeySize]byte
	defer clear(buf[:])
	plaintext := append(buf[:0], secret.Expose(keys.newest)...)
	if !keys.older.IsZero() {
		plaintext = append(plaintext, secret.Expose(keys.older)...)
	}
	rec.Wrapped = secret.SealRandom(wrap, nil, plaintext, subjectAD(ring, rec))
	return nil
}

// commitmentInfo makes the newest key commit to itself and to the older one.
func commitmentInfo(keys rowKeys) []byte {
	info := lp.Append(nil, labelCommitment)
	if keys.older.IsZero() {
		return info
	}
	return lp.Append(info, secret.Expose(keys.older))
}

// badRow says what is wrong with a record.
func badRow(rec *KeyRecord, what string) error {
	return fmt.Errorf("keyring: subject key in compartment %q, version %d, generation %d: %s: %w",
		rec.Compartment, rec.Version, rec.Generation, what, ErrCorrupt)
}

// openRow unwraps the keys in a record; their commitment is still to be checked.
func openRow(ring string, ks *Keyset, rec *KeyRecord) (keys rowKeys, err error) {
	wrap, err := wrapKey(ks, rec.Version, rec.Tag)
	if err != nil {
		return rowKeys{}, err
	}
	var buf [2 * secret.KeySize]byte
	defer clear(buf[:])
	raw, err := secret.OpenRandom(wrap, buf[:0], rec.Wrapped, subjectAD(ring, rec))
	if err != nil || len(raw) != secret.KeySize && (len(raw) != 2*secret.KeySize || rec.Generation < 2) {
		return rowKeys{}, badRow(rec, "does not unwrap")
	}
	if keys.newest, err = secret.NewKey(raw[:secret.KeySize]); err == nil && len(raw) > secret.KeySize {
		keys.older, err = secret.NewKey(raw[secret.KeySize:])
	}
	return keys, err
}

// openCommitted unwraps the keys in a record and checks their commitment.
func openCommitted(ring string, ks *Keyset, rec *KeyRecord) (rowKeys, error) {
	keys, err := openRow(ring, ks, rec)
	if err != nil {
		return rowKeys{}, err
	}
	if subtle.ConstantTimeCompare(secret.Expose(secret.Derive(keys.newest, commitmentInfo(keys))), rec.Commitment[:]) != 1 {
		return rowKeys{}, badRow(rec, "commitment differs")
	}
	return keys, nil
}

// wrapRowProved is [wrapRow], proved to unwrap to the same keys.
func wrapRowProved(ring string, ks *Keyset, rec *KeyRecord, keys rowKeys) error {
	if err := wrapRow(ring, ks, rec, keys); err != nil {
		return err
	}
	back, err := openCommitted(ring, ks, rec)
	if err != nil {
		return err
	}
	if !equalKeys(back, keys) {
		return badRow(rec, "unwraps to another key")
	}
	return nil
}

func equalKeys(a, b rowKeys) bool {
	if a.older.IsZero() != b.older.IsZero() {
		return false
	}
	same := subtle.ConstantTimeCompare(secret.Expose(a.newest), secret.Expose(b.newest))
	if !a.older.IsZero() {
		same &= subtle.ConstantTimeCompare(secret.Expose(a.older), secret.Expose(b.older))
	}
	return same == 1
}

// rewrapRow returns the record of the same keys under the primary of ks, proved
// to unwrap to them.
func rewrapRow(ring string, ks *Keyset, old *KeyRecord) (KeyRecord, error) {
	keys, err := openCommitted(ring, ks, old)
	if err != nil {
		return KeyRecord{}, err
	}
	rec := *old
	return rec, wrapRowProved(ring, ks, &rec, keys)
}

// unwrapSubject opens a record whose tag and compartment were checked. Of its
// generations those from span on are in service.
func unwrapSubject(ring string, ks *Keyset, rec *KeyRecord, erasure Tag, span journal.Span) (*SubjectKey, error) {
	if rec.Generation < span.Newest {
		return nil, olderThan(rec, span)
	}
	keys, err := openRow(ring, ks, rec)
	if err != nil {
		return nil, err
	}
	// GCM does not commit to its key; without this a record could be made to
	// unwrap to two keys.
	derived := secret.DeriveAll(keys.newest, commitmentInfo(keys), lp.Append(nil, labelRecordKey))
	if subtle.ConstantTimeCompare(secret.Expose(derived[0]), rec.Commitment[:]) != 1 {
		return nil, badRow(rec, "commitment differs")
	}
	k := &SubjectKey{
		compartment: ks.name, generation: rec.Generation, version: rec.Version, erasure: erasure, key: keys.newest,
		object: new(atomic.Pointer[secret.Expander]), derived: new(derivations),
	}
	if k.record, err = secret.NewAEAD(derived[1]); err != nil {
		return nil, badRow(rec, "record key")
	}
	if !keys.older.IsZero() && rec.Generation-1 >= span.Floor {
		if k.older, err = secret.NewAEAD(secret.Derive(keys.older, lp.Append(nil, labelRecordKey))); err != nil {
			return nil, badRow(rec, "record key")
		}
		k.olderKey = keys.older
	}
	return k, nil
}

// wrapKey derives the key that wraps this one subject's keys: no key wraps
// more than a few, so random nonces cannot collide.
func wrapKey(ks *Keyset, version uint32, tag Tag) (secret.AEAD, error) {
	key, err := ks.Derive(version, labelWrap, ks.name, string(tag[:]))
	if err != nil {
		return secret.AEAD{}, err
	}
	return secret.NewAEAD(key)
}

// subjectAD binds a wrapped key to its ring and to every other column of its row.
func subjectAD(ring string, rec *KeyRecord) []byte {
	var n [9]byte
	binary.BigEndian.PutUint32(n[:], rec.Generation)
	binary.BigEndian.PutUint32(n[4:], rec.Version)
	n[8] = byte(rec.State)
	b := lp.Append(make([]byte, 0, 160), labelSubjectKey, ring, rec.Compartment)
	return lp.Append(b, rec.Tag[:], n[:4], n[4:8], n[8:])
}
