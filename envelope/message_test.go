package envelope

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// processes returns rings of two processes on one store, with keysets.
func processes(t testing.TB, id string, names ...string) (a, b *keyring.Ring) {
	t.Helper()
	ctx := context.Background()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	kek, err := aead.New(handle)
	require.NoError(t, err)
	custodian, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "custodian"))
	require.NoError(t, err)
	cfg := keyring.Config{
		Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: keyring.TinkAEAD(kek),
		Custodian: custodian.Custodian(),
	}
	a, err = keyring.Create(ctx, id, cfg)
	require.NoError(t, err)
	for _, name := range names {
		require.NoError(t, a.CreateKeyset(ctx, name))
	}
	b, err = keyring.Open(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

func newTopic(t testing.TB, name string, ring *keyring.Ring) *Topic {
	t.Helper()
	topic, err := NewTopic(name, ring)
	require.NoError(t, err)
	return topic
}

func message(t testing.TB, topic *Topic, subject, payload string) Message {
	t.Helper()
	m, err := topic.Seal(context.Background(), subject, []byte(payload))
	require.NoError(t, err)
	return m
}

func TestMessage(t *testing.T) {
	ctx := context.Background()
	topic := newTopic(t, "lab", newRing(t, "r", "topic/lab"))
	for _, n := range []int{0, 1, 40, 41, 42, 1000, 1023, 1024, 5000, 1 << 20} {
		payload := bytes.Repeat([]byte{0}, n) // zero bytes are no padding
		m, err := topic.Seal(ctx, "p1", payload)
		require.NoError(t, err)
		require.NoError(t, checkMessage(m))
		subject, got, err := topic.Open(ctx, m)
		require.NoError(t, err)
		require.Equal(t, "p1", subject)
		require.NotNil(t, got)
		require.Equal(t, payload, got)
		require.Equal(t, len(got), cap(got), "the padding is not the caller's")
	}
	marks := bytes.Repeat([]byte{endMark}, 77)
	_, got, err := topic.Open(ctx, message(t, topic, strings.Repeat("s", 255), string(marks)))
	require.NoError(t, err)
	require.Equal(t, marks, got)
	require.NotEqual(t, message(t, topic, "p1", "x"), message(t, topic, "p1", "x"))
}

// TestMessageSlices: the caller's slices are neither written to nor kept.
func TestMessageSlices(t *testing.T) {
	ctx := context.Background()
	topic := newTopic(t, "lab", newRing(t, "r", "topic/lab"))
	room := bytes.Repeat([]byte{7}, 200)
	m, err := topic.Seal(ctx, "p1", room[:20])
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{7}, 200), room)
	clear(room)
	space := append(bytes.Clone(m), bytes.Repeat([]byte{9}, 100)...)
	_, got, err := topic.Open(ctx, space[:len(m)])
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{7}, 20), got)
	require.Equal(t, append(bytes.Clone(m), bytes.Repeat([]byte{9}, 100)...), space)
	clear(space)
	require.Equal(t, bytes.Repeat([]byte{7}, 20), got)
}

// TestMessageLengths: within a bucket no length shows.
func TestMessageLengths(t *testing.T) {
	topic := newTopic(t, "lab", newRing(t, "r", "topic/lab"))
	empty, long := message(t, topic, "p1", ""), message(t, topic, "patient-1", strings.Repeat("x", 37))
	require.Len(t, empty, messageHeader+64)
	require.Len(t, long, messageHeader+64)
	require.Len(t, message(t, topic, "patient-1", strings.Repeat("x", 38)), messageHeader+128)
	require.Len(t, message(t, topic, "p1", strings.Repeat("x", 10_000)), messageHeader+padded(10_000+4+16))
}

