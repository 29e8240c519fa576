package consent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// extracted is the file of a patient with three entries, among another's.
func extracted(t testing.TB, cfg *Config) (file []byte, vkey string) {
	t.Helper()
	ctx := context.Background()
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	budi := ayu
	budi.ID = "p-budi"
	sealed(t, r, budi, Treatment)
	_, _ = open(r, ayu.ID, row.Sealed, care)
	_, _ = open(r, ayu.ID, row.Sealed, Request{Purpose: Marketing, Actor: "ads <&>"})
	file, err := cfg.Log.Extract(ctx, ayu.ID)
	require.NoError(t, err)
	vkey, err = cfg.Log.VerifierKey(ctx)
	require.NoError(t, err)
	return file, vkey
}

func TestExtract(t *testing.T) {
	ctx := context.Background()
	cfg, _ := sqlConfig(t)
	file, vkey := extracted(t, cfg)
	got, err := CheckExtract(file, vkey)
	require.NoError(t, err)
	want, err := cfg.Log.History(ctx, ayu.ID)
	require.NoError(t, err)
	require.Equal(t, want, got)
	var did []string
	for _, e := range got {
		require.Equal(t, ayu.ID, e.Subject)
		did = append(did, e.Action+" "+e.Outcome)
	}
	require.Equal(t, []string{"seal done", "give done", "open done", "open refused"}, did)
	require.NotEmpty(t, got[2].Consents)
	for _, v := range []string{ayu.NIK, ayu.Name, *ayu.Phone, ayu.Diagnosis[0], "p-budi"} {
		require.NotContains(t, string(file), v)
	}

	_, err = cfg.Erase(ctx, ayu.ID, "clerk")
	require.NoError(t, err)
	_, err = cfg.Log.Extract(ctx, ayu.ID)
	require.ErrorIs(t, err, keyring.ErrShredded)
	again, err := CheckExtract(file, vkey)
	require.NoError(t, err, "the file proves as before")
	require.Equal(t, got, again)
	var x extract
	require.NoError(t, json.Unmarshal(file, &x))
	newer, err := cfg.Log.Checkpoint(ctx)
	require.NoError(t, err)
	c, err := cfg.Log.ProveConsistency(ctx, []byte(x.Checkpoint), newer)
	require.NoError(t, err, "the log still holds what the file holds")
	require.NoError(t, c.Check(vkey))

	_, err = cfg.Log.Extract(ctx, "nobody")
	require.ErrorIs(t, err, keyring.ErrNoSubjectKey)
}

// TestExtractAfterRotation: the head is signed by the newest key.
func TestExtractAfterRotation(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	_, older := extracted(t, cfg)
	_, err := cfg.Ring.Rotate(ctx, evidence.TreeKeyset)
	require.NoError(t, err)
	require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "open", Outcome: "done"}))
	file, err := cfg.Log.Extract(ctx, ayu.ID)
	require.NoError(t, err)
	newer, err := cfg.Log.VerifierKey(ctx)
	require.NoError(t, err)
	_, err = CheckExtract(file, older)
	require.ErrorIs(t, err, ErrTampered)
	entries, err := CheckExtract(file, older, newer)
	require.NoError(t, err)
	require.Len(t, entries, 4)
}

