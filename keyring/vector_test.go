package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "github.com/tink-crypto/tink-go/v2/proto/common_go_proto"
	prfpb "github.com/tink-crypto/tink-go/v2/proto/hkdf_prf_go_proto"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

var update = flag.Bool("update", false, "write the vectors anew: they are frozen since v0.1.0, so only new ones")

// count returns n bytes that count up from first.
func count(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// The functions below are the specification, written by the standard library alone.

// lpOf is the length-prefixed encoding.
func lpOf(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = append(append(b, byte(len(p)>>8), byte(len(p))), p...)
	}
	return b
}

func expandOf(t *testing.T, key []byte, parts ...string) []byte {
	out, err := hkdf.Expand(sha256.New, key, string(lpOf(parts...)), 32)
	require.NoError(t, err)
	return out
}

func prfOf(t *testing.T, key []byte, parts ...string) []byte {
	prk, err := hkdf.Extract(sha256.New, key, nil)
	require.NoError(t, err)
	return expandOf(t, prk, parts...)
}

func macOf(key []byte, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

// keysetOf returns a Tink keyset of one key with id 1.
func keysetOf(t *testing.T, key []byte) []byte {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(&prfpb.HkdfPrfKey{
		Params: &prfpb.HkdfPrfParams{Hash: commonpb.HashType_SHA256}, KeyValue: key})
	require.NoError(t, err)
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&tinkpb.Keyset{PrimaryKeyId: 1, Key: []*tinkpb.Keyset_Key{{
		KeyId: 1, Status: tinkpb.KeyStatusType_ENABLED, OutputPrefixType: tinkpb.OutputPrefixType_RAW,
		KeyData: &tinkpb.KeyData{TypeUrl: prfType, Value: value, KeyMaterialType: tinkpb.KeyData_SYMMETRIC},
	}}})
	require.NoError(t, err)
	return b
}

const (
	vectorRing        = "clinic"
	vectorCompartment = "clinical"
	vectorSubject     = "patient-0001"
)