func TestMessageRefusals(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", "topic/lab", "clinical")
	topic := newTopic(t, "lab", ring)
	for name, c := range map[string]struct {
		name string
		ring *keyring.Ring
		err  error
	}{
		"no ring": {"lab", nil, ErrEmpty}, "no name": {"", ring, ErrEmpty}, "long name": {strings.Repeat("x", 123), ring, ErrLimit},
	} {
		_, err := NewTopic(c.name, c.ring)
		require.ErrorIs(t, err, c.err, name)
	}
	_, err := topic.Seal(ctx, "", []byte("x"))
	require.ErrorIs(t, err, ErrEmpty)
	_, err = topic.Seal(ctx, strings.Repeat("s", 256), nil)
	require.ErrorIs(t, err, ErrLimit)
	_, err = topic.Seal(ctx, "p1", make([]byte, maxPayload+1))
	require.ErrorIs(t, err, ErrLimit)

	m := message(t, topic, "p1", "x")
	for name, err := range map[string]error{"other": keyring.ErrNoKeyset, "../lab": keyring.ErrName, "la b": keyring.ErrName} {
		other := newTopic(t, name, ring)
		_, sealErr := other.Seal(ctx, "p1", nil)
		require.ErrorIs(t, sealErr, err, name)
		_, _, openErr := other.Open(ctx, m)
		require.ErrorIs(t, openErr, err, name)
		require.NotErrorIs(t, openErr, ErrOpen, "it is not the message's fault")
	}
	without := newTopic(t, "lab", ring.Only("clinical"))
	_, err = without.Seal(ctx, "p1", nil)
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	_, _, err = without.Open(ctx, m)
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	with := newTopic(t, "lab", ring.Only("topic/lab"))
	_, _, err = with.Open(ctx, m)
	require.NoError(t, err, "no compartment is needed")

	require.NoError(t, ring.Close())
	_, _, err = topic.Open(ctx, m)
	require.ErrorIs(t, err, keyring.ErrClosed)
}

// TestMessageErasure: a copy that a broker has kept does not open when its
// subject is out of service, in another process too.
func TestMessageErasure(t *testing.T) { synctest.Test(t, testMessageErasure) }

func testMessageErasure(t *testing.T) {
	ctx := context.Background()
	a, b := processes(t, "r", "topic/lab", "clinical")
	topic, there := newTopic(t, "lab", a), newTopic(t, "lab", b.Only("topic/lab"))
	for _, id := range []string{"erased", "kept", "other"} {
		_, err := a.CreateSubject(ctx, id, "clinical")
		require.NoError(t, err)
	}
	erased, kept, other := message(t, topic, "erased", "x"), message(t, topic, "kept", "x"), message(t, topic, "other", "x")
	_, err := a.Shred(ctx, "erased")
	require.NoError(t, err)
	_, err = a.Retain(ctx, "kept", keyring.Retention{Until: time.Now().Add(time.Hour), Basis: "a test"})
	require.NoError(t, err)

	refuses := func(topic *Topic) bool {
		subject, payload, err := topic.Open(ctx, erased)
		if err == nil {
			return false
		}
		require.ErrorIs(t, err, keyring.ErrShredded)
		require.NotErrorIs(t, err, ErrOpen)
		require.Empty(t, subject)
		require.Nil(t, payload)
		_, _, err = topic.Open(ctx, kept)
		require.ErrorIs(t, err, keyring.ErrRetained)
		_, err = topic.Seal(ctx, "erased", nil)
		require.ErrorIs(t, err, keyring.ErrShredded)
		_, err = topic.Seal(ctx, "kept", nil)
		require.ErrorIs(t, err, keyring.ErrRetained)
		_, _, err = topic.Open(ctx, other)
		require.NoError(t, err)
		return true
	}
	require.True(t, refuses(topic))
	time.Sleep(5 * time.Second)
	require.True(t, refuses(there))
}

// TestMessageEnd: the messages of a version end with it.
func TestMessageEnd(t *testing.T) {
	ctx := context.Background()
	a, b := processes(t, "r", "topic/lab")
	topic, there := newTopic(t, "lab", a), newTopic(t, "lab", b)
	old := message(t, topic, "p1", "old")
	_, _, err := there.Open(ctx, old)
	require.NoError(t, err)
	_, err = a.Rotate(ctx, "topic/lab")
	require.NoError(t, err)
	young := message(t, topic, "p1", "young")
	require.EqualValues(t, 2, binary.BigEndian.Uint32(young[1:]))
	_, payload, err := there.Open(ctx, young)
	require.NoError(t, err, "another process's version is looked for at once")
	require.Equal(t, "young", string(payload))
	_, _, err = topic.Open(ctx, old)
	require.NoError(t, err)

	require.NoError(t, a.SetState(ctx, "topic/lab", 1, keyring.Suspended))
	_, _, err = topic.Open(ctx, old)
	require.ErrorIs(t, err, ErrOpen)
	require.ErrorIs(t, err, keyring.ErrUnknownVersion)
	_, _, err = topic.Open(ctx, young)
	require.NoError(t, err)
}

func TestMessageForms(t *testing.T) {
	m := message(t, newTopic(t, "lab", newRing(t, "r", "topic/lab")), "p1", "x")
	testForms(t, m, &m)
}

