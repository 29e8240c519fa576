package envelope

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha512"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
	"github.com/rahasia/rahasia/internal/secret"
)

// TestLeakInbox: nothing prints the keys of a topic, an inbox, an intake or a
// credential.
func TestLeakInbox(t *testing.T) {
	ctx := context.Background()
	vector := vectorKeyset{"ring-1", "inbox/branches", 7, strings.Repeat("a5", 32)}
	ring := vector.open(t)
	require.NoError(t, ring.CreateKeyset(ctx, "topic/lab"))
	topic, inbox := newTopic(t, "lab", ring), newInbox(t, "branches", ring)
	message(t, topic, "p1", "x")
	intake := enrol(t, inbox, "solo-1")
	_, err := inbox.Open(ctx, sealItem(t, intake, "p1", "x")) // so that keys are there to be printed
	require.NoError(t, err)
	key, input, base := bodyKeyOf(t)
	c := anyCredential(t)

	seed, _ := vector.prf(t, "rahasia/inbox-key/v1", "branches")
	sender, _ := vector.prf(t, "rahasia/inbox-sender/v1", "branches", "solo-1")
	private, err := kem().NewPrivateKey(seed)
	require.NoError(t, err)
	raw, err := private.Bytes()
	require.NoError(t, err)
	var secrets []string
	for _, s := range [][]byte{
		seed, sender, raw, secret.Expose(input), base, secret.Expose(c.key), mustHex(t, vector.Key),
	} {
		secrets = append(secrets, spellings(s[:8])...)
	}
	type nested struct {
		hidden any
		Shown  any
	}
	for _, v := range []any{topic, inbox, intake, key, *c, inbox.keys, intake.state} {
		for _, holder := range []any{v, nested{v, v}, &nested{v, v}, []any{v}, map[string]any{"a": v}, fmt.Errorf("%v", v)} {
			for _, text := range printings(holder) {
				for _, s := range secrets {
					require.NotContains(t, text, s, "%T", v)
				}
			}
		}
	}
	for _, holder := range []any{*topic, *inbox, *intake, struct{ i Intake }{*intake}, struct{ i Inbox }{*inbox}} {
		for _, text := range printings(holder) {
			for _, s := range secrets {
				require.NotContains(t, text, s)
			}
		}
	}
	for want, v := range map[string]any{
		"envelope.Topic(lab)": topic, "envelope.Inbox(branches)": inbox, "envelope.Intake(solo-1)": intake, "envelope.Intake()": new(Intake),
	} {
		require.Equal(t, want, fmt.Sprintf("%+v", v))
		require.Equal(t, want, v.(interface{ LogValue() slog.Value }).LogValue().String())
	}
}

// bodyKeyOf returns the key of an item's body, and what is in it.
func bodyKeyOf(t *testing.T) (key chunked.Key, input secret.Key, base []byte) {
	input, err := secret.NewKey(bytes.Repeat([]byte{0x77}, 32))
	require.NoError(t, err)
	expander, err := secret.NewExpander(input)
	require.NoError(t, err)
	key, head := chunked.New(expander, []byte("context"))
	info := "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + string(head[:24]) + "context"
	out, err := hkdf.Expand(sha512.New, secret.Expose(input), info, 32+12+32)
	require.NoError(t, err)
	require.Equal(t, head[24:], out[44:])
	return key, input, out[32:44]
}

// TestLeakInboxErrors: errors name topic, inbox, sender and stage, and no
// window of a payload, a subject id or a credential.
func TestLeakInboxErrors(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", "topic/lab", "inbox/branches", "clinical")
	topic, inbox := newTopic(t, "lab", ring), newInbox(t, "branches", ring)
	const subject, payload = "pasien-0123456789", "kept in confidence"
	_, err := ring.CreateSubject(ctx, subject, "clinical")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "c")
	require.NoError(t, inbox.Enrol(ctx, "solo-1", path))
	intake, err := OpenIntake(path)
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	m, i := message(t, topic, subject, payload), sealItem(t, intake, subject, payload)

	var errs []error
	add := func(err error) {
		t.Helper()
		require.Error(t, err)
		errs = append(errs, err)
	}
	for at := range m {
		bad := bytes.Clone(m)
		bad[at] ^= 0x40
		_, _, err := topic.Open(ctx, bad)
		add(err)
		add(checkMessage(m[:at]))
	}
	for at := 0; at < len(i); at += 7 {
		bad := bytes.Clone(i)
		bad[at] ^= 0x40
		_, err := inbox.Open(ctx, bad)
		add(err)
		add(checkItem(i[:at]))
	}
	for at := 0; at < len(text); at += 11 {
		_, err := parseCredential(text[:at])
		add(err)
		bad := bytes.Clone(text)
		bad[at] ^= 1
		_, err = parseCredential(bad)
		add(err)
	}
	add(new(Message).UnmarshalText([]byte(payload)))
	add(new(Item).UnmarshalJSON([]byte(`{"` + payload + `": 1}`)))
	_, err = topic.Seal(ctx, strings.Repeat(subject, 20), nil)
	add(err)
	_, err = intake.Seal(strings.Repeat(subject, 20), nil)
	add(err)
	add(inbox.Enrol(ctx, payload, path))
	add(inbox.Enrol(ctx, "s", path))
	_, err = ring.Shred(ctx, subject)
	require.NoError(t, err)
	_, _, err = topic.Open(ctx, m)
	add(err)
	require.ErrorContains(t, err, `topic "lab"`)
	_, err = topic.Seal(ctx, subject, nil)
	add(err)
	_, err = inbox.Open(ctx, i)
	add(err)
	require.ErrorContains(t, err, `inbox "branches"`)

	const window = 6
	for _, hidden := range []string{subject, payload, string(text[40:]), string(m[5:]), string(i[20:200])} {
		for at := 0; at+window <= len(hidden); at++ {
			for _, err := range errs {
				if strings.Contains(err.Error(), hidden[at:at+window]) {
					t.Fatalf("%q shows %q", err, hidden[at:at+window])
				}
			}
		}
	}
	for _, err := range errs {
		require.True(t, strings.HasPrefix(err.Error(), "envelope: "), err.Error())
		require.Less(t, len(err.Error()), 250)
	}
}
