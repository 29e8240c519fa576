package envelope

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	commonpb "github.com/tink-crypto/tink-go/v2/proto/common_go_proto"
	prfpb "github.com/tink-crypto/tink-go/v2/proto/hkdf_prf_go_proto"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"

	"github.com/rahasia/rahasia/keyring"
)

// vectorKeyset is the key of one version of a keyset, fixed for a vector file.
type vectorKeyset struct {
	Ring    string `json:"ring"`
	Name    string `json:"keyset"`
	Version uint32 `json:"keyset_version"`
	Key     string `json:"keyset_key"`
}

// open returns a ring with that keyset, by way of Tink's form.
func (v *vectorKeyset) open(t testing.TB) *keyring.Ring {
	ring := newRing(t, v.Ring)
	v.load(t, ring)
	return ring
}

// load imports the keyset into a ring.
func (v *vectorKeyset) load(t testing.TB, ring *keyring.Ring) {
	ctx := context.Background()
	key, err := proto.Marshal(&prfpb.HkdfPrfKey{
		Params: &prfpb.HkdfPrfParams{Hash: commonpb.HashType_SHA256}, KeyValue: mustHex(t, v.Key),
	})
	require.NoError(t, err)
	set := &tinkpb.Keyset{PrimaryKeyId: v.Version, Key: []*tinkpb.Keyset_Key{{
		KeyId: v.Version, Status: tinkpb.KeyStatusType_ENABLED, OutputPrefixType: tinkpb.OutputPrefixType_RAW,
		KeyData: &tinkpb.KeyData{
			TypeUrl: "type.googleapis.com/google.crypto.tink.HkdfPrfKey", Value: key, KeyMaterialType: tinkpb.KeyData_SYMMETRIC,
		},
	}}}
	raw, err := proto.Marshal(set)
	require.NoError(t, err)
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(raw)))
	require.NoError(t, err)
	master, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	kek, err := aead.New(master)
	require.NoError(t, err)
	var encrypted bytes.Buffer
	require.NoError(t, handle.Write(keyset.NewJSONWriter(&encrypted), kek))
	require.NoError(t, ring.ImportKeyset(ctx, v.Name, encrypted.Bytes(), keyring.TinkAEAD(kek)))
}

// prf is PRF_v of SPEC §1, with the info that it used.
func (v *vectorKeyset) prf(t testing.TB, parts ...string) (key, info []byte) {
	info = refLP(parts...)
	key, err := hkdf.Key(sha256.New, mustHex(t, v.Key), nil, string(info), 32)
	require.NoError(t, err)
	return key, info
}

type messageVectors struct {
	Comment string `json:"comment"`
	vectorKeyset
	Topic    string          `json:"topic"`
	Messages []messageVector `json:"messages"`
	Rejected []rejectedForm  `json:"rejected"`
}

type messageVector struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Payload string `json:"payload"`
	ID      string `json:"id"`
	PRFInfo string `json:"prf_info"`
	Key     string `json:"key"`
	AAD     string `json:"aad"`
	Content string `json:"content"`
	Sealed  string `json:"message"`
}

// rejectedForm is what a reader MUST refuse: "format" by structure alone,
// "version" by structure as of another version, "open" with the keys.
type rejectedForm struct {
	Name   string `json:"name"`
	Error  string `json:"error"`
	Sealed string `json:"sealed"`
}

// want is the error that the rejectedForm names.
func (r *rejectedForm) want(t testing.TB) error {
	err, ok := map[string]error{
		"format": ErrFormat, "version": ErrVersion, "open": ErrOpen, "keyset version": keyring.ErrUnknownVersion,
	}[r.Error]
	require.True(t, ok, r.Error)
	return err
}

const messageFile = "testdata/vectors/message_v1.json"

// refContent is the content, written from docs/SPEC.md 2.11.
func refContent(subject string, payload []byte) []byte {
	b := slices.Concat([]byte{byte(len(subject))}, []byte(subject), payload, []byte{0x80})
	for refPad(len(b)+16) != len(b)+16 {
		b = append(b, 0)
	}
	return b
}

func refGCM(t testing.TB, key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	return gcm
}

// refMessage seals with the standard library alone, from docs/SPEC.md 2.11.
func refMessage(t testing.TB, v *messageVectors, x *messageVector, content []byte) {
	header := binary.BigEndian.AppendUint32([]byte{0x21}, v.Version)
	header = append(header, mustHex(t, x.ID)...)
	key, info := v.prf(t, "rahasia/message/v1", v.Topic, string(mustHex(t, x.ID)))
	aad := append(refLP("rahasia/message/v1", v.Ring, v.Topic), header...)
	h := hex.EncodeToString
	x.PRFInfo, x.Key, x.AAD, x.Content = h(info), h(key), h(aad), h(content)
	x.Sealed = h(refGCM(t, key).Seal(header, make([]byte, 12), content, aad))
}