// testForms checks the forms of a message or an item.
func testForms[T ~[]byte, P interface {
	*T
	UnmarshalText([]byte) error
	UnmarshalJSON([]byte) error
}](t *testing.T, sealed T, _ P) {
	text, err := any(sealed).(interface{ MarshalText() ([]byte, error) }).MarshalText()
	require.NoError(t, err)
	var back T
	require.NoError(t, P(&back).UnmarshalText(text))
	require.Equal(t, sealed, back)
	type doc struct{ A, B T }
	b, err := json.Marshal(doc{A: sealed})
	require.NoError(t, err)
	require.Equal(t, `{"A":"`+string(text)+`","B":null}`, string(b))
	d := doc{B: sealed}
	require.NoError(t, json.Unmarshal(b, &d))
	require.Equal(t, doc{A: sealed}, d)

	for name, s := range map[string]string{
		"empty": "", "line break": string(text[:4]) + "\n" + string(text[4:]), "padding": string(text) + "=", "space": " " + string(text),
		"one too many": string(text) + "A", "one too few": string(text[:len(text)-1]), "cut": string(text[:20]),
		"not base64url": "+" + string(text[1:]),
	} {
		keep := T{1}
		require.ErrorIs(t, P(&keep).UnmarshalText([]byte(s)), ErrOpen, name)
		require.Equal(t, T{1}, keep, name)
		require.ErrorIs(t, P(&keep).UnmarshalJSON([]byte(`"`+s+`"`)), ErrOpen, name)
	}
	for _, s := range []string{"", `"`, "17", "{}", `"` + string(text) + `\u0041"`} {
		var none T
		require.ErrorIs(t, P(&none).UnmarshalJSON([]byte(s)), ErrFormat)
	}
	var none T
	require.ErrorContains(t, P(&none).UnmarshalText(make([]byte, 25<<20)), "too long", "before it is decoded")
	_, err = any(T(nil)).(interface{ MarshalText() ([]byte, error) }).MarshalText()
	require.ErrorIs(t, err, ErrFormat)
	_, err = json.Marshal(sealed[:len(sealed)-1])
	require.ErrorIs(t, err, ErrFormat)
}

// unopened requires that a message is refused as ErrOpen, and nothing released.
func unopened(t *testing.T, topic *Topic, m Message, what ...any) {
	t.Helper()
	subject, payload, err := topic.Open(context.Background(), m)
	if !errors.Is(err, ErrOpen) || subject != "" || payload != nil {
		t.Fatalf("%v: %v", what, err)
	}
}

func TestAttackMessageBytes(t *testing.T) {
	topic := newTopic(t, "lab", newRing(t, "r", "topic/lab"))
	m := message(t, topic, "p1", "payload")
	for i := range m {
		for bit := range 8 {
			bad := bytes.Clone(m)
			bad[i] ^= 1 << bit
			unopened(t, topic, bad, "byte", i, "bit", bit)
		}
	}
	for i := range messageHeader {
		for x := 1; x < 256; x++ {
			bad := bytes.Clone(m)
			bad[i] ^= byte(x)
			unopened(t, topic, bad, "byte", i, "xor", x)
		}
	}
	for n := range m {
		unopened(t, topic, m[:n], "cut to", n)
	}
	for _, n := range []int{1, 16, 63, 64, 128, 1000} {
		unopened(t, topic, append(bytes.Clone(m), make([]byte, n)...), "longer by", n)
	}
}

// TestAttackMessagePlace: a message opens in its topic and ring alone, and its
// parts with no other's.
func TestAttackMessagePlace(t *testing.T) {
	ctx := context.Background()
	ring, foreign := newRing(t, "r", "topic/lab", "topic/lab2"), newRing(t, "r", "topic/lab")
	topic := newTopic(t, "lab", ring)
	m, other := message(t, topic, "p1", "one"), message(t, topic, "p2", "two")
	unopened(t, newTopic(t, "lab2", ring), m, "another topic")
	unopened(t, newTopic(t, "lab", foreign), m, "another ring of the same id")
	for i := range messageHeader {
		mixed := append(bytes.Clone(m[:i+1]), other[i+1:]...)
		if bytes.Equal(mixed, m) || bytes.Equal(mixed, other) {
			continue
		}
		unopened(t, topic, mixed, "mixed after", i)
	}
	_, err := ring.Rotate(ctx, "topic/lab")
	require.NoError(t, err)
	younger := bytes.Clone(m)
	binary.BigEndian.PutUint32(younger[1:], 2)
	unopened(t, topic, younger, "as of another version, which is there")
	younger[1] = 9
	_, _, err = topic.Open(ctx, younger)
	require.ErrorIs(t, err, ErrOpen)
	require.ErrorIs(t, err, keyring.ErrUnknownVersion)

	// The same keys under another name or ring: what is bound decides alone.
	ks, err := ring.Keyset(ctx, "topic/lab")
	require.NoError(t, err)
	_, _, err = topic.open(ks, m)
	require.NoError(t, err)
	_, _, err = newTopic(t, "lab2", ring).open(ks, m)
	require.ErrorIs(t, err, ErrOpen)
	_, _, err = newTopic(t, "lab", newRing(t, "r2")).open(ks, m)
	require.ErrorIs(t, err, ErrOpen)
}

