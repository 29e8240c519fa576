package evidence

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

const labelTreeBlock = "rahasia/log-block/v1"

// block is the leaves that one write made durable. Until a sequencer gives it
// its place in the tree nothing but its MAC vouches for it.
type block struct {
	id      int64 // unique, above 0: nanoseconds since 1970, or a little more
	version uint32
	leaves  []byte // encoded
	mac     [sha256.Size]byte
	first   int64 // index of its first leaf; unplaced until it has one
	inside  bool  // it has never left this process's memory, and so has no MAC
}

const unplaced = -1

// What a block holds at most. A leaf alone may be longer, up to maxLeaf.
const (
	blockLeaves = 128
	blockBytes  = 256 << 10
	maxLeaf     = 16 << 20
)

// appendLeaf encodes a leaf as its length in four bytes, big-endian, and its bytes.
func appendLeaf(dst, leaf []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(leaf))), leaf...)
}

// splitLeaves reads what appendLeaf wrote: at least one leaf, and nothing else.
func splitLeaves(b []byte) (leaves [][]byte, err error) {
	for len(b) > 0 {
		if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
			return nil, ErrTampered
		}
		n := 4 + int(binary.BigEndian.Uint32(b))
		leaves, b = append(leaves, b[4:n:n]), b[n:]
	}
	if len(leaves) == 0 {
		return nil, ErrTampered
	}
	return leaves, nil
}

// blocksOf encodes leaves, in order, in as few blocks as hold them.
func blocksOf(leaves [][]byte) (out []block) {
	held := blockLeaves
	for i, leaf := range leaves {
		if held == blockLeaves || len(out[len(out)-1].leaves)+len(leaf) > blockBytes {
			out, held = append(out, block{first: unplaced, leaves: make([]byte, 0, blockSize(leaves[i:]))}), 0
		}
		b := &out[len(out)-1]
		b.leaves, held = appendLeaf(b.leaves, leaf), held+1
	}
	return out
}

// blockSize is how long the first block of leaves is, encoded; or more.
func blockSize(leaves [][]byte) (n int) {
	for _, leaf := range leaves[:min(len(leaves), blockLeaves)] {
		if n += 4 + len(leaf); n > blockBytes {
			break
		}
	}
	return n
}

// message is what the MAC covers: all but the place, which the tree vouches for.
func (b *block) message(ring string) []byte {
	m := lp.Append(nil, labelTreeBlock, ring)
	m = binary.BigEndian.AppendUint64(m, uint64(b.id))
	m = binary.BigEndian.AppendUint32(m, b.version)
	return append(m, b.leaves...)
}

func (b *block) sign(ks *keyring.Keyset, ring string) error {
	b.version = ks.Primary()
	m, err := ks.MAC(b.version, labelTreeBlock)
	if err != nil {
		return err
	}
	b.mac = secret.Sum(m, b.message(ring))
	return nil
}

// open verifies the block and returns its leaves.
func (b *block) open(ks *keyring.Keyset, ring string) ([][]byte, error) {
	if b.inside {
		return splitLeaves(b.leaves)
	}
	m, err := ks.MAC(b.version, labelTreeBlock)
	if err != nil {
		return nil, err
	}
	if !secret.Verify(m, b.message(ring), b.mac[:]) {
		return nil, fmt.Errorf("block: %w", ErrTampered)
	}
	return splitLeaves(b.leaves)
}
