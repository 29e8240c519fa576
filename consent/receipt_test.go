package consent

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/keyring"
)

var clinicNotice = Notice{
	URI: "https://clinic.example/notice/2026-01", Text: "Kami memproses data Anda untuk pelayanan.", Language: Indonesian,
	Controllers: []Party{{"clinic", "Klinik Contoh", "Jl. Contoh 1, Jakarta", "privacy@clinic.example", "clinic"}},
	Information: []string{"diagnoses", "contact data"}, Storage: []string{"ID"},
	Retention: "25 years from the last visit", Withdrawal: "https://clinic.example/withdraw", Jurisdiction: "ID",
}

// receiptFor gives a consent that has everything in it, and its receipt.
func receiptFor(t *testing.T, cfg *Config, subject string) (id string, receipt []byte) {
	t.Helper()
	id, err := cfg.Give(context.Background(), Consent{
		Subject: subject, Purposes: []Purpose{Treatment}, Actors: []string{"dr-ayu"}, Sensitivity: []Label{"HIV"}, Until: noon.AddDate(1, 0, 0),
		Except:  []Rule{{Refused: true, Data: Selection{Authors: []string{"dr-b"}, From: noon}}},
		GivenBy: &Representative{ID: "9271060312000009", Relation: "MTH"},
	})
	require.NoError(t, err)
	receipt, err = cfg.Receipt(context.Background(), subject, id, "clerk-2", clinicNotice)
	require.NoError(t, err)
	return id, receipt
}

func TestReceiptWithinASecond(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	id, _ := receiptFor(t, cfg, "p-1")
	cfg.Now = func() time.Time { return noon.Add(300 * time.Millisecond) }
	require.NoError(t, cfg.Withdraw(ctx, "p-1", id, "clerk"))
	cfg.Now = func() time.Time { return noon.Add(600 * time.Millisecond) }
	file, err := cfg.Receipt(ctx, "p-1", id, "clerk", clinicNotice)
	require.NoError(t, err)
	keys, err := cfg.ReceiptKeys(ctx)
	require.NoError(t, err)
	r, err := CheckReceipt(file, keys...)
	require.NoError(t, err)
	require.Equal(t, "withdrawn", r.EventState)
}

func TestReceipt(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	const nik = "9271060312000001"
	id, receipt := receiptFor(t, cfg, nik)
	keys, err := cfg.ReceiptKeys(ctx)
	require.NoError(t, err)
	require.Len(t, keys, 1)

	r, err := CheckReceipt(receipt, keys...)
	require.NoError(t, err)
	require.Equal(t, id, r.RecordID)
	require.Equal(t, "given", r.EventState)
	require.Equal(t, "consent", r.EventType)
	require.True(t, noon.Equal(r.EventTime))
	require.Equal(t, "MTH", r.Relation)
	require.Len(t, r.PrincipalID, 32)
	require.NotEqual(t, r.PrincipalID, r.EventBy)
	sum := sha256.Sum256([]byte(clinicNotice.Text))
	require.Equal(t, hex.EncodeToString(sum[:]), r.NoticeSHA256)
	require.Equal(t, []string{"dr-ayu"}, r.Rules[0].Actors)
	require.Equal(t, []string{"dr-b"}, r.Rules[1].Authors)
	require.True(t, r.Rules[1].Refused)

	for _, secret := range []string{nik, "9271060312000009", clinicNotice.Text} {
		require.NotContains(t, string(receipt), secret)
	}
	second, err := cfg.Receipt(ctx, nik, id, "clerk-2", clinicNotice)
	require.NoError(t, err)
	other, err := CheckReceipt(second, keys...)
	require.NoError(t, err)
	require.Equal(t, r.PrincipalID, other.PrincipalID)
	require.NotEqual(t, r.ReceiptID, other.ReceiptID)
}

