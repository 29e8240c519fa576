package keyring

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	commonpb "github.com/tink-crypto/tink-go/v2/proto/common_go_proto"
	prfpb "github.com/tink-crypto/tink-go/v2/proto/hkdf_prf_go_proto"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/state"
)

// A keyset is a binary Tink keyset whose keys are all of this type: HKDF-PRF
// with SHA-256, a key of 32 bytes and no salt. A key's id is its version.
const prfType = "type.googleapis.com/google.crypto.tink.HkdfPrfKey"

const (
	maxWrapped  = 64 << 10 // bytes of a wrapped keyset
	maxVersions = 256      // keys of a keyset, at about 100 bytes each
)

// The labels of what a keyset is bound to.
const (
	labelKeyset = "rahasia/keyset/v1"        // associated data of a wrapped keyset: ring, name
	labelDigest = "rahasia/keyset-digest/v1" // its digest in the journal: ring, name, revision
)

// Keyset is the versions of one named key as they were when it was loaded: an
// immutable snapshot, safe for concurrent use. It prints as its name.
type Keyset struct {
	name     string
	digest   [32]byte
	versions []uint32              // enabled ones, primary first, then newest first
	states   map[uint32]State      // of all versions
	keys     map[uint32]secret.MAC // by version, prepared under the pseudorandom key of RFC 5869

	derived *derivations // of keys, by version and label

	unwrapped time.Time // when the KEK was asked that gave it
}

// Name returns the name of the keyset.
func (k *Keyset) Name() string { return k.name }

// Primary returns the version that new values are made under.
func (k *Keyset) Primary() uint32 { return k.versions[0] }

// Versions returns the readable versions, the primary first, then the newest
// first. Versions of keysets made here count from 1; those of imported Tink
// keysets are Tink's random ids. A rotation makes an odd version after an even
// primary and an even one after an odd.
func (k *Keyset) Versions() []uint32 { return slices.Clone(k.versions) }

// Derive returns the 32-byte key PRF_v(label, parts...) of a version:
// HKDF-SHA-256 (RFC 5869) of its key with no salt and, as info, the
// length-prefixed label and parts, which is what Tink's PRF of the same keyset
// computes. The label must not be empty, and no part longer than 65,535 bytes.
// A version that is not there, or disabled, is [ErrUnknownVersion].
//
// It is for the packages of this module; the handle cannot be opened outside.
func (k *Keyset) Derive(version uint32, label string, parts ...string) (secret.Key, error) {
	prf, ok := k.keys[version]
	if !ok {
		return secret.Key{}, fmt.Errorf("keyring: keyset %q version %d: %w", k.name, version, ErrUnknownVersion)
	}
	if label == "" {
		return secret.Key{}, fmt.Errorf("keyring: keyset %q: derivation label: %w", k.name, ErrEmpty)
	}
	info := make([]byte, 0, 128)
	info = lp.Append(info, label)
	for _, p := range parts {
		if len(p) > lp.MaxPart {
			return secret.Key{}, fmt.Errorf("keyring: keyset %q: derivation part of %d bytes: %w", k.name, len(p), ErrName)
		}
		info = lp.Append(info, p)
	}
	return secret.DeriveWith(prf, info), nil
}

// Sealer returns AES-256-GCM under the key that [Keyset.Derive] returns for a
// label without parts, prepared once for as long as the ring keeps this snapshot.
func (k *Keyset) Sealer(version uint32, label string) (secret.AEAD, error) {
	d, err := k.keep(version, label)
	if err != nil {
		return secret.AEAD{}, err
	}
	return d.sealer()
}

// MAC returns HMAC-SHA256 under such a key, prepared likewise.
func (k *Keyset) MAC(version uint32, label string) (secret.MAC, error) {
	d, err := k.keep(version, label)
	if err != nil {
		return secret.MAC{}, err
	}
	return d.mac()
}

func (k *Keyset) keep(version uint32, label string) (*derivation, error) {
	if d := k.derived.kept(version, label); d != nil {
		return d, nil
	}
	key, err := k.Derive(version, label)
	if err != nil {
		return nil, err
	}
	return k.derived.of(version, label, func() secret.Key { return key }), nil
}

// Format writes the name, whatever the verb.
func (k *Keyset) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "keyring.Keyset("+k.name+")") }

// LogValue is the name.
func (k *Keyset) LogValue() slog.Value { return slog.StringValue("keyring.Keyset(" + k.name + ")") }

// equal reports whether two keysets have the same keys in the same states.
func (k *Keyset) equal(o *Keyset) bool {
	same := slices.Equal(k.versions, o.versions) && maps.Equal(k.states, o.states)
	for version, prf := range k.keys {
		other, ok := o.keys[version]
		if !ok {
			return false
		}
		a, b := secret.Sum(prf, nil), secret.Sum(other, nil)
		same = hmac.Equal(a[:], b[:]) && same
	}
	return same
}

