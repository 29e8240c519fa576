package keyring

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
)

// The labels of a subject key and of what is derived from it.
const (
	labelWrap       = "rahasia/wrap/v1"        // PRF of the compartment's keyset: compartment, tag
	labelSubjectKey = "rahasia/subject-key/v1" // associated data of the wrapped key
	labelCommitment = "rahasia/commitment/v1"  // HKDF-Expand of the subject key
	labelRecordKey  = "rahasia/record-key/v1"  // HKDF-Expand of the subject key
)

// SubjectKey is one subject's key in one compartment, with its record key
// prepared. It is immutable, safe for concurrent use, and prints as its
// compartment and generation. It must not be kept longer than the operation it
// was asked for: the ring cannot take a key back.
type SubjectKey struct {
	compartment string
	generation  uint32
	version     uint32
	erasure     Tag
	key         secret.Key
	record      secret.AEAD
}

// Compartment returns the compartment whose fields the key seals.
func (k *SubjectKey) Compartment() string { return k.compartment }

// Generation returns the generation to seal with, from 1.
func (k *SubjectKey) Generation() uint32 { return k.generation }

// Version returns the version of the compartment's keyset that wraps the key.
func (k *SubjectKey) Version() uint32 { return k.version }

// Record returns the AES-256-GCM that seals this subject's records in this
// compartment, prepared under the key derived by "rahasia/record-key/v1". A
// generation that the subject has not is [ErrUnknownGeneration].
func (k *SubjectKey) Record(generation uint32) (secret.AEAD, error) {
	if generation != k.generation {
		return secret.AEAD{}, fmt.Errorf("keyring: compartment %q generation %d: %w", k.compartment, generation, ErrUnknownGeneration)
	}
	return k.record, nil
}

// Derive returns HKDF-Expand (SHA-256, 32 bytes) of the newest generation's key
// for the length-prefixed label, for uses other than records. Each use has a
// label of its own, at most 65,535 bytes.
func (k *SubjectKey) Derive(label string) secret.Key {
	return secret.Derive(k.key, lp.Append(nil, label))
}

// Format writes compartment and generation, whatever the verb.
func (k *SubjectKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.text()) }

// LogValue is compartment and generation.
func (k *SubjectKey) LogValue() slog.Value { return slog.StringValue(k.text()) }

func (k *SubjectKey) text() string {
	return fmt.Sprintf("keyring.SubjectKey(%s, generation %d)", k.compartment, k.generation)
}

// wrapSubject returns the record of a fresh random key under the primary of ks.
func wrapSubject(ring string, ks *Keyset, tag Tag) (KeyRecord, error) {
	rec := KeyRecord{Tag: tag, Compartment: ks.name, Generation: 1, Version: ks.Primary(), State: Active}
	key := secret.Random()
	wrap, err := wrapKey(ks, rec.Version, tag)
	if err != nil {
		return KeyRecord{}, err
	}
	rec.Commitment = [32]byte(secret.Expose(secret.Derive(key, lp.Append(nil, labelCommitment))))
	rec.Wrapped = secret.SealRandom(wrap, nil, secret.Expose(key), subjectAD(ring, &rec))
	return rec, nil
}

// badRow says what is wrong with a record.
func badRow(rec *KeyRecord, what string) error {
	return fmt.Errorf("keyring: subject key in compartment %q, version %d, generation %d: %s: %w",
		rec.Compartment, rec.Version, rec.Generation, what, ErrCorrupt)
}

// openRow unwraps the key in a record; its commitment is still to be checked.
func openRow(ring string, ks *Keyset, rec *KeyRecord) (secret.Key, error) {
	wrap, err := wrapKey(ks, rec.Version, rec.Tag)
	if err != nil {
		return secret.Key{}, err
	}
	var buf [secret.KeySize]byte
	defer clear(buf[:])
	raw, err := secret.OpenRandom(wrap, buf[:0], rec.Wrapped, subjectAD(ring, rec))
	if err != nil || len(raw) != secret.KeySize {
		return secret.Key{}, badRow(rec, "does not unwrap")
	}
	return secret.NewKey(raw)
}

// rewrapRow returns the record of the same key under the primary of ks, proved
// to unwrap to it.
func rewrapRow(ring string, ks *Keyset, old *KeyRecord) (KeyRecord, error) {
	key, err := openRow(ring, ks, old)
	if err != nil {
		return KeyRecord{}, err
	}
	if subtle.ConstantTimeCompare(secret.Expose(secret.Derive(key, lp.Append(nil, labelCommitment))), old.Commitment[:]) != 1 {
		return KeyRecord{}, badRow(old, "commitment differs")
	}
	rec := *old
	rec.Version = ks.Primary()
	wrap, err := wrapKey(ks, rec.Version, rec.Tag)
	if err != nil {
		return KeyRecord{}, err
	}
	rec.Wrapped = secret.SealRandom(wrap, nil, secret.Expose(key), subjectAD(ring, &rec))
	back, err := openRow(ring, ks, &rec)
	if err != nil {
		return KeyRecord{}, err
	}
	if subtle.ConstantTimeCompare(secret.Expose(back), secret.Expose(key)) != 1 {
		return KeyRecord{}, badRow(&rec, "unwraps to another key")
	}
	return rec, nil
}

// unwrapSubject opens a record whose tag and compartment were checked.
func unwrapSubject(ring string, ks *Keyset, rec *KeyRecord, erasure Tag) (*SubjectKey, error) {
	key, err := openRow(ring, ks, rec)
	if err != nil {
		return nil, err
	}
	// GCM does not commit to its key; without this a record could be made to
	// unwrap to two keys.
	derived := secret.DeriveAll(key, lp.Append(nil, labelCommitment), lp.Append(nil, labelRecordKey))
	if subtle.ConstantTimeCompare(secret.Expose(derived[0]), rec.Commitment[:]) != 1 {
		return nil, badRow(rec, "commitment differs")
	}
	record, err := secret.NewAEAD(derived[1])
	if err != nil {
		return nil, badRow(rec, "record key")
	}
	return &SubjectKey{
		compartment: ks.name, generation: rec.Generation, version: rec.Version,
		erasure: erasure, key: key, record: record,
	}, nil
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
