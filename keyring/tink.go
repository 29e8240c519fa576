package keyring

import (
	"bytes"
	"context"
	"fmt"

	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// maxImport bounds an encrypted keyset to import: a wrapped one in base64, with
// its list of keys.
const maxImport = 256 << 10

// Which of two KEKs an error is about.
const (
	ringsOwn    = "the ring's own KEK"
	forTransfer = "the KEK given for the transfer"
)

// ImportKeyset makes a keyset that Tink wrote a new keyset of the ring. It
// takes what tinkey and Tink's libraries write under a master key, as JSON or
// binary, and the KEK that opens it, given no associated data, as Tink does:
// [TinkAEAD] of Tink's AEAD for the same key. The keyset is wrapped anew by the
// ring's KEK for it, and staged, journalled and committed as
// [Ring.CreateKeyset] does. Tink's random key ids become the versions, its
// primary key the primary; disabled keys stay disabled.
//
// Every key must be HKDF-PRF with SHA-256, 32 bytes and no salt (Tink's template
// HKDF_SHA256) and output prefix RAW; the primary must be enabled, there must
// be no more than 256 keys, and encrypted at most 256 KiB. Anything else is
// [ErrForeign], a keyset in clear too: what lay on a disk in clear is no key. A
// KEK that does not open it, or that is missing, is [ErrKEK]; a name that is
// taken [ErrExists].
//
// Whoever has the original can still use it: the ring cannot destroy that copy,
// and a subject erased here can be read there by who also has an old store.
func (r *Ring) ImportKeyset(ctx context.Context, name string, encrypted []byte, opens KEK) error {
	if err := checkKeyset(name); err != nil {
		return err
	}
	c, err := r.allow(name)
	if err != nil {
		return err
	}
	if opens == nil {
		return fmt.Errorf("keyring: import keyset %q: no KEK to open it: %w", name, ErrKEK)
	}
	kek, err := c.keks.of(name)
	if err != nil {
		return err
	}
	kek = namedKEK{kek, ringsOwn}
	set, err := openForeign(ctx, namedKEK{opens, forTransfer}, name, encrypted)
	if err != nil {
		return err
	}
	rec, ks, err := wrapRevision(ctx, kek, c.ring, name, revision{1, set})
	if err != nil {
		return err
	}
	return c.exclusive(ctx, func() error {
		if err := c.creatable(name); err != nil {
			return err
		}
		return c.persist(ctx, "import", rec, ks, func() {})
	})
}

// ExportKeyset returns a keyset with all its versions but destroyed ones,
// encrypted by the KEK given, in the JSON that tinkey and Tink's libraries
// read; there is no way to get it in clear. Tink binds no associated data to it: the result tells
// ids and states of the versions, but not ring or name, and whoever stores
// several must keep them apart. Tink opens it with the AEAD that the KEK was
// made of by [TinkAEAD] or [TinkAEADWithContext], and [Ring.ImportKeyset] with
// any KEK.
//
// An export opens, together with a copy of the store, everything that was ever
// sealed under the keyset, erased subjects in older copies included: give it a
// KEK of its own, guarded like the ring's.
//
// Errors are those of [Ring.Keyset]; a KEK that fails, or is missing, is
// [ErrKEK].
func (r *Ring) ExportKeyset(ctx context.Context, name string, wraps KEK) ([]byte, error) {
	if err := checkKeyset(name); err != nil {
		return nil, err
	}
	c, err := r.allow(name)
	if err != nil {
		return nil, err
	}
	if wraps == nil {
		return nil, fmt.Errorf("keyring: export keyset %q: no KEK to wrap it: %w", name, ErrKEK)
	}
	kek, err := c.keks.of(name)
	if err != nil {
		return nil, err
	}
	if _, err := c.keyset(ctx, name); err != nil { // knows of it, and is level
		return nil, err
	}
	rec, err := c.record(ctx, name)
	if err != nil {
		return nil, err
	}
	_, rev, err := openRevision(ctx, namedKEK{kek, ringsOwn}, c.ring, name, rec)
	if err != nil {
		return nil, err
	}
	set := &tinkpb.Keyset{PrimaryKeyId: rev.set.PrimaryKeyId}
	for _, k := range rev.set.Key {
		if k.GetStatus() != tinkpb.KeyStatusType_DESTROYED { // Tink for Go reads no keyset with one
			set.Key = append(set.Key, k)
		}
	}
	wrapped, serialized, err := wrapSet(ctx, namedKEK{wraps, forTransfer}, name, set, nil)
	if err != nil {
		return nil, err
	}
	clear(serialized)
	out, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(&tinkpb.EncryptedKeyset{
		EncryptedKeyset: wrapped, KeysetInfo: describe(set),
	})
	if err != nil {
		return nil, fmt.Errorf("keyring: export keyset %q: cannot be serialized", name)
	}
	c.tellExport(name)
	return out, nil
}

// describe returns what Tink tells of a keyset beside its ciphertext. Nobody
// relies on it: it is not authenticated.
func describe(set *tinkpb.Keyset) *tinkpb.KeysetInfo {
	info := &tinkpb.KeysetInfo{PrimaryKeyId: set.GetPrimaryKeyId()}
	for _, k := range set.Key {
		info.KeyInfo = append(info.KeyInfo, &tinkpb.KeysetInfo_KeyInfo{
			TypeUrl: k.GetKeyData().GetTypeUrl(), Status: k.GetStatus(),
			KeyId: k.GetKeyId(), OutputPrefixType: k.GetOutputPrefixType(),
		})
	}
	return info
}

// openForeign decrypts a keyset that Tink encrypted, and refuses what a ring
// cannot hold.
func openForeign(ctx context.Context, opens KEK, name string, encrypted []byte) (*tinkpb.Keyset, error) {
	wrapped, err := parseEncrypted(encrypted)
	if err != nil {
		return nil, fmt.Errorf("keyring: import keyset %q: %w", name, err)
	}
	serialized, err := unwrap(ctx, opens, name, wrapped, nil)
	if err != nil {
		return nil, err
	}
	defer clear(serialized)
	set := &tinkpb.Keyset{}
	// Unknown fields are dropped: they would be carried for ever and never read.
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(serialized, set); err != nil {
		return nil, fmt.Errorf("keyring: import keyset %q: what the KEK opens is no keyset: %w", name, ErrForeign)
	}
	if err := holdable(set); err != nil {
		return nil, fmt.Errorf("keyring: import keyset %q: %w", name, err)
	}
	return set, nil
}

// parseEncrypted returns the ciphertext of an encrypted Tink keyset. Its first
// byte tells JSON from binary, for no field of the message starts with '{' or
// white space. What it says of its keys beside the ciphertext is not looked
// at. Errors quote nothing of it: it may be a keyset in clear.
func parseEncrypted(b []byte) ([]byte, error) {
	if len(b) > maxImport {
		return nil, fmt.Errorf("more than %d bytes: %w", maxImport, ErrForeign)
	}
	msg := &tinkpb.EncryptedKeyset{}
	var err error
	if text := bytes.TrimLeft(b, " \t\r\n"); len(text) > 0 && text[0] == '{' {
		err = protojson.Unmarshal(text, msg)
	} else {
		err = proto.Unmarshal(b, msg)
	}
	// A keyset in clear, in binary, parses as one with an unknown field.
	if err != nil || len(msg.ProtoReflect().GetUnknown()) > 0 || len(msg.EncryptedKeyset) == 0 {
		return nil, fmt.Errorf("not an encrypted Tink keyset: %w", ErrForeign)
	}
	return msg.EncryptedKeyset, nil
}

// holdable refuses a keyset that a ring could not read, rotate or enable a
// version of later. It is stricter than parseKeyset, which leaves disabled
// keys alone.
func holdable(set *tinkpb.Keyset) error {
	if len(set.Key) > maxVersions {
		return fmt.Errorf("%d keys, more than %d: %w", len(set.Key), maxVersions, ErrForeign)
	}
	ids, primary := map[uint32]bool{}, false
	for _, k := range set.Key {
		id := k.GetKeyId()
		if id == 0 || ids[id] {
			return fmt.Errorf("key id %d is zero or there twice: %w", id, ErrForeign)
		}
		ids[id] = true
		switch k.GetStatus() {
		case tinkpb.KeyStatusType_ENABLED:
			primary = primary || id == set.GetPrimaryKeyId()
		case tinkpb.KeyStatusType_DISABLED:
		case tinkpb.KeyStatusType_DESTROYED:
			if len(k.GetKeyData().GetValue()) == 0 {
				continue // only its id is left, which must not be used again
			}
			return fmt.Errorf("key %d is destroyed and there: %w", id, ErrForeign)
		default:
			return fmt.Errorf("key %d has no known status: %w", id, ErrForeign)
		}
		if _, err := prepare(k); err != nil {
			return fmt.Errorf("key %d is not HKDF-PRF with SHA-256, 32 bytes, no salt and output prefix RAW: %w", id, ErrForeign)
		}
	}
	if !primary {
		return fmt.Errorf("no enabled primary: %w", ErrForeign)
	}
	return nil
}
