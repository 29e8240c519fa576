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
	"maps"
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

// messageVector is a message that opens. testdata/vectors/README.md says what
// the parts of all vectors are.
type messageVector struct {
	Comment string `json:"comment"`
	vectorKeyset
	Topic   string `json:"topic"`
	Subject string `json:"subject"`
	Payload string `json:"payload"`
	ID      string `json:"id"`
	PRFInfo string `json:"prf_info"`
	Key     string `json:"key"`
	AAD     string `json:"aad"`
	Content string `json:"content"`
	Sealed  string `json:"message"`
}

type messageRejection struct {
	Comment string `json:"comment"`
	Expect  string `json:"expect"`
	vectorKeyset
	Topic  string `json:"topic"`
	Sealed string `json:"message"`
}

// expected is the error of a rejection's expect.
func expected(t testing.TB, expect string) error {
	err, ok := map[string]error{
		"structure": ErrFormat, "version": ErrVersion, "open": ErrOpen, "keyset version": keyring.ErrUnknownVersion, "truncated": ErrTruncated,
	}[expect]
	require.True(t, ok, expect)
	return err
}

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
func refMessage(t testing.TB, x *messageVector, content []byte) {
	header := binary.BigEndian.AppendUint32([]byte{0x21}, x.Version)
	header = append(header, mustHex(t, x.ID)...)
	key, info := x.prf(t, "rahasia/message/v1", x.Topic, string(mustHex(t, x.ID)))
	aad := append(refLP("rahasia/message/v1", x.Ring, x.Topic), header...)
	h := hex.EncodeToString
	x.PRFInfo, x.Key, x.AAD, x.Content = h(info), h(key), h(aad), h(content)
	x.Sealed = h(refGCM(t, key).Seal(header, make([]byte, 12), content, aad))
}

// messageVectors returns them by file name.
func messageVectors(t testing.TB) (opens map[string]messageVector, refused map[string]messageRejection) {
	h := hex.EncodeToString
	keys := vectorKeyset{"ring-1", "topic/lab", 7, h(bytes.Repeat([]byte{0x5a}, 32))}
	id := func(b byte) string { return h(bytes.Repeat([]byte{b}, 24)) }
	opens, refused = map[string]messageVector{}, map[string]messageRejection{}
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
		x := messageVector{Comment: c.name, vectorKeyset: keys, Topic: "lab", Subject: h([]byte(c.subject)), Payload: h(c.payload), ID: id(byte(i))}
		refMessage(t, &x, refContent(c.subject, c.payload))
		opens[vectorFile("message", c.name)] = x
	}
	good := mustHex(t, opens["message_one_bucket.json"].Sealed)
	reject := func(name, expect string, b []byte) {
		refused[vectorFile("message_reject", name)] = messageRejection{name, expect, keys, "lab", h(b)}
	}
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	reject("empty", "structure", nil)
	reject("another kind", "structure", edit(func(b []byte) []byte { b[0] = 0x11; return b }))
	reject("another version", "version", edit(func(b []byte) []byte { b[0] = 0x22; return b }))
	reject("keyset version 0", "structure", edit(func(b []byte) []byte { clear(b[1:5]); return b }))
	reject("unknown keyset version", "keyset version", edit(func(b []byte) []byte { b[4] = 8; return b }))
	reject("cut off", "structure", good[:len(good)-1])
	reject("no content", "structure", good[:29])
	reject("one byte more", "structure", edit(func(b []byte) []byte { return append(b, 0) }))
	reject("one bucket more", "open", edit(func(b []byte) []byte { return append(b, make([]byte, 64)...) }))
	reject("another id", "open", edit(func(b []byte) []byte { b[5] ^= 1; return b }))
	reject("changed ciphertext", "open", edit(func(b []byte) []byte { b[29] ^= 1; return b }))
	reject("changed tag", "open", edit(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }))
	for name, other := range map[string]messageVector{
		"another ring":  {vectorKeyset: vectorKeyset{"ring-2", keys.Name, keys.Version, keys.Key}, Topic: "lab", ID: id(0x40)},
		"another topic": {vectorKeyset: keys, Topic: "film", ID: id(0x41)},
	} {
		refMessage(t, &other, refContent("patient-1", nil))
		reject(name, "open", mustHex(t, other.Sealed))
	}
	for i, name := range slices.Sorted(maps.Keys(contents())) {
		if name == "long payload" { // 16 MiB
			continue
		}
		x := messageVector{vectorKeyset: keys, Topic: "lab", ID: id(byte(0x80 + i))}
		refMessage(t, &x, contents()[name])
		reject("content: "+name, "open", mustHex(t, x.Sealed))
	}
	return opens, refused
}

// TestVectorsMessage: the reference, the files and the sealer agree on every
// byte; the opener reads all that they say, and refuses all the rest.
func TestVectorsMessage(t *testing.T) {
	ctx := context.Background()
	opens, refused := messageVectors(t)
	checkFiles(t, "message", opens, refused)
	keys := opens["message_one_bucket.json"].vectorKeyset
	ring := keys.open(t)
	topic := newTopic(t, "lab", ring)
	ks, err := ring.Keyset(ctx, keys.Name)
	require.NoError(t, err)
	for name, x := range opens {
		subject, payload := string(mustHex(t, x.Subject)), mustHex(t, x.Payload)
		m, err := topic.seal(ks, x.Version, [24]byte(mustHex(t, x.ID)), subject, payload)
		require.NoError(t, err, name)
		require.Equal(t, x.Sealed, hex.EncodeToString(m), name)
		gotSubject, got, err := topic.Open(ctx, m)
		require.NoError(t, err, name)
		require.Equal(t, subject, gotSubject, name)
		require.Equal(t, payload, got, name)
	}
	for name, r := range refused {
		unopened(t, topic, mustHex(t, r.Sealed), name)
		_, _, err := topic.Open(ctx, mustHex(t, r.Sealed))
		require.ErrorIs(t, err, expected(t, r.Expect), name)
		if r.Expect == "open" {
			require.NotErrorIs(t, err, ErrFormat, name)
		}
	}
}
