package evidence

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// TreeKeyset is the keyset from which a tree's signing key is derived by label.
const TreeKeyset = "consent/log"

const labelTreeSign = "rahasia/log-signer/v1"

// signer is a note.Signer whose key lives behind a closure.
type signer struct {
	name string
	hash uint32
	sign func([]byte) []byte
}

func (s *signer) Name() string                    { return s.name }
func (s *signer) KeyHash() uint32                 { return s.hash }
func (s *signer) Sign(msg []byte) ([]byte, error) { return s.sign(msg), nil }

// treeKeys is what the tree derives from one state of its keyset.
type treeKeys struct {
	of        *keyring.Keyset
	signer    *signer // of the primary version
	vkey      string  // the signer's verifier key
	verifiers note.Verifiers
}

// keys derives the signer and the verifiers, once for each state of the keyset.
func (t *Tree) keys(ctx context.Context) (*treeKeys, error) {
	ks, err := t.ring.Keyset(ctx, TreeKeyset)
	if err != nil {
		return nil, err
	}
	if k := t.derived.Load(); k != nil && k.of == ks {
		return k, nil
	}
	k := &treeKeys{of: ks}
	var all []note.Verifier
	for _, v := range ks.Versions() {
		s, ver, vkey, err := t.signerOf(ks, v)
		if err != nil {
			return nil, err
		}
		if all = append(all, ver); v == ks.Primary() {
			k.signer, k.vkey = s, vkey
		}
	}
	k.verifiers = note.VerifierList(all...)
	t.derived.Store(k)
	return k, nil
}

// signerOf derives the signing key of a keyset version, and its verifier.
func (t *Tree) signerOf(ks *keyring.Keyset, v uint32) (s *signer, ver note.Verifier, vkey string, err error) {
	k, err := ks.Derive(v, labelTreeSign)
	if err != nil {
		return nil, nil, "", err
	}
	key := ed25519.NewKeyFromSeed(secret.Expose(k))
	if vkey, err = note.NewEd25519VerifierKey(t.origin(), key.Public().(ed25519.PublicKey)); err != nil {
		return nil, nil, "", err
	}
	if ver, err = note.NewVerifier(vkey); err != nil {
		return nil, nil, "", err
	}
	return &signer{t.origin(), ver.KeyHash(), func(msg []byte) []byte { return ed25519.Sign(key, msg) }}, ver, vkey, nil
}

func (t *Tree) origin() string { return "rahasia/" + t.ring.ID() }

// sign returns the checkpoint of a tree: https://c2sp.org/tlog-checkpoint,
// signed as https://c2sp.org/signed-note.
func (t *Tree) sign(k *treeKeys, tree tlog.Tree) ([]byte, error) {
	return note.Sign(&note.Note{Text: checkpointText(t.origin(), tree)}, k.signer)
}

func checkpointText(origin string, t tlog.Tree) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, t.N, t.Hash)
}

// VerifierKey returns the public key that checkpoints are signed with now.
func (t *Tree) VerifierKey(ctx context.Context) (string, error) {
	k, err := t.keys(ctx)
	if err != nil {
		return "", err
	}
	return k.vkey, nil
}

// Checkpoint returns the signed head; nil for an empty tree.
func (t *Tree) Checkpoint(ctx context.Context) (head []byte, err error) {
	err = t.checked(ctx, func(v treeView, _ tlog.Tree) error {
		head, err = noteOf(v)
		return err
	})
	return head, err
}

func noteOf(v treeView) ([]byte, error) {
	s, err := v.state()
	return s.note, err
}

// Extends checks that the tree holds all that a checkpoint of it, kept
// elsewhere, held, unchanged and in place.
func (t *Tree) Extends(ctx context.Context, checkpoint []byte) error {
	keys, err := t.keys(ctx)
	if err != nil {
		return err
	}
	old, err := openCheckpoint(checkpoint, t.origin(), keys.verifiers)
	if err != nil {
		return err
	}
	return t.checked(ctx, func(v treeView, now tlog.Tree) error {
		return holds(v, now, old)
	})
}

