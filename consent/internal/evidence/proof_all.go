package evidence

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Proven is a leaf, and the hashes that prove it to be at its index.
type Proven struct {
	Index  int64
	Leaf   []byte
	Hashes []tlog.Hash
}

// ProveAll does what [Tree.Prove] does for several leaves, under one checkpoint.
func (t *Tree) ProveAll(ctx context.Context, indexes []int64) (proofs []Proven, checkpoint []byte, err error) {
	ks, err := t.ring.Keyset(ctx, TreeKeyset) // before the view, as in checked
	if err != nil {
		return nil, nil, err
	}
	err = t.checked(ctx, func(v treeView, tree tlog.Tree) (err error) {
		if checkpoint, err = noteOf(v); err != nil {
			return err
		}
		for _, i := range indexes {
			if i < 0 || i >= tree.N {
				return errors.New("no such entry")
			}
			p := Proven{Index: i}
			if p.Hashes, err = tlog.ProveRecord(tree.N, i, v); err != nil {
				return err
			}
			err = t.leaves(ks, v, i, i+1, func(_ int64, leaf []byte) error {
				p.Leaf = slices.Clone(leaf)
				return tlog.CheckRecord(p.Hashes, tree.N, tree.Hash, i, tlog.RecordHash(leaf))
			})
			if err != nil {
				return err
			}
			proofs = append(proofs, p)
		}
		return nil
	})
	return proofs, checkpoint, err
}

// CheckProofs verifies what ProveAll returned under verifier keys of one log. The
// checkpoint must be as it was signed, without a witness's signature.
func CheckProofs(verifierKeys []string, checkpoint []byte, proofs []Proven) error {
	origin, keys, err := verifiersOf(verifierKeys)
	if err != nil {
		return err
	}
	tree, err := openOwn(checkpoint, origin, keys)
	if err != nil {
		return err
	}
	for _, p := range proofs {
		if tlog.CheckRecord(p.Hashes, tree.N, tree.Hash, p.Index, tlog.RecordHash(p.Leaf)) != nil {
			return ErrTampered
		}
	}
	return nil
}

// verifiersOf reads verifier keys, at least one, all of one log, whose origin it
// returns too.
func verifiersOf(verifierKeys []string) (origin string, keys note.Verifiers, err error) {
	var all []note.Verifier
	for _, key := range verifierKeys {
		v, err := note.NewVerifier(key)
		if err != nil {
			return "", nil, ErrTampered
		}
		if all = append(all, v); v.Name() != all[0].Name() {
			return "", nil, ErrTampered
		}
	}
	if len(all) == 0 {
		return "", nil, ErrTampered
	}
	return all[0].Name(), note.VerifierList(all...), nil
}