// parseKeyset reads a binary Tink keyset. Its errors quote nothing of it.
func parseKeyset(name string, digest [32]byte, serialized []byte) (*Keyset, *tinkpb.Keyset, error) {
	bad := func(what string) (*Keyset, *tinkpb.Keyset, error) {
		return nil, nil, fmt.Errorf("keyring: keyset %q: %s: %w", name, what, ErrCorrupt)
	}
	set := &tinkpb.Keyset{}
	if err := proto.Unmarshal(serialized, set); err != nil {
		return bad("not a Tink keyset")
	}
	if len(set.Key) > maxVersions {
		return bad("too many keys")
	}
	k := &Keyset{name: name, digest: digest, keys: map[uint32]secret.MAC{}, states: map[uint32]State{}, derived: new(derivations)}
	ids := map[uint32]bool{}
	for _, key := range slices.Backward(set.Key) { // Tink appends: newest first
		if ids[key.GetKeyId()] {
			return bad("two keys of one id")
		}
		ids[key.GetKeyId()] = true
		k.states[key.GetKeyId()] = State(state.Of(set, key))
		if key.GetStatus() != tinkpb.KeyStatusType_ENABLED {
			continue // disabled and destroyed versions read nothing
		}
		prf, err := prepare(key)
		if err != nil {
			return bad(fmt.Sprintf("version %d: not an HKDF-PRF key with SHA-256, 32 bytes and no salt", key.GetKeyId()))
		}
		k.keys[key.GetKeyId()] = prf
		k.versions = append(k.versions, key.GetKeyId())
	}
	primary := slices.Index(k.versions, set.GetPrimaryKeyId())
	if primary < 0 {
		return bad("no enabled primary")
	}
	k.versions = slices.Insert(slices.Delete(k.versions, primary, primary+1), 0, set.GetPrimaryKeyId())
	return k, set, nil
}

// prepare extracts the pseudorandom key of a Tink key, so that a derivation
// needs only HKDF-Expand, which with one block of output is one HMAC.
func prepare(key *tinkpb.Keyset_Key) (secret.MAC, error) {
	raw := &prfpb.HkdfPrfKey{}
	if err := proto.Unmarshal(key.GetKeyData().GetValue(), raw); err != nil {
		return secret.MAC{}, ErrCorrupt
	}
	defer clear(raw.KeyValue)
	if key.GetKeyData().GetTypeUrl() != prfType || key.GetOutputPrefixType() != tinkpb.OutputPrefixType_RAW ||
		raw.GetVersion() != 0 || raw.GetParams().GetHash() != commonpb.HashType_SHA256 ||
		len(raw.GetParams().GetSalt()) != 0 || len(raw.GetKeyValue()) != secret.KeySize {
		return secret.MAC{}, ErrCorrupt
	}
	return secret.NewMAC(secret.Extract(raw.KeyValue, nil))
}

// addVersion adds a fresh random key to set as its primary.
func addVersion(set *tinkpb.Keyset) error {
	if len(set.Key) >= maxVersions {
		return fmt.Errorf("more than %d versions", maxVersions)
	}
	key, err := proto.Marshal(&prfpb.HkdfPrfKey{
		Params:   &prfpb.HkdfPrfParams{Hash: commonpb.HashType_SHA256},
		KeyValue: bytes.Clone(secret.Expose(secret.Random())),
	})
	if err != nil {
		return err
	}
	set.PrimaryKeyId = nextVersion(set)
	set.Key = append(set.Key, &tinkpb.Keyset_Key{
		KeyId:            set.PrimaryKeyId,
		Status:           tinkpb.KeyStatusType_ENABLED,
		OutputPrefixType: tinkpb.OutputPrefixType_RAW,
		KeyData: &tinkpb.KeyData{
			TypeUrl:         prfType,
			Value:           key,
			KeyMaterialType: tinkpb.KeyData_SYMMETRIC,
		},
	})
	return nil
}

// nextVersion returns the smallest version after the greatest that is odd where
// the primary is even, and even where it is odd; or, where an imported keyset uses
// the last numbers, the smallest free one of which that is true. So versions made
// here count 1, 2, 3, and in every keyset a rotation changes between odd and even:
// of two UNIQUE columns of tokens one belongs to each (pseudo.Domain.Columns), and
// stays with it when the keyset is exported and imported. It is never 0.
func nextVersion(set *tinkpb.Keyset) uint32 {
	used := map[uint32]bool{}
	greatest := uint32(0)
	for _, k := range set.Key {
		used[k.GetKeyId()] = true
		greatest = max(greatest, k.GetKeyId())
	}
	fits := func(v uint32) bool { return v > 0 && !used[v] && v%2 != set.GetPrimaryKeyId()%2 }
	for _, v := range []uint32{greatest + 1, greatest + 2} { // past the last number they wrap around
		if v > greatest && fits(v) {
			return v
		}
	}
	v := uint32(1)
	for !fits(v) {
		v++
	}
	return v
}

// keyMaterial returns the key bytes of set, for the check that no KEK leaves
// them readable.
func keyMaterial(set *tinkpb.Keyset) (keys [][]byte) {
	for _, k := range set.Key {
		raw := &prfpb.HkdfPrfKey{}
		if err := proto.Unmarshal(k.GetKeyData().GetValue(), raw); err == nil && len(raw.KeyValue) > 0 {
			keys = append(keys, raw.KeyValue)
		}
	}
	return keys
}

func keysetAD(ring, name string) []byte { return lp.Append(nil, labelKeyset, ring, name) }

// keysetDigest is what the journal records of a wrapped keyset.
func keysetDigest(ring, name string, revision uint64, wrapped []byte) [32]byte {
	h := sha256.New()
	h.Write(lp.Append(nil, labelDigest, ring, name, string(binary.BigEndian.AppendUint64(nil, revision))))
	h.Write(wrapped)
	return [32]byte(h.Sum(nil))
}