// contents are what someone with the keys could write that appendContent does
// not; each is as long as a content can be.
func contents() map[string][]byte {
	good := appendContent(nil, "p1", []byte("payload"))
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	return map[string][]byte{
		"no subject":            edit(func(b []byte) []byte { b[0] = 0; return b }),
		"subject over the mark": edit(func(b []byte) []byte { b[0] = 11; return b }),
		"subject over the end":  edit(func(b []byte) []byte { b[0] = 255; return b }),
		"no mark":               edit(func(b []byte) []byte { b[10] = 0; return b }),
		"all zero":              edit(func(b []byte) []byte { clear(b); return b }),
		"only a mark":           edit(func(b []byte) []byte { clear(b); b[0] = endMark; return b }),
		"another mark":          edit(func(b []byte) []byte { b[10] = 0x81; return b }),
		"a byte in the padding": edit(func(b []byte) []byte { b[len(b)-1] = 1; return b }),
		"a bucket too much":     edit(func(b []byte) []byte { return append(b, make([]byte, 64)...) }),
		"long payload":          appendLong(),
	}
}

// appendLong is a content of a payload that is one byte too long.
func appendLong() []byte {
	b := append([]byte{1, 's'}, make([]byte, maxPayload+1)...)
	b = append(b, endMark)
	return append(b, make([]byte, padded(len(b)+overhead)-overhead-len(b))...)
}

func TestAttackMessageContent(t *testing.T) {
	ctx := context.Background()
	topic := newTopic(t, "lab", newRing(t, "r", "topic/lab"))
	ks, err := topic.ring().Keyset(ctx, "topic/lab")
	require.NoError(t, err)
	sealed := func(content []byte) Message {
		m := append([]byte{kindMessage, 0, 0, 0, 1}, make([]byte, messageIDSize)...)
		key, err := topic.key(ks, m)
		require.NoError(t, err)
		return secret.Cipher(key).Seal(m, make([]byte, 12), content, topic.bound(m))
	}
	_, payload, err := topic.Open(ctx, sealed(appendContent(nil, "p1", []byte("payload"))))
	require.NoError(t, err)
	require.Equal(t, "payload", string(payload))
	for name, content := range contents() {
		unopened(t, topic, sealed(content), name)
	}
	for _, content := range [][]byte{nil, make([]byte, 47), append([]byte{1, 's', endMark}, make([]byte, 46)...)} {
		require.ErrorIs(t, checkMessage(sealed(content)), ErrFormat)
	}
}

func TestContent(t *testing.T) {
	for subject := 1; subject < 256; subject += 127 {
		for payload := 0; payload < 3000; payload++ {
			b := appendContent(nil, strings.Repeat("s", subject), make([]byte, payload))
			if !validContentSize(len(b)) || cap(b)-len(b) > len(b) {
				t.Fatal(subject, payload, len(b))
			}
			s, p, ok := parseContent(b)
			if !ok || len(s) != subject || len(p) != payload {
				t.Fatal(subject, payload)
			}
		}
	}
	require.Equal(t, padded(1+255+maxPayload+1+16)-16, contentSize(maxID, maxPayload))
	next := padded(contentSize(maxID, maxPayload)+overhead+1) - overhead
	require.False(t, validContentSize(next), "the next bucket")
	require.ErrorIs(t, checkMessage(append([]byte{kindMessage, 0, 0, 0, 1}, make([]byte, messageIDSize+next+overhead)...)), ErrFormat)
	_, _, ok := parseContent(nil)
	require.False(t, ok)
}