// holds refuses the tree of v, of which now is the head, unless each of the old
// ones is its beginning.
func holds(v tlog.HashReader, now tlog.Tree, old ...tlog.Tree) error {
	for _, o := range old {
		if o.N > now.N {
			return fmt.Errorf("%d entries, where there were %d: %w: an older copy, or another", now.N, o.N, ErrTampered)
		}
		if o.N == 0 {
			continue
		}
		root, err := tlog.TreeHash(o.N, v)
		if err != nil {
			return err
		}
		if root != o.Hash {
			return fmt.Errorf("the first %d entries: %w: an older copy, or another", o.N, ErrTampered)
		}
	}
	return nil
}

// checked runs f on one state of the tree, in which everything that was appended
// before has its place.
func (t *Tree) checked(ctx context.Context, f func(v treeView, now tlog.Tree) error) error {
	if err := t.settle(ctx); err != nil {
		return err
	}
	return t.sound(ctx, f)
}

// sound runs f on one state of the tree, whose head is sound and which holds
// all that this process has seen.
func (t *Tree) sound(ctx context.Context, f func(v treeView, now tlog.Tree) error) error {
	keys, err := t.keys(ctx) // before the view: the ring may need the same connection
	if err != nil {
		return err
	}
	known, err := t.known(ctx) // before the view: it may be of a state before the next write
	if err != nil {
		return err
	}
	return t.store.view(ctx, func(v treeView) error {
		now, err := v.state()
		if err != nil {
			return err
		}
		head, err := t.headOf(keys, now, v)
		if err == nil {
			err = holds(v, head, known...)
		}
		if err != nil {
			return err
		}
		t.saw(head)
		return f(v, head)
	})
}

// headOf returns the tree that a stored head signs, if the stored hashes make
// that tree and its size is the one beside it.
func (t *Tree) headOf(keys *treeKeys, now state, r tlog.HashReader) (tlog.Tree, error) {
	if now.beyond {
		return tlog.Tree{}, fmt.Errorf("an entry beyond the head: %w", ErrTampered)
	}
	if now.size == 0 && len(now.note) == 0 {
		return tlog.Tree{}, nil
	}
	tree, err := openOwn(now.note, t.origin(), keys.verifiers)
	if err != nil || tree.N != now.size {
		return tlog.Tree{}, fmt.Errorf("head: %w", ErrTampered)
	}
	root, err := tlog.TreeHash(tree.N, r)
	if err != nil {
		return tlog.Tree{}, err
	}
	if root != tree.Hash {
		return tlog.Tree{}, fmt.Errorf("head: %w", ErrTampered)
	}
	return tree, nil
}

func openCheckpoint(msg []byte, origin string, vs note.Verifiers) (tlog.Tree, error) {
	n, err := note.Open(msg, vs)
	if err != nil {
		return tlog.Tree{}, ErrTampered
	}
	return parseCheckpoint(n.Text, origin)
}

// openOwn is openCheckpoint for a checkpoint as it was signed, to which nobody has
// added anything.
func openOwn(msg []byte, origin string, vs note.Verifiers) (tlog.Tree, error) {
	n, err := note.Open(msg, vs)
	if err != nil || !SignedOnce(msg, n) {
		return tlog.Tree{}, ErrTampered
	}
	return parseCheckpoint(n.Text, origin)
}

// SignedOnce reports whether msg, which was opened as n, is a text with one
// signature, in the one spelling that it has: opening passes over what it does not
// know and what is there twice.
func SignedOnce(msg []byte, n *note.Note) bool {
	if len(n.Sigs) != 1 {
		return false
	}
	sig := n.Sigs[0]
	_, err := base64.StdEncoding.Strict().DecodeString(sig.Base64)
	return err == nil && string(msg) == n.Text+"\n— "+sig.Name+" "+sig.Base64+"\n"
}

func parseCheckpoint(text, origin string) (tlog.Tree, error) {
	f := strings.Split(text, "\n")
	if len(f) != 4 || f[0] != origin || f[3] != "" {
		return tlog.Tree{}, ErrTampered
	}
	size, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != f[1] {
		return tlog.Tree{}, ErrTampered
	}
	h, err := base64.StdEncoding.Strict().DecodeString(f[2])
	if err != nil || len(h) != tlog.HashSize || base64.StdEncoding.EncodeToString(h) != f[2] { // the decoder skips CR
		return tlog.Tree{}, ErrTampered
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(h)}, nil
}

