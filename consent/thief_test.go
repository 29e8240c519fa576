package consent

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// resigned is a signed note with its signature line altered, or another beside it.
func resigned(note, name string) map[string]string {
	body, line, _ := strings.Cut(strings.TrimSuffix(note, "\n"), "\n\n")
	_, b64, _ := strings.Cut(strings.TrimPrefix(line, "— "), " ")
	spare := b64[:len(b64)-2] + string(b64[len(b64)-2]+1) + "="
	return map[string]string{
		"twice":                     body + "\n\n" + line + "\n" + line + "\n",
		"and one that says nothing": body + "\n\n" + line + "\n— " + name + " " + b64[:8] + "AAAA" + "\n",
		"and one of another":        body + "\n\n" + line + "\n— witness " + b64 + "\n",
		"another's before it":       body + "\n\n— witness " + b64 + "\n" + line + "\n",
		"in another base64":         body + "\n\n— " + name + " " + spare + "\n",
	}
}

// TestThiefReceiptSignatures: a receipt is one text with one signature, in one
// spelling; notes are read with signatures dropped that are there twice.
func TestThiefReceiptSignatures(t *testing.T) {
	cfg := memoryConfig(t)
	_, receipt := receiptFor(t, cfg, ayu.ID)
	keys, err := cfg.ReceiptKeys(context.Background())
	require.NoError(t, err)
	_, err = CheckReceipt(receipt, keys...)
	require.NoError(t, err)
	for name, altered := range resigned(string(receipt), receiptOrigin(cfg.Ring.ID())) {
		_, err := CheckReceipt([]byte(altered), keys...)
		require.ErrorIs(t, err, ErrReceipt, name)
	}
}

// TestThiefExtractSignatures: nor does a patient's file prove anything with a
// checkpoint that is not as it was signed.
func TestThiefExtractSignatures(t *testing.T) {
	cfg := memoryConfig(t)
	file, vkey := extracted(t, cfg)
	var x extract
	require.NoError(t, json.Unmarshal(file, &x))
	for name, altered := range resigned(x.Checkpoint, "rahasia/"+cfg.Ring.ID()) {
		y := x
		y.Checkpoint = altered
		text, err := y.encode()
		require.NoError(t, err)
		_, err = CheckExtract(text, vkey)
		require.ErrorIs(t, err, ErrTampered, name)
	}
}

// TestThiefSuspendedLedger: whoever takes the key away under which a patient's
// refusal is sealed does not make it unsaid.
func TestThiefSuspendedLedger(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu)
	_, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: true})
	require.NoError(t, err)
	_, err = cfg.Ring.Rotate(ctx, evidence.ChainKeyset)
	require.NoError(t, err)
	_, err = cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	denied := (*DeniedError)(nil)
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorAs(t, err, &denied)
	require.NoError(t, cfg.Ring.SetState(ctx, evidence.ChainKeyset, 1, keyring.Suspended))
	cfg.Ledger.replayed().of = nil // as of a patient who was not asked for of late
	p, err := open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, keyring.ErrUnknownVersion)
	require.Empty(t, p.Name)
	_, err = cfg.Ledger.Of(ctx, ayu.ID)
	require.Error(t, err)
	require.NoError(t, cfg.Ring.SetState(ctx, evidence.ChainKeyset, 1, keyring.Deactivated))
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorAs(t, err, &denied)
}

// TestThiefReversalKind: what an authority is asked is written down, and so it must
// be what can be read again: an entry that cannot would close the whole log.
func TestThiefReversalKind(t *testing.T) {
	ctx := context.Background()
	cfg, _ := boardConfig(t)
	for _, kind := range []pseudo.Kind{"\xff", "", pseudo.Kind(strings.Repeat("k", maxText+1))} {
		err := cfg.Authority(board).Authorize(ctx, pseudo.Reversal{Domain: studyDomain, Kind: kind, Count: 1})
		require.ErrorIs(t, err, ErrRequest, "%q", kind)
	}
	_, err := cfg.Log.Verify(ctx)
	require.NoError(t, err)
}