// TestReceiptFields: every field that CONSENT's table of ISO/IEC TS 27560 has as mandatory.
func TestReceiptFields(t *testing.T) {
	cfg := memoryConfig(t)
	_, receipt := receiptFor(t, cfg, "p")
	line, _, _ := strings.Cut(string(receipt), "\n")
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &got))
	for _, name := range []string{
		"schema_version", "record_id", "receipt_id", "pii_principal_id", "privacy_notice", "language", "pii_information", "pii_controllers",
		"storage_locations", "retention_period", "jurisdiction", "withdrawal_method", "event_time", "valid_until", "event_entity_id", "event_type", "event_state", "lawful_basis",
	} {
		require.NotEmpty(t, got[name], name)
	}
	for _, name := range []string{"party_id", "party_name", "party_address", "party_contact", "party_type"} {
		require.NotEmpty(t, got["pii_controllers"].([]any)[0].(map[string]any)[name], name)
	}
	require.Equal(t, []any{"TREAT"}, got["rules"].([]any)[0].(map[string]any)["purposes"])
}

// TestReceiptIndependent verifies by nothing but the public key and Ed25519.
func TestReceiptIndependent(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	_, receipt := receiptFor(t, cfg, "p")
	keys, err := cfg.ReceiptKeys(ctx)
	require.NoError(t, err)
	parts := strings.SplitN(keys[0], "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	require.NoError(t, err)
	require.EqualValues(t, 1, key[0], "Ed25519")
	text, sig, ok := strings.Cut(string(receipt), "\n\n— "+parts[0]+" ")
	require.True(t, ok)
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(sig, "\n"))
	require.NoError(t, err)
	hash := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	require.Equal(t, binary.BigEndian.Uint32(hash[:4]), binary.BigEndian.Uint32(raw[:4]))
	require.True(t, ed25519.Verify(key[1:], []byte(text+"\n"), raw[4:]))
}

func TestReceiptStates(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	now := noon
	cfg.Now = func() time.Time { return now }
	give := func(c Consent) string {
		c.Subject, c.Purposes = "p", []Purpose{Treatment}
		id, err := cfg.Give(ctx, c)
		require.NoError(t, err)
		return id
	}
	withdrawn, old := give(Consent{}), give(Consent{})
	expired, refused := give(Consent{Until: noon.Add(time.Minute)}), give(Consent{Refused: true, Hold: true})
	represented := give(Consent{GivenBy: &Representative{ID: "m", Until: noon.Add(time.Minute)}})
	give(Consent{Supersedes: old})
	now = now.Add(time.Hour)
	require.NoError(t, cfg.Withdraw(ctx, "p", withdrawn, "clerk"))
	keys, err := cfg.ReceiptKeys(ctx)
	require.NoError(t, err)
	for id, want := range map[string]string{withdrawn: "withdrawn", old: "superseded", expired: "expired", refused: "given", represented: "representation-ended"} {
		receipt, err := cfg.Receipt(ctx, "p", id, "clerk-2", clinicNotice)
		require.NoError(t, err)
		r, err := CheckReceipt(receipt, keys...)
		require.NoError(t, err)
		require.Equal(t, want, r.EventState)
		require.True(t, noon.Equal(r.EventTime))
		require.Equal(t, want == "withdrawn" || want == "superseded", r.EventEnded != nil)
		require.Equal(t, id == refused, r.EventType == "refusal" && r.Rules[0].Hold)
	}
}