// Verify goes through the whole tree: every leaf passes check, and the stored
// hashes are those of the leaves and make the signed head. It returns the number
// of leaves, or ErrTampered with the index of the first that does not hold.
func (t *Tree) Verify(ctx context.Context, check func(leaf []byte) error) (size int64, err error) {
	err = t.Leaves(ctx, 0, func(i int64, leaf []byte) error {
		size = i + 1
		return check(leaf)
	})
	if err != nil {
		return 0, err
	}
	return size, nil
}

// verifyLeaf checks that the stored hashes which leaf i completes are those of
// it and of the leaves before it.
func verifyLeaf(v tlog.HashReader, i int64, leaf []byte) error {
	want, err := tlog.StoredHashes(i, leaf, v)
	if err != nil {
		return err
	}
	at := make([]int64, len(want))
	for n := range at {
		at[n] = tlog.StoredHashIndex(0, i) + int64(n)
	}
	stored, err := v.ReadHashes(at)
	if err != nil {
		return err
	}
	if !slices.Equal(stored, want) {
		return ErrTampered
	}
	return nil
}

// Prove returns a leaf with the hashes that prove it to be at index in the tree
// of the checkpoint.
func (t *Tree) Prove(ctx context.Context, index int64) (leaf []byte, hashes []tlog.Hash, checkpoint []byte, err error) {
	ks, err := t.ring.Keyset(ctx, TreeKeyset)
	if err != nil {
		return nil, nil, nil, err
	}
	err = t.checked(ctx, func(v treeView, tree tlog.Tree) (err error) {
		if index < 0 || index >= tree.N {
			return errors.New("no such entry")
		}
		if hashes, err = tlog.ProveRecord(tree.N, index, v); err != nil {
			return err
		}
		if checkpoint, err = noteOf(v); err != nil {
			return err
		}
		return t.leaves(ks, v, index, index+1, func(_ int64, b []byte) error {
			leaf = slices.Clone(b)
			return nil
		})
	})
	return leaf, hashes, checkpoint, err
}

// Consistent returns the hashes that prove that the tree of one checkpoint is
// the beginning of the other's. Both must be this tree's.
func (t *Tree) Consistent(ctx context.Context, older, newer []byte) (hashes []tlog.Hash, err error) {
	keys, err := t.keys(ctx)
	if err != nil {
		return nil, err
	}
	from, err := openCheckpoint(older, t.origin(), keys.verifiers)
	if err != nil {
		return nil, err
	}
	to, err := openCheckpoint(newer, t.origin(), keys.verifiers)
	if err != nil {
		return nil, err
	}
	err = t.checked(ctx, func(v treeView, now tlog.Tree) error {
		if from.N > to.N {
			return ErrTampered
		}
		if err := holds(v, now, from, to); err != nil {
			return err
		}
		hashes, err = tlog.ProveTree(to.N, from.N, v)
		return err
	})
	return hashes, err
}

// CheckConsistent verifies what Consistent returned, under verifier keys of one
// log.
func CheckConsistent(verifierKeys []string, older, newer []byte, hashes []tlog.Hash) error {
	origin, keys, err := verifiersOf(verifierKeys)
	if err != nil {
		return err
	}
	from, err := openCheckpoint(older, origin, keys)
	if err != nil {
		return err
	}
	to, err := openCheckpoint(newer, origin, keys)
	if err != nil {
		return err
	}
	if tlog.CheckTree(hashes, to.N, to.Hash, from.N, from.Hash) != nil {
		return ErrTampered
	}
	return nil
}

// CheckProof verifies what Prove returned under a verifier key.
func CheckProof(verifierKey string, index int64, leaf []byte, hashes []tlog.Hash, checkpoint []byte) error {
	v, err := note.NewVerifier(verifierKey)
	if err != nil {
		return ErrTampered
	}
	tree, err := openCheckpoint(checkpoint, v.Name(), note.VerifierList(v))
	if err == nil {
		err = tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(leaf))
	}
	if err != nil {
		return ErrTampered
	}
	return nil
}
