package consent

import (
	"bytes"
	"maps"
	"testing"
)

// FuzzBody: an entry as it is written by hand is, byte for byte, what the CBOR
// library writes of it, and is read back as that or, where it holds what no caller
// may hand in, not at all.
func FuzzBody(f *testing.F) {
	f.Add(int64(1), "dr", "r", "TREAT", "open", "t", "a\x00b", "c", "done", "d", uint64(7), []byte{1}, 3, uint64(9), []byte{2}, uint32(5), 2)
	f.Add(int64(-1), "", "", "", "", "", "", "", "", "", uint64(0), []byte(nil), 0, uint64(0), []byte(nil), uint32(0), 0)
	f.Fuzz(func(t *testing.T, at int64, actor, role, purpose, action, kind, fields, more, outcome, decision string, ledger uint64, subject []byte, k int, seq uint64, mark []byte, version uint32, count int) {
		b := logBody{
			Time: at, Actor: actor, Role: role, Purpose: Purpose(purpose), Action: action, Type: kind, Outcome: outcome, Decision: decision, Ledger: ledger,
			Subject: subject, K: max(k, 0), Patient: mark, Count: max(count, 0), Recipient: more, Article: role, Justification: actor, Job: purpose,
		}
		if fields != "" {
			b.Fields = []string{fields, more}
		}
		b.under = keyVersions{{"a", version}, {"bb", ^version}}
		whole := b
		whole.Journal, whole.JournalHash = seq, bytes.Repeat([]byte{7}, 32)
		whole.Keys = map[string]uint32{"a": version, "bb": ^version}
		want, err := encode(&whole)
		got := b.appendTo(nil, seq, whole.JournalHash)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%x is written, and not %x (%v)", got, want, err)
		}
		var back logBody
		err = decode(got, &back)
		if readable := text(actor, role, purpose, action, kind, fields, more, outcome, decision); readable != (err == nil) && readable {
			t.Fatalf("%x is not read: %v", got, err)
		}
		if err == nil && (back.Actor != actor || !maps.Equal(back.Keys, whole.Keys) || back.Ledger != ledger) {
			t.Fatalf("%x is read otherwise", got)
		}
	})
}