// TestAttackReceipt: no byte of a receipt can be changed, added or left out, no
// second form of the same passes, and no other key's signature.
func TestAttackReceipt(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	_, receipt := receiptFor(t, cfg, "p")
	keys, err := cfg.ReceiptKeys(ctx)
	require.NoError(t, err)
	for i := range receipt {
		for _, bit := range []byte{1, 2, 0x20} {
			bad := append([]byte(nil), receipt...)
			bad[i] ^= bit
			_, err := CheckReceipt(bad, keys...)
			require.ErrorIs(t, err, ErrReceipt, i)
		}
		_, err = CheckReceipt(receipt[:i], keys...)
		require.ErrorIs(t, err, ErrReceipt, i)
	}
	_, err = CheckReceipt(append(append([]byte(nil), receipt...), '\n'), keys...)
	require.ErrorIs(t, err, ErrReceipt)
	_, err = CheckReceipt(receipt)
	require.ErrorIs(t, err, ErrReceipt, "no key")
	_, err = CheckReceipt(receipt, "no key")
	require.ErrorIs(t, err, ErrReceipt)

	// The spare bits of the signature's last character, and a second signature.
	last := len(receipt) - len("=\n") - 1
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	require.EqualValues(t, '=', receipt[last+1])
	spare := append([]byte(nil), receipt...)
	spare[last] = alphabet[strings.IndexByte(alphabet, receipt[last])|1]
	require.NotEqual(t, receipt, spare)
	_, err = CheckReceipt(spare, keys...)
	require.ErrorIs(t, err, ErrReceipt)
	sigs := receipt[strings.LastIndex(string(receipt), "\n\n")+2:]
	_, err = CheckReceipt(append(append([]byte(nil), receipt...), strings.Replace(string(sigs), " rahasia", " x", 1)...), keys...)
	require.ErrorIs(t, err, ErrReceipt)

	// Another house's, and the log's.
	foreign := memoryConfig(t)
	_, err = foreign.Receipt(ctx, "p", "none", "clerk-2", clinicNotice)
	require.ErrorIs(t, err, ErrNoConsent)
	others, err := foreign.ReceiptKeys(ctx)
	require.NoError(t, err)
	_, err = CheckReceipt(receipt, others...)
	require.ErrorIs(t, err, ErrReceipt)
	logKey, err := cfg.Log.VerifierKey(ctx)
	require.NoError(t, err)
	head, err := cfg.Log.Checkpoint(ctx)
	require.NoError(t, err)
	for _, key := range []string{logKey, keys[0]} {
		_, err = CheckReceipt(head, key)
		require.ErrorIs(t, err, ErrReceipt)
	}

	// Signed, but not as this package writes it.
	ks, err := cfg.Ring.Keyset(ctx, evidence.TreeKeyset)
	require.NoError(t, err)
	key, err := newReceiptSigner(cfg.Ring, ks, ks.Primary())
	require.NoError(t, err)
	line, _, _ := strings.Cut(string(receipt), "\n")
	for name, text := range map[string]string{
		"as it is": line + "\n", "a space": strings.Replace(line, ":", ": ", 1) + "\n", "another name": strings.Replace(line, "schema_version", "Schema_version", 1) + "\n",
		"unknown": strings.Replace(line, "{", `{"x":1,`, 1) + "\n", "twice": strings.Replace(line, "{", `{"language":"en",`, 1) + "\n",
		"another version": strings.Replace(line, "receipt/v1", "receipt/v2", 1) + "\n", "no JSON": "x\n",
	} {
		signed, err := note.Sign(&note.Note{Text: text}, key)
		require.NoError(t, err)
		_, err = CheckReceipt(signed, keys...)
		require.Equal(t, name != "as it is", err != nil, name)
	}
}

// TestReceiptRotation: receipts outlive the key that signed them.
func TestReceiptRotation(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	id, old := receiptFor(t, cfg, "p")
	before, err := cfg.ReceiptKeys(ctx)
	require.NoError(t, err)
	_, err = cfg.Ring.Rotate(ctx, evidence.TreeKeyset)
	require.NoError(t, err)
	keys, err := cfg.ReceiptKeys(ctx)
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.Equal(t, before[0], keys[1], "the newest is first")
	_, err = CheckReceipt(old, keys...)
	require.NoError(t, err)
	receipt, err := cfg.Receipt(ctx, "p", id, "clerk-2", clinicNotice)
	require.NoError(t, err)
	_, err = CheckReceipt(receipt, keys[0])
	require.NoError(t, err)
}

// TestReceiptIsLogged: no receipt leaves without its entry, and the patient sees it.
func TestReceiptIsLogged(t *testing.T) {
	ctx := context.Background()
	cfg, db := sqlConfig(t)
	id, _ := receiptFor(t, cfg, "p")
	e := lastOf(t, cfg, "p")
	require.Equal(t, []string{"receipt", "done", "clerk-2", id}, []string{e.Action, e.Outcome, e.Actor, e.Consents[0]})
	require.Equal(t, Treatment, e.Purpose)
	logged := len(entries(t, cfg.Log))
	_, err := cfg.Receipt(ctx, "p", "none", "clerk-2", clinicNotice)
	require.ErrorIs(t, err, ErrNoConsent)
	require.Len(t, entries(t, cfg.Log), logged, "nothing was issued")
	_, err = db.Exec(`CREATE TRIGGER full BEFORE INSERT ON consent_log BEGIN SELECT RAISE(ABORT, 'full'); END`)
	require.NoError(t, err)
	receipt, err := cfg.Receipt(ctx, "p", id, "clerk-2", clinicNotice)
	require.ErrorIs(t, err, ErrAudit)
	require.Nil(t, receipt)
}

