package envelope

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// inboxVectors are for opening: encapsulation and salt were random once.
type inboxVectors struct {
	Comment string `json:"comment"`
	vectorKeyset
	Inbox      string           `json:"inbox"`
	Seed       string           `json:"private_key_seed"`
	Public     string           `json:"public_key"`
	Sender     string           `json:"sender"`
	SenderKey  string           `json:"sender_key"`
	Credential credentialVector `json:"credential"`
	Items      []itemVector     `json:"items"`
	Rejected   []rejectedForm   `json:"rejected"`
}

type credentialVector struct {
	Open  string `json:"before_the_key"`
	Check string `json:"check"`
	Text  string `json:"text"`
}

type itemVector struct {
	Name       string `json:"name"`
	Subject    string `json:"subject"`
	Payload    string `json:"payload"`
	Info       string `json:"hpke_info"`
	Enc        string `json:"encapsulation"`
	Input      string `json:"input_key"`
	Context    string `json:"body_context"`
	Salt       string `json:"salt"`
	BodyKey    string `json:"body_key"`
	BaseNonce  string `json:"base_nonce"`
	Commitment string `json:"commitment"`
	MACInput   string `json:"mac_input"`
	MAC        string `json:"mac"`
	Sealed     string `json:"item"`
}

const inboxFile = "testdata/vectors/inbox_v1.json"

