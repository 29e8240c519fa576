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
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// inboxVectorKeys are the keys of an inbox vector, all from the keyset's.
type inboxVectorKeys struct {
	vectorKeyset
	Inbox     string `json:"inbox"`
	Seed      string `json:"private_key_seed"`
	Public    string `json:"public_key"`
	Sender    string `json:"sender"`
	SenderKey string `json:"sender_key"`
}

// itemVector is for opening: encapsulation and salt were random once.
type itemVector struct {
	Comment string `json:"comment"`
	inboxVectorKeys
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
	Content    string `json:"content"`
	MACInput   string `json:"mac_input"`
	MAC        string `json:"mac"`
	Sealed     string `json:"item"`
}

type itemRejection struct {
	Comment string `json:"comment"`
	Expect  string `json:"expect"`
	vectorKeyset
	Inbox  string `json:"inbox"`
	Enc    string `json:"encapsulation"` // of the item that it was made of
	Input  string `json:"input_key"`     // of that
	Sealed string `json:"item"`
}

type credentialVector struct {
	Comment string `json:"comment"`
	inboxVectorKeys
	Open  string `json:"before_the_key"`
	Check string `json:"check"`
	Text  string `json:"text"`
}

type credentialRejection struct {
	Comment string `json:"comment"`
	Expect  string `json:"expect"`
	Text    string `json:"text"`
}

// fill computes every intermediate of an item with the standard library alone,
// from docs/SPEC.md 2.12: all but encapsulation and salt, which are given.
func (x *itemVector) fill(t testing.TB, content []byte) {
	h := hex.EncodeToString
	info := x.info()
	private, err := hpke.MLKEM768X25519().NewPrivateKey(mustHex(t, x.Seed))
	require.NoError(t, err)
	enc := mustHex(t, x.Enc)
	require.Len(t, enc, 1120)
	recipient, err := hpke.NewRecipient(enc, private, hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	require.NoError(t, err)
	input, err := recipient.Export("rahasia/inbox/v1", 32)
	require.NoError(t, err)

	head := []byte{0x31, 0x64, 0x7a, byte(x.Version >> 24), byte(x.Version >> 16), byte(x.Version >> 8), byte(x.Version), byte(len(x.Sender))}
	head = slices.Concat(head, []byte(x.Sender), enc)
	bodyContext := append(refLP("rahasia/inbox-body/v1"), head...)
	expanded, err := hkdf.Expand(sha512.New, input, "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"+string(mustHex(t, x.Salt))+string(bodyContext), 32+12+32)
	require.NoError(t, err)
	key, base, commitment := expanded[:32], expanded[32:44], expanded[44:]

	macInput := slices.Concat(refLP("rahasia/inbox-item/v1", x.Ring, x.Inbox), head, mustHex(t, x.Salt), commitment)
	mac := hmac.New(sha256.New, mustHex(t, x.SenderKey))
	mac.Write(macInput)

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
	x.Content = h(content)
}

// inboxVectors returns them by file name, with the encapsulations of those on
// disk, or new ones.
func inboxVectors(t testing.TB) (opens map[string]itemVector, refused map[string]itemRejection) {
	h := hex.EncodeToString
	keys := newInboxVectorKeys(t)
	opens, refused = map[string]itemVector{}, map[string]itemRejection{}
	for i, c := range []struct {
		name, subject string
		payload       []byte
	}{
		{"empty payload", "patient-1", nil},
		{"one bucket", "patient-1", []byte(`{"Hb":13.4}`)},
		{"two chunks", "patient-1", bytes.Repeat([]byte{0x61}, 16_500)},
	} {
		x := itemVector{Comment: c.name, inboxVectorKeys: keys, Subject: h([]byte(c.subject)), Payload: h(c.payload)}
		x.encapsulate(t, vectorFile("inbox", c.name), byte(i))
		x.fill(t, refContent(c.subject, c.payload))
		opens[vectorFile("inbox", c.name)] = x
	}
	for name, bad := range rejectedItems(t, opens) {
		of := opens[bad.of]
		refused[vectorFile("inbox_reject", name)] = itemRejection{name, bad.expect, keys.vectorKeyset, keys.Inbox, of.Enc, of.Input, h(bad.item)}
	}
	for i, name := range slices.Sorted(maps.Keys(contents())) {
		if name == "long payload" { // 16 MiB
			continue
		}
		file := vectorFile("inbox_reject", "content: "+name)
		x := itemVector{inboxVectorKeys: keys}
		x.encapsulate(t, file, byte(0x80+i))
		x.fill(t, contents()[name])
		refused[file] = itemRejection{"content: " + name, "open", keys.vectorKeyset, keys.Inbox, x.Enc, x.Input, x.Sealed}
	}
	return opens, refused
}

func newInboxVectorKeys(t testing.TB) inboxVectorKeys {
	h := hex.EncodeToString
	v := inboxVectorKeys{
		vectorKeyset: vectorKeyset{"ring-1", "inbox/branches", 7, h(bytes.Repeat([]byte{0xa5}, 32))},
		Inbox:        "branches", Sender: "solo-1",
	}
	seed, _ := v.prf(t, "rahasia/inbox-key/v1", v.Inbox)
	key, _ := v.prf(t, "rahasia/inbox-sender/v1", v.Inbox, v.Sender)
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	require.NoError(t, err)
	v.Seed, v.SenderKey, v.Public = h(seed), h(key), h(private.PublicKey().Bytes())
	return v
}

// info is what HPKE binds.
func (v *inboxVectorKeys) info() []byte {
	return refLP("rahasia/inbox/v1", v.Ring, v.Inbox, v.Sender, string(binary.BigEndian.AppendUint32(nil, v.Version)))
}

// encapsulate takes encapsulation and salt from the file, if there is one.
func (x *itemVector) encapsulate(t testing.TB, file string, salt byte) {
	x.Salt = hex.EncodeToString(bytes.Repeat([]byte{salt}, 24))
	if _, err := os.Stat(vectorFolder + file); err == nil {
		var old itemVector
		readVector(t, file, &old)
		x.Enc = old.Enc
		return
	}
	public, err := hpke.MLKEM768X25519().NewPublicKey(mustHex(t, x.Public))
	require.NoError(t, err)
	enc, _, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ExportOnly(), x.info())
	require.NoError(t, err)
	x.Enc = hex.EncodeToString(enc)
}