func TestReceiptErrors(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	id, _ := receiptFor(t, cfg, "p")
	for name, spoil := range map[string]func(*Notice){
		"uri": func(n *Notice) { n.URI = "" }, "text": func(n *Notice) { n.Text = "" }, "language": func(n *Notice) { n.Language = "" },
		"controllers": func(n *Notice) { n.Controllers = nil }, "contact": func(n *Notice) { n.Controllers = []Party{{"a", "b", "c", "", "d"}} },
		"recipient": func(n *Notice) { n.Recipients = []Party{{}} }, "information": func(n *Notice) { n.Information = nil }, "storage": func(n *Notice) { n.Storage = []string{""} },
		"retention": func(n *Notice) { n.Retention = "" }, "withdrawal": func(n *Notice) { n.Withdrawal = "" }, "jurisdiction": func(n *Notice) { n.Jurisdiction = "" },
	} {
		n := clinicNotice
		spoil(&n)
		_, err := cfg.Receipt(ctx, "p", id, "clerk-2", n)
		require.ErrorIs(t, err, ErrNotice, name)
	}
	n := clinicNotice
	n.Retention = strings.Repeat("x", maxText+1)
	_, err := cfg.Receipt(ctx, "p", id, "clerk-2", n)
	require.ErrorIs(t, err, ErrLimit)
	_, err = cfg.Receipt(ctx, "p", id, "\xff", clinicNotice)
	require.ErrorIs(t, err, ErrLimit)
	_, err = cfg.Receipt(ctx, "", id, "clerk-2", clinicNotice)
	require.ErrorIs(t, err, ErrSubject)
	_, err = (*Config)(nil).Receipt(ctx, "p", id, "clerk-2", clinicNotice)
	require.ErrorIs(t, err, ErrConfig)
	_, err = (*Config)(nil).ReceiptKeys(ctx)
	require.ErrorIs(t, err, ErrConfig)
	far, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}, Until: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.NoError(t, err)
	_, err = cfg.Receipt(ctx, "p", far, "clerk-2", clinicNotice)
	require.ErrorIs(t, err, ErrLimit)
	_, err = cfg.Erase(ctx, "p", "clerk")
	require.NoError(t, err)
	_, err = cfg.Receipt(ctx, "p", id, "clerk-2", clinicNotice)
	require.ErrorIs(t, err, keyring.ErrShredded)
}

func ExampleConfig_Receipt() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "receipt")
	defer os.RemoveAll(dir)
	cfg, err := OpenDir(ctx, filepath.Join(dir, "demo"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cfg.Close()
	id, _ := cfg.Give(ctx, Consent{Subject: "p-ayu", Purposes: []Purpose{Treatment}})
	receipt, err := cfg.Receipt(ctx, "p-ayu", id, "clerk-2", clinicNotice) // for the patient to keep
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, _ := cfg.ReceiptKeys(ctx) // published

	r, err := CheckReceipt(receipt, keys...) // anybody, anywhere
	fmt.Println(r.EventType, r.EventState, r.Rules[0].Purposes, err)
	// Output: consent given [TREAT] <nil>
}

func FuzzCheckReceipt(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	vkey, err := note.NewEd25519VerifierKey(receiptOrigin("fuzz"), key.Public().(ed25519.PublicKey))
	require.NoError(f, err)
	v, err := note.NewVerifier(vkey)
	require.NoError(f, err)
	s := &receiptSigner{name: receiptOrigin("fuzz"), hash: v.KeyHash(), sign: func(msg []byte) []byte { return ed25519.Sign(key, msg) }}
	good, err := newReceipt(&Consent{ID: "c", Purposes: []Purpose{Treatment}, Until: noon}, clinicNotice).encode()
	require.NoError(f, err)
	f.Add(good)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = CheckReceipt(text, vkey) // as it comes
		signed, err := note.Sign(&note.Note{Text: string(text)}, s)
		if err != nil {
			return
		}
		r, err := CheckReceipt(signed, vkey)
		if err != nil {
			require.ErrorIs(t, err, ErrReceipt)
			require.Nil(t, r)
			return
		}
		again, err := r.encode()
		require.NoError(t, err)
		require.Equal(t, string(text), string(again), "two forms of one receipt")
	})
}