// fill computes every intermediate of an item with the standard library alone,
// from docs/SPEC.md 2.12: all but encapsulation and salt, which are given.
func (v *inboxVectors) fill(t testing.TB, x *itemVector) {
	h := hex.EncodeToString
	info := refLP("rahasia/inbox/v1", v.Ring, v.Inbox, v.Sender, string(binary.BigEndian.AppendUint32(nil, v.Version)))
	private, err := hpke.MLKEM768X25519().NewPrivateKey(mustHex(t, v.Seed))
	require.NoError(t, err)
	enc := mustHex(t, x.Enc)
	require.Len(t, enc, 1120)
	recipient, err := hpke.NewRecipient(enc, private, hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	require.NoError(t, err)
	input, err := recipient.Export("rahasia/inbox/v1", 32)
	require.NoError(t, err)

	head := []byte{0x31, 0x64, 0x7a, byte(v.Version >> 24), byte(v.Version >> 16), byte(v.Version >> 8), byte(v.Version), byte(len(v.Sender))}
	head = slices.Concat(head, []byte(v.Sender), enc)
	bodyContext := append(refLP("rahasia/inbox-body/v1"), head...)
	expanded, err := hkdf.Expand(sha512.New, input, "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"+string(mustHex(t, x.Salt))+string(bodyContext), 32+12+32)
	require.NoError(t, err)
	key, base, commitment := expanded[:32], expanded[32:44], expanded[44:]

	macInput := slices.Concat(refLP("rahasia/inbox-item/v1", v.Ring, v.Inbox), head, mustHex(t, x.Salt), commitment)
	mac := hmac.New(sha256.New, mustHex(t, v.SenderKey))
	mac.Write(macInput)

	content := refContent(string(mustHex(t, x.Subject)), mustHex(t, x.Payload))
	item := slices.Concat(head, mac.Sum(nil), mustHex(t, x.Salt), commitment)
	for i := 0; ; i++ {
		chunk := content[min(len(content), i*16384):min(len(content), (i+1)*16384)]
		nonce := bytes.Clone(base)
		nonce[10] ^= byte(i >> 8)
		nonce[11] ^= byte(i)
		item = refGCM(t, key).Seal(item, nonce, chunk, nil)
		if len(chunk) < 16384 {
			break
		}
	}
	x.Info, x.Input, x.Context, x.BodyKey, x.BaseNonce = h(info), h(input), h(bodyContext), h(key), h(base)
	x.Commitment, x.MACInput, x.MAC, x.Sealed = h(commitment), h(macInput), h(mac.Sum(nil)), h(item)
}

// newInboxVectors are the vectors with the encapsulations of old, or new ones.
func newInboxVectors(t testing.TB, old *inboxVectors) *inboxVectors {
	h := hex.EncodeToString
	v := &inboxVectors{
		Comment:      "Inbox item format v1. Bytes in hex. The keyset is fixed for this file only; encapsulations and salts were random once.",
		vectorKeyset: vectorKeyset{"ring-1", "inbox/branches", 7, hex.EncodeToString(bytes.Repeat([]byte{0xa5}, 32))},
		Inbox:        "branches", Sender: "solo-1",
	}
	seed, _ := v.prf(t, "rahasia/inbox-key/v1", v.Inbox)
	key, _ := v.prf(t, "rahasia/inbox-sender/v1", v.Inbox, v.Sender)
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	require.NoError(t, err)
	v.Seed, v.SenderKey, v.Public = h(seed), h(key), h(private.PublicKey().Bytes())
	v.credential(t)
	for i, c := range []struct {
		name, subject string
		payload       []byte
	}{
		{"empty payload", "patient-1", nil},
		{"one bucket", "patient-1", []byte(`{"Hb":13.4}`)},
		{"two chunks", "patient-1", bytes.Repeat([]byte{0x61}, 16_500)},
	} {
		x := itemVector{Name: c.name, Subject: h([]byte(c.subject)), Payload: h(c.payload)}
		if old != nil {
			x.Enc, x.Salt = old.Items[i].Enc, old.Items[i].Salt
		} else {
			info := refLP("rahasia/inbox/v1", v.Ring, v.Inbox, v.Sender, "\x00\x00\x00\x07")
			enc, _, err := hpke.NewSender(private.PublicKey(), hpke.HKDFSHA256(), hpke.ExportOnly(), info)
			require.NoError(t, err)
			x.Enc, x.Salt = h(enc), h(bytes.Repeat([]byte{byte(i)}, 24))
		}
		v.fill(t, &x)
		v.Items = append(v.Items, x)
	}
	v.reject(t)
	return v
}

func (v *inboxVectors) credential(t testing.TB) {
	open := slices.Concat(refLP(v.Ring, v.Inbox, v.Sender), binary.BigEndian.AppendUint32(nil, v.Version), []byte{0x64, 0x7a}, mustHex(t, v.Public))
	check := hmac.New(sha256.New, mustHex(t, v.SenderKey))
	check.Write(append(refLP("rahasia/intake-file/v1"), open...))
	all := slices.Concat(open, mustHex(t, v.SenderKey), check.Sum(nil))
	v.Credential = credentialVector{
		hex.EncodeToString(open), hex.EncodeToString(check.Sum(nil)), "rahasia-intake-v1:" + textEncoding().EncodeToString(all) + "\n",
	}
}

func (v *inboxVectors) reject(t testing.TB) {
	good := mustHex(t, v.Items[1].Sealed)
	other := mustHex(t, v.Items[0].Sealed)
	head, salt := 8+len(v.Sender)+1120, 8+len(v.Sender)+1120+32
	reject := func(name, err string, b []byte) {
		v.Rejected = append(v.Rejected, rejectedForm{name, err, hex.EncodeToString(b)})
	}
	set := func(at int, b byte) []byte {
		c := bytes.Clone(good)
		c[at] = b
		return c
	}
	flip := func(at int) []byte { return set(at, good[at]^1) }
	reject("empty", "format", nil)
	reject("another kind", "format", set(0, 0x21))
	reject("another version", "version", set(0, 0x32))
	reject("another KEM", "version", set(2, 0x7b))
	reject("keyset version 0", "format", set(6, 0))
	reject("unknown keyset version", "keyset version", set(6, 8))
	reject("no sender", "format", append(append(bytes.Clone(good[:7]), 0), good[8+len(v.Sender):]...))
	reject("malformed sender", "format", set(8, ' '))
	reject("another sender", "open", set(8, 't'))
	reject("another encapsulation", "open", flip(8+len(v.Sender)))
	reject("changed MAC", "open", flip(head))
	reject("another salt", "open", flip(salt))
	reject("another commitment", "open", flip(salt+24))
	reject("changed chunk", "open", flip(salt+56))
	reject("changed tag", "open", flip(len(good)-1))
	reject("head of another item", "open", append(bytes.Clone(other[:head]), good[head:]...))
	reject("body of another item", "open", append(bytes.Clone(good[:salt]), other[salt:]...))
	reject("cut off", "format", good[:len(good)-1])
	reject("no chunk", "format", good[:salt+56])
	reject("one byte more", "format", append(bytes.Clone(good), 0))
	reject("one bucket more", "open", append(bytes.Clone(good), make([]byte, 64)...))
	long := mustHex(t, v.Items[2].Sealed)
	reject("last chunk cut off", "format", long[:salt+56+16400])
}

// TestVectorsInbox: the reference and the file agree on every byte; the opener
// reads all that the file says, and refuses all the rest.
func TestVectorsInbox(t *testing.T) {
	ctx := context.Background()
	var old *inboxVectors
	if file, err := os.ReadFile(inboxFile); err == nil {
		old = new(inboxVectors)
		require.NoError(t, json.Unmarshal(file, old))
	}
	if *update || old != nil {
		want, err := json.MarshalIndent(newInboxVectors(t, old), "", "\t")
		require.NoError(t, err)
		want = append(want, '\n')
		if *update {
			require.NoError(t, os.WriteFile(inboxFile, want, 0o644))
		}
		file, err := os.ReadFile(inboxFile)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, file), "run with -update and see what changed")
	}
	file, err := os.ReadFile(inboxFile)
	require.NoError(t, err)
	var v inboxVectors
	require.NoError(t, json.Unmarshal(file, &v))
	ring := v.open(t)
	inbox := newInbox(t, v.Inbox, ring)
	for _, x := range v.Items {
		got, err := inbox.Open(ctx, mustHex(t, x.Sealed))
		require.NoError(t, err, x.Name)
		require.Equal(t, Received{
			Inbox: v.Inbox, Version: v.Version, Sender: v.Sender, Subject: string(mustHex(t, x.Subject)),
			ID: [32]byte(mustHex(t, x.MAC)), Payload: mustHex(t, x.Payload),
		}, got, x.Name)
	}
	require.NotEmpty(t, v.Rejected)
	for _, r := range v.Rejected {
		rejected(t, inbox, mustHex(t, r.Sealed), r.Name)
		_, err := inbox.Open(ctx, mustHex(t, r.Sealed))
		require.ErrorIs(t, err, r.want(t), r.Name)
		if r.Error == "open" {
			require.NotErrorIs(t, err, ErrFormat, r.Name)
		}
	}

	path := t.TempDir() + "/c"
	require.NoError(t, inbox.Enrol(ctx, v.Sender, path))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, v.Credential.Text, string(text))
	intake, err := OpenIntake(path)
	require.NoError(t, err)
	got, err := inbox.Open(ctx, sealItem(t, intake, "patient-2", "x"))
	require.NoError(t, err)
	require.Equal(t, "patient-2", got.Subject)
}