// vector computes every value of the vector by hand, all but the package, which
// is the frozen one's.
func vector(t *testing.T, frozen map[string]string) map[string]string {
	controlKey, compartmentKey, subjectKey, nonce := count(0x00, 32), count(0x20, 32), count(0x40, 32), count(0x60, 12)
	control, compartment := keysetOf(t, controlKey), keysetOf(t, compartmentKey)
	v := map[string]string{"ring": vectorRing, "compartment": vectorCompartment, "subject": vectorSubject}
	put := func(name string, b []byte) []byte { v[name] = hex.EncodeToString(b); return b }
	put("control_key", controlKey)
	put("compartment_key", compartmentKey)
	put("subject_key", subjectKey)
	put("nonce", nonce)
	put("control_keyset", control)
	put("compartment_keyset", compartment)
	put("keyset_associated_data", lpOf("rahasia/keyset/v1", vectorRing, vectorCompartment))
	digest := sha256.Sum256(append(lpOf("rahasia/keyset-digest/v1", vectorRing, vectorCompartment, "\x00\x00\x00\x00\x00\x00\x00\x01"), compartment...))
	put("keyset_digest_of_the_unwrapped", digest[:]) // as if the KEK wrapped to itself

	index := put("index_key", prfOf(t, controlKey, "rahasia/index-key/v1", vectorRing))
	journalKey := put("journal_key", prfOf(t, controlKey, "rahasia/journal-key/v1", vectorRing))
	tombstoneKey := put("tombstone_key", prfOf(t, controlKey, "rahasia/tombstone-key/v1", vectorRing))
	tag := put("subject_tag", macOf(index, lpOf("rahasia/subject-tag/v1", vectorCompartment, vectorSubject))[:16])
	erasure := put("erasure_tag", macOf(index, lpOf("rahasia/erasure-tag/v1", vectorSubject))[:16])

	wrap := put("wrap_key", prfOf(t, compartmentKey, "rahasia/wrap/v1", vectorCompartment, string(tag)))
	ad := put("subject_key_associated_data", lpOf("rahasia/subject-key/v1", vectorRing, vectorCompartment, string(tag), "\x00\x00\x00\x01", "\x00\x00\x00\x01", "\x01"))
	block, err := aes.NewCipher(wrap)
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	put("wrapped", gcm.Seal(append([]byte{}, nonce...), nonce, subjectKey, ad))
	put("commitment", expandOf(t, subjectKey, "rahasia/commitment/v1"))
	put("record_key", expandOf(t, subjectKey, "rahasia/record-key/v1"))

	buried := macOf(tombstoneKey, lpOf("rahasia/tombstone/v1", vectorRing, vectorCompartment, string(tag), string(erasure)))
	put("tombstone", append(append([]byte{}, erasure...), buried...))

	// A second generation, during a rekeying.
	newKey := put("second_subject_key", count(0x80, 32))
	ad = put("second_associated_data", lpOf("rahasia/subject-key/v1", vectorRing, vectorCompartment, string(tag), "\x00\x00\x00\x02", "\x00\x00\x00\x01", "\x01"))
	put("second_wrapped", gcm.Seal(append([]byte{}, nonce...), nonce, append(append([]byte{}, newKey...), subjectKey...), ad))
	put("second_commitment", expandOf(t, newKey, "rahasia/commitment/v1", string(subjectKey)))

	// A retention: package, stub, custody row.
	v["basis"], v["until"] = "Permenkes 24/2022 art. 39", "2051-01-02T03:04:05Z"
	until, err := time.Parse(time.RFC3339, v["until"])
	require.NoError(t, err)
	why := append(binary.BigEndian.AppendUint64(nil, uint64(until.Unix())), v["basis"]...)
	proof := macOf(tombstoneKey, append(lpOf("rahasia/stub/v1", vectorRing, vectorCompartment, string(tag), string(erasure)), why...))
	put("stub", slices.Concat(erasure, proof, why))
	custodyTag := put("custody_tag", macOf(index, lpOf("rahasia/custody-tag/v1", string(erasure)))[:16])
	seed := put("custodian_key", count(0xa0, 32))
	info := put("custody_info", lpOf("rahasia/custody/v1", vectorRing, string(erasure)))
	inside := put("custody_plaintext", slices.Concat([]byte{byte(len(vectorCompartment))}, []byte(vectorCompartment), []byte{0, 0, 0, 2, 2}, newKey, subjectKey))
	sealed := put("custody_package", packageOf(t, seed, info, inside, frozen["custody_package"]))
	proof = macOf(tombstoneKey, append(lpOf("rahasia/custody-row/v1", vectorRing, "ring", string(custodyTag), string(erasure)), sealed...))
	custodyRow := put("custody_row", slices.Concat(erasure, proof, sealed))

	rowDigest := sha256.Sum256(custodyRow)
	row, prev := vectorCompartment+":"+hex.EncodeToString(tag), make([]byte, 32)
	for i, arguments := range []string{
		"create " + vectorRing + " " + hex.EncodeToString(digest[:]),
		"rekey " + hex.EncodeToString(erasure) + " " + row + ":2:1",
		"retain " + hex.EncodeToString(erasure) + " " + v["until"] + " " + strings.ReplaceAll(v["basis"], " ", "_") + " " + hex.EncodeToString(rowDigest[:]) + " +" + row,
		"resume " + hex.EncodeToString(erasure),
		"rekey " + hex.EncodeToString(erasure) + " " + row + ":2:2",
		"shred " + hex.EncodeToString(erasure) + " - +" + row,
		"shred " + hex.EncodeToString(erasure) + " court_order_1/2026 -" + row + " -ring:" + hex.EncodeToString(custodyTag),
	} {
		line := fmt.Sprintf("rahasia/journal/v1 %d 2026-01-02T03:04:05.000000006Z %x %s", i+1, prev, arguments)
		line += " " + hex.EncodeToString(macOf(journalKey, []byte(line)))
		hash := sha256.Sum256([]byte(line))
		prev = hash[:]
		v["journal"] += line + "\n"
	}
	return v
}

// packageOf returns the frozen package, which must open to inside, or a new one:
// HPKE draws a key for each.
func packageOf(t *testing.T, seed, info, inside []byte, frozen string) []byte {
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	require.NoError(t, err)
	sealed, err := hex.DecodeString(frozen)
	require.NoError(t, err)
	if *update && frozen == "" {
		sealed, err = hpke.Seal(private.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), info, inside)
		require.NoError(t, err)
	}
	back, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), info, sealed)
	require.NoError(t, err)
	require.Equal(t, inside, back)
	return sealed
}