type rejectedItem struct {
	of, expect string
	item       []byte
}

// rejectedItems are made of items that open.
func rejectedItems(t testing.TB, opens map[string]itemVector) map[string]rejectedItem {
	const bucket, empty, chunks = "inbox_one_bucket.json", "inbox_empty_payload.json", "inbox_two_chunks.json"
	good, other, long := mustHex(t, opens[bucket].Sealed), mustHex(t, opens[empty].Sealed), mustHex(t, opens[chunks].Sealed)
	sender := len(opens[bucket].Sender)
	head, salt := 8+sender+1120, 8+sender+1120+32
	set := func(at int, b byte) []byte {
		c := bytes.Clone(good)
		c[at] = b
		return c
	}
	flip := func(at int) []byte { return set(at, good[at]^1) }
	return map[string]rejectedItem{
		"empty":                  {bucket, "structure", nil},
		"another kind":           {bucket, "structure", set(0, 0x21)},
		"another version":        {bucket, "version", set(0, 0x32)},
		"another KEM":            {bucket, "version", set(2, 0x7b)},
		"keyset version 0":       {bucket, "structure", set(6, 0)},
		"unknown keyset version": {bucket, "keyset version", set(6, 8)},
		"no sender":              {bucket, "structure", slices.Concat(good[:7], []byte{0}, good[8+sender:])},
		"malformed sender":       {bucket, "structure", set(8, ' ')},
		"another sender":         {bucket, "open", set(8, 't')},
		"another encapsulation":  {bucket, "open", flip(8 + sender)},
		"changed MAC":            {bucket, "open", flip(head)},
		"another salt":           {bucket, "open", flip(salt)},
		"another commitment":     {bucket, "open", flip(salt + 24)},
		"changed chunk":          {bucket, "open", flip(salt + 56)},
		"changed tag":            {bucket, "open", flip(len(good) - 1)},
		"head of another item":   {empty, "open", slices.Concat(other[:head], good[head:])},
		"body of another item":   {bucket, "open", slices.Concat(good[:salt], other[salt:])},
		"chunks of another item": {bucket, "open", slices.Concat(good[:salt+56], other[salt+56:])},
		"cut off":                {bucket, "structure", good[:len(good)-1]},
		"no chunk":               {bucket, "structure", good[:salt+56]},
		"one byte more":          {bucket, "structure", append(bytes.Clone(good), 0)},
		"one bucket more":        {bucket, "open", append(bytes.Clone(good), make([]byte, 64)...)},
		"last chunk cut off":     {chunks, "structure", long[:salt+56+16400]},
	}
}