// TestTamperExtract: whoever changes anything in the file, or puts together one
// of true parts, is found out.
func TestTamperExtract(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	file, vkey := extracted(t, cfg)
	other, err := cfg.Log.Extract(ctx, "p-budi")
	require.NoError(t, err)
	var of extract
	require.NoError(t, json.Unmarshal(other, &of))
	for name, attack := range map[string]func(x *extract){
		"another actor":               func(x *extract) { x.Entries[2].Actor = "nobody" },
		"another outcome":             func(x *extract) { x.Entries[3].Outcome = "done" },
		"another field":               func(x *extract) { x.Entries[2].Fields[0] = "NIK " },
		"another record":              func(x *extract) { x.Entries[2].Record = "r" },
		"another time":                func(x *extract) { x.Entries[2].Time = x.Entries[2].Time.Add(1) },
		"another consent":             func(x *extract) { x.Entries[2].Consents = nil },
		"another subject":             func(x *extract) { x.Subject = "p-budi" },
		"no subject":                  func(x *extract) { x.Subject = "" },
		"another patient's entry":     func(x *extract) { x.Entries = append(x.Entries[:2:2], of.Entries[0]) },
		"... under this one's name":   func(x *extract) { x.Entries[2].Proof, x.Entries[2].Index = of.Entries[0].Proof, of.Entries[0].Index },
		"another entry's opening":     func(x *extract) { x.Entries[2].Proof.Opening = x.Entries[3].Proof.Opening },
		"another entry's naming":      func(x *extract) { x.Entries[2].Proof.Naming = x.Entries[0].Proof.Naming },
		"no naming":                   func(x *extract) { x.Entries[2].Proof.Naming = nil },
		"another entry's leaf":        func(x *extract) { x.Entries[2].Proof.Leaf = x.Entries[3].Proof.Leaf },
		"a short leaf":                func(x *extract) { x.Entries[2].Proof.Leaf = x.Entries[2].Proof.Leaf[:10] },
		"another entry's hashes":      func(x *extract) { x.Entries[2].Proof.Hashes = x.Entries[0].Proof.Hashes },
		"a short hash":                func(x *extract) { x.Entries[2].Proof.Hashes[0] = x.Entries[2].Proof.Hashes[0][1:] },
		"another entry's place":       func(x *extract) { x.Entries[0].Index++ },
		"an entry twice":              func(x *extract) { x.Entries = append(x.Entries, x.Entries[3]) },
		"another order":               func(x *extract) { x.Entries[0], x.Entries[1] = x.Entries[1], x.Entries[0] },
		"another log's checkpoint":    func(x *extract) { x.Checkpoint = strings.Replace(x.Checkpoint, "ring", "rang", 1) },
		"another size":                func(x *extract) { x.Checkpoint = strings.Replace(x.Checkpoint, "\n6\n", "\n7\n", 1) },
		"another schema":              func(x *extract) { x.SchemaVersion = "rahasia/log-extract/v2" },
		"an entry that nobody proves": func(x *extract) { x.Entries = append(x.Entries, extractEntry{Index: 9, Action: "open"}) },
	} {
		t.Run(name, func(t *testing.T) {
			var x extract
			require.NoError(t, json.Unmarshal(file, &x))
			attack(&x)
			changed, err := x.encode()
			require.NoError(t, err)
			require.NotEqual(t, string(file), string(changed), "the attack did nothing")
			entries, err := CheckExtract(changed, vkey)
			require.ErrorIs(t, err, ErrTampered)
			require.Nil(t, entries)
		})
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for i := 0; i < len(file); i += step {
		changed := bytes.Clone(file)
		changed[i] ^= 1
		_, err := CheckExtract(changed, vkey)
		require.ErrorIs(t, err, ErrTampered, "byte %d", i)
	}
	for _, keys := range [][]string{nil, {"no key"}, {vkey, "no key"}} {
		_, err = CheckExtract(file, keys...)
		require.ErrorIs(t, err, ErrTampered)
	}
	for _, more := range []string{" ", "{}", `{"schema_version":"rahasia/log-extract/v1"}`} {
		_, err = CheckExtract([]byte(string(file)+more), vkey)
		require.ErrorIs(t, err, ErrTampered)
		_, err = CheckExtract([]byte(more), vkey)
		require.ErrorIs(t, err, ErrTampered)
	}
}

// TestTamperCommitment: a house that seals one thing and commits to another is
// found out by its own log.
func TestTamperCommitment(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	ks, err := cfg.Ring.Keyset(ctx, evidence.TreeKeyset)
	require.NoError(t, err)
	aead, err := ks.Sealer(ks.Primary(), labelLogSeal)
	require.NoError(t, err)
	plain, err := encode(&logBody{Action: "open", Outcome: "done", Actor: "a"})
	require.NoError(t, err)
	told, err := encode(&logBody{Action: "open", Outcome: "done", Actor: "b"})
	require.NoError(t, err)
	sum, _ := commit(labelLogCommit, told)
	_, opening := commit(labelLogCommit, plain)
	head := append([]byte{leafFormat, 0, 0, 0, 1}, sum[:]...)
	require.NoError(t, cfg.Log.tree().Append(ctx, secret.SealRandom(aead, head, evidence.Pad(opening), cfg.Log.bound(nil, head))))
	_, err = cfg.Log.Verify(ctx)
	require.ErrorIs(t, err, ErrTampered)
}

func commit(label string, text []byte) (sum [sha256.Size]byte, opening []byte) {
	b, at := beginCommitment(nil, label)
	b = append(b, text...)
	return sha256.Sum256(b), b[at:]
}

// TestCommitment: what opens one opens nothing else, and two of the same differ.
func TestCommitment(t *testing.T) {
	text := []byte("open done")
	sum, opening := commit(labelLogCommit, text)
	got, ok := committed(labelLogCommit, sum[:], opening)
	require.True(t, ok)
	require.Equal(t, text, got)
	second, _ := commit(labelLogCommit, text)
	require.NotEqual(t, sum, second, "without a salt it could be tried out")
	for name, wrong := range map[string]func() ([]byte, bool){
		"another label": func() ([]byte, bool) { return committed(labelLogNaming, sum[:], opening) },
		"another salt": func() ([]byte, bool) {
			return committed(labelLogCommit, sum[:], append([]byte{opening[0] ^ 1}, opening[1:]...))
		},
		"another text":  func() ([]byte, bool) { return committed(labelLogCommit, sum[:], append(opening, 0)) },
		"no salt":       func() ([]byte, bool) { return committed(labelLogCommit, sum[:], opening[:saltSize-1]) },
		"a shorter sum": func() ([]byte, bool) { return committed(labelLogCommit, sum[:31], opening) },
	} {
		_, ok := wrong()
		require.False(t, ok, name)
	}
}

// FuzzExtract: nothing passes but what was made, and no refusal quotes the file.
func FuzzExtract(f *testing.F) {
	file, vkey := extracted(f, memoryConfig(f))
	f.Add(file)
	f.Add([]byte(`{"schema_version":"rahasia/log-extract/v1","subject":"p-ayu","checkpoint":"","entries":[]}`))
	f.Add([]byte(`{"schema_version":"rahasia/log-extract/v1","entries":[{"index":-1,"proof":{"leaf":"UQ==","hashes":[""]}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := CheckExtract(b, vkey)
		if err == nil {
			if !bytes.Equal(b, file) && len(entries) > 0 {
				var x extract
				require.NoError(t, json.Unmarshal(b, &x))
				require.Less(t, len(x.Entries), 4, "a part of the file, and nothing else")
			}
			return
		}
		require.ErrorIs(t, err, ErrTampered)
		require.Nil(t, entries)
		require.Less(t, len(err.Error()), 100)
	})
}