// The specification's vector, computed by hand, is what is frozen in testdata,
// and what the package computes and accepts.
func TestVector(t *testing.T) {
	const path = "testdata/vectors/keyring_v1.json"
	var frozen map[string]string
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &frozen))
	v := vector(t, frozen)
	if *update {
		b, err := json.MarshalIndent(v, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, append(b, '\n'), 0o644))
		frozen = v
	}
	require.Equal(t, frozen, v)

	get := func(name string) []byte {
		b, err := hex.DecodeString(v[name])
		require.NoError(t, err)
		return b
	}
	controlSet, _, err := parseKeyset(controlKeyset, [32]byte{}, get("control_keyset"))
	require.NoError(t, err)
	ks, _, err := parseKeyset(vectorCompartment, [32]byte{}, get("compartment_keyset"))
	require.NoError(t, err)
	c, err := newControl(vectorRing, controlSet)
	require.NoError(t, err)
	require.Equal(t, get("keyset_associated_data"), keysetAD(vectorRing, vectorCompartment))
	digest := keysetDigest(vectorRing, vectorCompartment, 1, get("compartment_keyset"))
	require.Equal(t, get("keyset_digest_of_the_unwrapped"), digest[:])

	tag, erasure := c.subjectTag(vectorCompartment, vectorSubject), c.erasureTag(vectorSubject)
	require.Equal(t, get("subject_tag"), tag[:])
	require.Equal(t, get("erasure_tag"), erasure[:])
	rec := KeyRecord{
		Tag: tag, Compartment: vectorCompartment, Generation: 1, Version: 1, State: Active,
		Wrapped: get("wrapped"), Commitment: [32]byte(get("commitment")),
	}
	require.Equal(t, get("subject_key_associated_data"), subjectAD(vectorRing, &rec))
	key, err := unwrapSubject(vectorRing, ks, &rec, erasure, journal.Span{})
	require.NoError(t, err)
	require.Equal(t, get("subject_key"), SubjectSecrets(key)[0])
	require.Equal(t, get("record_key"), SubjectSecrets(key)[1])
	require.Equal(t, get("tombstone"), c.buryRow(vectorCompartment, tag, erasure).Wrapped)

	second := rec
	second.Generation, second.Wrapped, second.Commitment = 2, get("second_wrapped"), [32]byte(get("second_commitment"))
	require.Equal(t, get("second_associated_data"), subjectAD(vectorRing, &second))
	key, err = unwrapSubject(vectorRing, ks, &second, erasure, journal.Span{Newest: 2, Floor: 1})
	require.NoError(t, err)
	require.Equal(t, get("second_subject_key"), SubjectSecrets(key)[0])
	keys, err := openCommitted(vectorRing, ks, &second)
	require.NoError(t, err)
	require.Equal(t, get("subject_key"), secret.Expose(keys.older))

	until, err := time.Parse(time.RFC3339, v["until"])
	require.NoError(t, err)
	stub := c.stubRow(vectorCompartment, tag, erasure, until, v["basis"])
	require.Equal(t, get("stub"), stub.Wrapped)
	custodyTag := c.custodyTag(erasure)
	require.Equal(t, get("custody_tag"), custodyTag[:])
	custodyRow := c.custodyRow(erasure, get("custody_package"))
	require.Equal(t, get("custody_row"), custodyRow.Wrapped)
	for _, row := range []KeyRecord{stub, custodyRow} {
		was, err := c.marked(&row)
		require.NoError(t, err)
		require.Equal(t, erasure, was)
	}

	m := &journal.Memory{}
	require.NoError(t, m.Append([]byte(v["journal"])))
	r, err := m.Read(0)
	require.NoError(t, err)
	chain := journal.NewChain(c.journal, vectorRing)
	torn, err := chain.Read(r, func(s journal.Step) {
		if s.Entry.Kind == journal.Retain {
			require.Equal(t, journal.Retention{Until: until, Basis: v["basis"], Digest: sha256.Sum256(custodyRow.Wrapped)}, s.Entry.Retention)
		}
	})
	require.NoError(t, err)
	require.False(t, torn)
	require.EqualValues(t, 6, chain.Erased[erasure])
	require.Equal(t, journal.Span{Newest: 2, Floor: 2}, chain.Spans[tag])
	require.Equal(t, "court order 1/2026", chain.Last.Authority)
}

// Two keys in a row of the first generation are nobody's, whoever wrapped them.
func TestRowOfTwoKeysIsOfTwoGenerations(t *testing.T) {
	ks, _, err := parseKeyset(vectorCompartment, [32]byte{}, keysetOf(t, count(0, 32)))
	require.NoError(t, err)
	for generation, want := range map[uint32]error{1: ErrCorrupt, 2: nil} {
		rec := KeyRecord{Compartment: vectorCompartment, Generation: generation}
		require.NoError(t, wrapRow(vectorRing, ks, &rec, rowKeys{newest: secret.Random(), older: secret.Random()}))
		_, err := openCommitted(vectorRing, ks, &rec)
		require.ErrorIs(t, err, want)
	}
}
