package consent

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
)

// leafFormat begins a leaf: kind 5, version 1.
const leafFormat = 0x51

// leafHead is the format and the version of the key.
const leafHead = 5

// logBuffers is the memory of one append. It is used again only when the tree
// has taken the leaves: who was not waited for may still read them.
type logBuffers struct {
	plain  []byte
	bound  []byte
	sealed []byte
	leaves [][]byte
}

// maxKept is the largest buffer that is kept for the next call, in bytes.
const maxKept = 64 << 10

// append seals the bodies and returns when they are durable in the log.
func (l *Log) append(ctx context.Context, bodies ...*logBody) error {
	m, _ := l.buffers.Get().(*logBuffers)
	if m == nil {
		m = new(logBuffers)
	}
	err := l.seal(ctx, m, bodies)
	if err == nil {
		err = l.tree().Append(ctx, m.leaves...)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAudit, err)
	}
	if cap(m.sealed) <= maxKept {
		l.buffers.Put(m)
	}
	return nil
}

// seal makes leaves: format (1) || key version (4) || AES-256-GCM, random nonce.
func (l *Log) seal(ctx context.Context, m *logBuffers, bodies []*logBody) error {
	ks, err := l.ring.Keyset(ctx, evidence.TreeKeyset)
	if err != nil {
		return err
	}
	aead, err := ks.Sealer(ks.Primary(), labelLogSeal)
	if err != nil {
		return err
	}
	seq, hash, err := l.ring.JournalHead(ctx)
	if err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint32([]byte{leafFormat}, ks.Primary())
	m.bound = l.bound(m.bound[:0], head)
	m.sealed, m.leaves = m.sealed[:0], m.leaves[:0]
	for _, b := range bodies {
		m.plain = evidence.Pad(b.appendTo(m.plain[:0], seq, hash[:]))
		at := len(m.sealed)
		m.sealed = secret.SealRandom(aead, append(m.sealed, head...), m.plain, m.bound)
		m.leaves = append(m.leaves, m.sealed[at:len(m.sealed):len(m.sealed)])
		clear(m.plain)
	}
	return nil
}

func (l *Log) open(ctx context.Context, leaf []byte) (*logBody, error) {
	if len(leaf) < leafHead || leaf[0] != leafFormat {
		return nil, ErrTampered
	}
	ks, err := l.ring.Keyset(ctx, evidence.TreeKeyset)
	if err != nil {
		return nil, err
	}
	aead, err := ks.Sealer(binary.BigEndian.Uint32(leaf[1:leafHead]), labelLogSeal)
	if err != nil {
		return nil, err
	}
	plain, err := secret.OpenRandom(aead, nil, leaf[leafHead:], l.bound(nil, leaf[:leafHead]))
	if err != nil {
		return nil, ErrTampered
	}
	if plain, err = evidence.Unpad(plain); err != nil {
		return nil, err
	}
	b := new(logBody)
	if err := decode(plain, b); err != nil || b.Journal != 0 && len(b.JournalHash) != sha256.Size {
		return nil, ErrTampered
	}
	return b, nil
}

// bound is the associated data of a leaf, behind dst.
func (l *Log) bound(dst, head []byte) []byte {
	return append(lp.Append(dst, labelLogSeal, l.ring.ID()), head...)
}
