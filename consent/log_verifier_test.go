package consent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A second verifier, written from the texts alone: https://c2sp.org/signed-note,
// https://c2sp.org/tlog-checkpoint, and RFC 9162, 2.1.3.2 and 2.1.4.2, whose trees
// are those of RFC 6962.

type witnessed struct {
	size int64
	root []byte
}

func readCheckpoint(vkey string, checkpoint []byte) (w witnessed, err error) {
	parts := strings.SplitN(vkey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != 1 {
		return w, fmt.Errorf("key: %w", err)
	}
	text, signatures, ok := bytes.Cut(checkpoint, []byte("\n\n"))
	if !ok {
		return w, fmt.Errorf("no signature")
	}
	text = append(bytes.Clone(text), '\n')
	line, ok := bytes.CutPrefix(bytes.TrimSuffix(signatures, []byte("\n")), []byte("\u2014 "+parts[0]+" "))
	sig, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil || !ok || len(sig) != 68 || fmt.Sprintf("%x", sig[:4]) != parts[1] || !ed25519.Verify(key[1:], text, sig[4:]) {
		return w, fmt.Errorf("signature: %w", err)
	}
	id := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	if binary.BigEndian.Uint32(id[:]) != binary.BigEndian.Uint32(sig) {
		return w, fmt.Errorf("key hash")
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || lines[0] != parts[0] {
		return w, fmt.Errorf("text")
	}
	if w.size, err = strconv.ParseInt(lines[1], 10, 64); err == nil {
		w.root, err = base64.StdEncoding.DecodeString(lines[2])
	}
	return w, err
}

func leafHash(leaf []byte) []byte { h := sha256.Sum256(append([]byte{0}, leaf...)); return h[:] }

func nodeHash(l, r []byte) []byte {
	h := sha256.Sum256(append(append([]byte{1}, l...), r...))
	return h[:]
}

func included(w witnessed, index int64, leaf []byte, path [][]byte) bool {
	if index >= w.size {
		return false
	}
	fn, sn, r := index, w.size-1, leafHash(leaf)
	for _, p := range path {
		if sn == 0 {
			return false
		}
		if fn&1 == 1 || fn == sn {
			r = nodeHash(p, r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = nodeHash(r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	return sn == 0 && bytes.Equal(r, w.root)
}

func consistent(older, newer witnessed, path [][]byte) bool {
	if older.size == newer.size {
		return len(path) == 0 && bytes.Equal(older.root, newer.root)
	}
	if older.size&(older.size-1) == 0 {
		path = append([][]byte{older.root}, path...)
	}
	if len(path) == 0 {
		return false
	}
	fn, sn := older.size-1, newer.size-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	fr, sr := path[0], path[0]
	for _, c := range path[1:] {
		if sn == 0 {
			return false
		}
		if fn&1 == 1 || fn == sn {
			fr, sr = nodeHash(c, fr), nodeHash(c, sr)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			sr = nodeHash(sr, c)
		}
		fn, sn = fn>>1, sn>>1
	}
	return sn == 0 && bytes.Equal(fr, older.root) && bytes.Equal(sr, newer.root)
}

// TestTamperWitness: what the log proves, a verifier of other hands accepts; and
// neither accepts another place, leaf, hash or checkpoint.
func TestTamperWitness(t *testing.T) {
	ctx := context.Background()
	cfg, _ := sqlConfig(t)
	l := cfg.Log
	vkey, err := l.VerifierKey(ctx)
	require.NoError(t, err)
	var checkpoints [][]byte
	var heads []witnessed
	for i := range 11 {
		bodies := make([]*logBody, 1+i%3)
		for j := range bodies {
			bodies[j] = &logBody{Action: "open", Outcome: "done", Actor: fmt.Sprint(i, j)}
		}
		require.NoError(t, l.append(ctx, bodies...))
		c, err := l.Checkpoint(ctx)
		require.NoError(t, err)
		w, err := readCheckpoint(vkey, c)
		require.NoError(t, err)
		checkpoints, heads = append(checkpoints, c), append(heads, w)
	}
	last := len(heads) - 1
	for i := range heads[last].size {
		p, err := l.Prove(ctx, i)
		require.NoError(t, err)
		var path [][]byte
		for _, h := range p.Hashes {
			path = append(path, h[:])
		}
		w, err := readCheckpoint(vkey, p.Checkpoint)
		require.NoError(t, err)
		require.True(t, included(w, i, p.Leaf, path))
		require.False(t, included(w, i^1, p.Leaf, path))
		require.False(t, included(w, i, append(p.Leaf, 0), path))
	}
	for i := range heads {
		for j := i; j <= last; j++ {
			c, err := l.ProveConsistency(ctx, checkpoints[i], checkpoints[j])
			require.NoError(t, err)
			require.NoError(t, c.Check(vkey))
			var path [][]byte
			for _, h := range c.Hashes {
				path = append(path, h[:])
			}
			require.True(t, consistent(heads[i], heads[j], path))
			if i == j {
				continue
			}
			_, err = l.ProveConsistency(ctx, checkpoints[j], checkpoints[i])
			require.ErrorIs(t, err, ErrTampered)
			wrong := *c
			wrong.Older = checkpoints[(i+1)%len(checkpoints)]
			if i+1 != j {
				require.ErrorIs(t, wrong.Check(vkey), ErrTampered)
			}
			if len(path) > 0 {
				c.Hashes[0][0] ^= 1
				require.ErrorIs(t, c.Check(vkey), ErrTampered)
				require.False(t, consistent(heads[i], heads[j], [][]byte{c.Hashes[0][:]}))
			}
		}
	}
	c := Consistency{checkpoints[0], checkpoints[1], nil}
	for _, keys := range [][]string{nil, {"no key"}, {vkey, "no key"}} {
		require.ErrorIs(t, c.Check(keys...), ErrTampered)
	}
}