// credentialVectors returns them by file name.
func credentialVectors(t testing.TB) (opens map[string]credentialVector, refused map[string]credentialRejection) {
	v := credentialVector{Comment: "Enrolling again under one keyset version gives the same.", inboxVectorKeys: newInboxVectorKeys(t)}
	names := refLP(v.Ring, v.Inbox, v.Sender)
	version, kem, public := []byte{0, 0, 0, 7}, []byte{0x64, 0x7a}, mustHex(t, v.Public)
	check := func(open []byte) []byte {
		mac := hmac.New(sha256.New, mustHex(t, v.SenderKey))
		mac.Write(append(refLP("rahasia/intake-file/v1"), open...))
		return mac.Sum(nil)
	}
	text := func(open, check []byte) string {
		return "rahasia-intake-v1:" + textEncoding().EncodeToString(slices.Concat(open, mustHex(t, v.SenderKey), check)) + "\n"
	}
	open := slices.Concat(names, version, kem, public)
	good := text(open, check(open))
	v.Open, v.Check, v.Text = hex.EncodeToString(open), hex.EncodeToString(check(open)), good
	refused = map[string]credentialRejection{}
	reject := func(name, text string) {
		refused[vectorFile("credential_reject", name)] = credentialRejection{name, "credential", text}
	}
	remade := func(parts ...[]byte) string { open := slices.Concat(parts...); return text(open, check(open)) }
	exchanged := bytes.Clone(open)
	exchanged[len(exchanged)-1] ^= 1
	reject("empty", "")
	reject("another version", strings.Replace(good, "-v1:", "-v2:", 1))
	reject("no newline", strings.TrimSuffix(good, "\n"))
	reject("another line", good+"\n")
	reject("newline inside", good[:100]+"\n"+good[100:])
	reject("padding", strings.TrimSuffix(good, "\n")+"=\n")
	reject("cut off", good[:len(good)-5]+"\n")
	reject("public key exchanged", text(exchanged, check(open)))
	reject("public key that the KEM refuses", remade(names, version, kem, append(bytes.Repeat([]byte{0xff}, 1184), public[1184:]...)))
	reject("public key cut off", remade(names, version, kem, public[1:]))
	reject("another KEM", remade(names, version, []byte{0x64, 0x7b}, public))
	reject("keyset version 0", remade(names, make([]byte, 4), kem, public))
	reject("no ring", remade(refLP("", v.Inbox, v.Sender), version, kem, public))
	reject("no inbox", remade(refLP(v.Ring, "", v.Sender), version, kem, public))
	reject("long inbox", remade(refLP(v.Ring, strings.Repeat("i", 123), v.Sender), version, kem, public))
	reject("malformed sender", remade(refLP(v.Ring, v.Inbox, "so lo"), version, kem, public))
	return map[string]credentialVector{"credential_solo-1.json": v}, refused
}

// TestVectorsInbox: the reference and the files agree on every byte; the opener
// reads all that they say, and refuses all the rest.
func TestVectorsInbox(t *testing.T) {
	ctx := context.Background()
	opens, refused := inboxVectors(t)
	checkFiles(t, "inbox", opens, refused)
	keys := newInboxVectorKeys(t)
	inbox := newInbox(t, keys.Inbox, keys.open(t))
	for name, x := range opens {
		got, err := inbox.Open(ctx, mustHex(t, x.Sealed))
		require.NoError(t, err, name)
		require.Equal(t, Received{
			Inbox: x.Inbox, Version: x.Version, Sender: x.Sender, Subject: string(mustHex(t, x.Subject)),
			ID: [32]byte(mustHex(t, x.MAC)), Payload: mustHex(t, x.Payload),
		}, got, name)
	}
	for name, r := range refused {
		rejected(t, inbox, mustHex(t, r.Sealed), name)
		_, err := inbox.Open(ctx, mustHex(t, r.Sealed))
		require.ErrorIs(t, err, expected(t, r.Expect), name)
		if r.Expect == "open" {
			require.NotErrorIs(t, err, ErrFormat, name)
		}
	}
}

// TestVectorsCredential: Enrol writes the file, and OpenIntake reads it and
// nothing else.
func TestVectorsCredential(t *testing.T) {
	ctx := context.Background()
	opens, refused := credentialVectors(t)
	checkFiles(t, "credential", opens, refused)
	path := t.TempDir() + "/"
	for name, v := range opens {
		inbox := newInbox(t, v.Inbox, v.open(t))
		require.NoError(t, inbox.Enrol(ctx, v.Sender, path+name))
		text, err := os.ReadFile(path + name)
		require.NoError(t, err)
		require.Equal(t, v.Text, string(text))
		intake, err := OpenIntake(path + name)
		require.NoError(t, err)
		got, err := inbox.Open(ctx, sealItem(t, intake, "patient-2", "x"))
		require.NoError(t, err)
		require.Equal(t, "patient-2", got.Subject)
	}
	for name, r := range refused {
		require.NoError(t, os.WriteFile(path+name, []byte(r.Text), 0o600))
		_, err := OpenIntake(path + name)
		require.ErrorIs(t, err, ErrCredential, name)
	}
}