func makeMessageVectors(t testing.TB) *messageVectors {
	v := &messageVectors{
		Comment:      "Message format v1. Bytes in hex. The keyset is fixed for this file only.",
		vectorKeyset: vectorKeyset{"ring-1", "topic/lab", 7, hex.EncodeToString(bytes.Repeat([]byte{0x5a}, 32))},
		Topic:        "lab",
	}
	id := func(b byte) string { return hex.EncodeToString(bytes.Repeat([]byte{b}, 24)) }
	for i, c := range []struct {
		name, subject string
		payload       []byte
	}{
		{"empty payload", "patient-1", nil},
		{"one bucket", "patient-1", []byte(`{"Hb":13.4}`)},
		{"fills its bucket", "patient-1", bytes.Repeat([]byte{0x61}, 37)},
		{"next bucket", "patient-1", bytes.Repeat([]byte{0x61}, 38)},
		{"payload of zeros", "patient-1", make([]byte, 16)},
		{"payload of marks", "patient-1", bytes.Repeat([]byte{0x80}, 16)},
		{"beyond 1 KiB", string(bytes.Repeat([]byte{0x62}, 255)), bytes.Repeat([]byte{0x63}, 900)},
	} {
		x := messageVector{Name: c.name, Subject: hex.EncodeToString([]byte(c.subject)), Payload: hex.EncodeToString(c.payload), ID: id(byte(i))}
		refMessage(t, v, &x, refContent(c.subject, c.payload))
		v.Messages = append(v.Messages, x)
	}
	good := mustHex(t, v.Messages[1].Sealed)
	reject := func(name, err string, b []byte) {
		v.Rejected = append(v.Rejected, rejectedForm{name, err, hex.EncodeToString(b)})
	}
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	reject("empty", "format", nil)
	reject("another kind", "format", edit(func(b []byte) []byte { b[0] = 0x11; return b }))
	reject("another version", "version", edit(func(b []byte) []byte { b[0] = 0x22; return b }))
	reject("keyset version 0", "format", edit(func(b []byte) []byte { clear(b[1:5]); return b }))
	reject("unknown keyset version", "keyset version", edit(func(b []byte) []byte { b[4] = 8; return b }))
	reject("cut off", "format", good[:len(good)-1])
	reject("no content", "format", good[:29])
	reject("one byte more", "format", edit(func(b []byte) []byte { return append(b, 0) }))
	reject("one bucket more", "open", edit(func(b []byte) []byte { return append(b, make([]byte, 64)...) }))
	reject("another id", "open", edit(func(b []byte) []byte { b[5] ^= 1; return b }))
	reject("changed ciphertext", "open", edit(func(b []byte) []byte { b[29] ^= 1; return b }))
	reject("changed tag", "open", edit(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }))
	for i, name := range sortedKeys(contents()) {
		if name == "long payload" {
			continue
		}
		x := messageVector{ID: id(byte(0x80 + i))}
		refMessage(t, v, &x, contents()[name])
		reject("content: "+name, "open", mustHex(t, x.Sealed))
	}
	return v
}

func sortedKeys[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// TestVectorsMessage: the reference, the file and the sealer agree on every
// byte; the opener reads all that the file says, and refuses all the rest.
func TestVectorsMessage(t *testing.T) {
	ctx := context.Background()
	want, err := json.MarshalIndent(makeMessageVectors(t), "", "\t")
	require.NoError(t, err)
	want = append(want, '\n')
	if *update {
		require.NoError(t, os.WriteFile(messageFile, want, 0o644))
	}
	file, err := os.ReadFile(messageFile)
	require.NoError(t, err)
	require.Equal(t, string(want), string(file))

	var v messageVectors
	require.NoError(t, json.Unmarshal(file, &v))
	ring := v.open(t)
	topic := newTopic(t, v.Topic, ring)
	ks, err := ring.Keyset(ctx, v.Name)
	require.NoError(t, err)
	for _, x := range v.Messages {
		subject, payload := string(mustHex(t, x.Subject)), mustHex(t, x.Payload)
		m, err := topic.seal(ks, v.Version, [24]byte(mustHex(t, x.ID)), subject, payload)
		require.NoError(t, err, x.Name)
		require.Equal(t, x.Sealed, hex.EncodeToString(m), x.Name)
		gotSubject, got, err := topic.Open(ctx, m)
		require.NoError(t, err, x.Name)
		require.Equal(t, subject, gotSubject, x.Name)
		require.Equal(t, payload, got, x.Name)
	}
	require.NotEmpty(t, v.Rejected)
	for _, r := range v.Rejected {
		unopened(t, topic, mustHex(t, r.Sealed), r.Name)
		_, _, err := topic.Open(ctx, mustHex(t, r.Sealed))
		require.ErrorIs(t, err, r.want(t), r.Name)
		if r.Error == "open" {
			require.NotErrorIs(t, err, ErrFormat, r.Name)
		}
	}
}
