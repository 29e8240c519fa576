package envelope

import (
	"encoding/binary"
	"testing"

	fx "github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/internal/value"
)

// A second sealer, written from the steps of docs/SPEC.md alone and with a
// CBOR encoder of others, judges the first and makes what it never would.

type refField struct {
	Name  string
	Type  uint64
	Value []byte // encoded
}

type refSection struct {
	Compartment string
	Generation  uint32
	Key         secret.AEAD
	Tag         []byte
	Fields      []refField

	manifest func(m []byte) []byte // changes the manifest, padding included, before it is sealed
	length   uint32                // of the section, if the header shall lie
	size     uint32                // in the lead, if the lead shall lie
}

// refSteps are the intermediate values of one section.
type refSteps struct {
	AAD, Manifest, LeadPlain, Lead, ManifestSealed []byte
	Nonces, Fields                                 [][]byte
	Unpadded, Length                               int
}

// refPad is the padding rule, by search instead of by bits.
func refPad(n int) int {
	if n <= 1024 {
		for n%64 != 0 {
			n++
		}
		return n
	}
	e := 0
	for 1<<(e+1) <= n {
		e++
	}
	s := 0
	for 1<<s <= e {
		s++
	}
	for n%(1<<(e-s)) != 0 {
		n++
	}
	return n
}

func refLP(parts ...string) (out []byte) {
	for _, p := range parts {
		out = append(out, byte(len(p)>>8), byte(len(p)))
		out = append(out, p...)
	}
	return out
}

func refManifest(t testing.TB, s *refSection) []byte {
	mode, err := fx.CoreDetEncOptions().EncMode()
	require.NoError(t, err)
	tag := s.Tag
	if tag == nil {
		tag = []byte{}
	}
	list := []any{tag}
	for _, f := range s.Fields {
		list = append(list, []any{f.Name, f.Type, uint64(len(f.Value))})
	}
	m, err := mode.Marshal(list)
	require.NoError(t, err)
	return m
}

func refNonce(id [12]byte, i uint32) []byte {
	n := append([]byte(nil), id[:8]...)
	return binary.BigEndian.AppendUint32(n, binary.BigEndian.Uint32(id[8:])^i)
}

// refSeal makes a row, by the book or against it.
func refSeal(t testing.TB, b binding, id [12]byte, sections []refSection) (row []byte, steps []refSteps) {
	steps = make([]refSteps, len(sections))
	header := append([]byte{0x11}, id[:]...)
	header = append(header, byte(len(sections)))
	for i := range sections {
		s := &sections[i]
		m := refManifest(t, s)
		n := 20 + len(m) + 16
		for _, f := range s.Fields {
			n += len(f.Value) + 16
		}
		steps[i].Unpadded = n
		m = append(m, make([]byte, refPad(n)-n)...)
		if s.manifest != nil {
			m = s.manifest(m)
		}
		steps[i].Manifest = m
		length := 20 + len(m) + 16
		for _, f := range s.Fields {
			length += len(f.Value) + 16
		}
		steps[i].Length = length
		claim := uint32(length)
		if s.length != 0 {
			claim = s.length
		}
		header = append(header, byte(len(s.Compartment)))
		header = append(header, s.Compartment...)
		header = binary.BigEndian.AppendUint32(header, s.Generation)
		header = binary.BigEndian.AppendUint32(header, claim)
	}
	row = append(row, header...)
	for i := range sections {
		s, x := &sections[i], &steps[i]
		gcm := secret.Cipher(s.Key)
		size := uint32(len(x.Manifest))
		if s.size != 0 {
			size = s.size
		}
		x.AAD = append(refLP("rahasia/record/v1", b.ring, s.Compartment, b.subject, b.recordType, b.record), header...)
		x.LeadPlain = binary.BigEndian.AppendUint32(nil, size)
		x.Nonces = append(x.Nonces, refNonce(id, 0), refNonce(id, 1))
		x.Lead = gcm.Seal(nil, x.Nonces[0], x.LeadPlain, x.AAD)
		x.ManifestSealed = gcm.Seal(nil, x.Nonces[1], x.Manifest, nil)
		row = append(append(row, x.Lead...), x.ManifestSealed...)
		for j, f := range s.Fields {
			x.Nonces = append(x.Nonces, refNonce(id, uint32(j+2)))
			x.Fields = append(x.Fields, gcm.Seal(nil, x.Nonces[j+2], f.Value, nil))
			row = append(row, x.Fields[j]...)
		}
	}
	return row, steps
}

// refParts turns reference sections into those of the sealer.
func refParts(s *scratch, sections []refSection) {
	for _, r := range sections {
		s.addPart(part{compartment: r.Compartment, generation: r.Generation, key: r.Key, tag: r.Tag})
		for _, f := range r.Fields {
			s.values = append(s.values, f.Value...)
			s.lengths = append(s.lengths, len(f.Value))
			s.index = appendLength(appendEntry(s.index, []byte(f.Name), value.Code(f.Type)), len(f.Value))
		}
		s.endPart()
	}
}
