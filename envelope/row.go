package envelope

import (
	"crypto/cipher"
	"encoding/binary"
	"slices"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
)

// recordLabel separates what a record binds from every other use of a key.
const recordLabel = "rahasia/record/v1"

// binding is whose record a row is. It is authenticated and not in the row.
type binding struct{ ring, subject, recordType, record string }

func (b *binding) appendTo(dst []byte, compartment string) []byte {
	return lp.Append(dst, recordLabel, b.ring, compartment, b.subject, b.recordType, b.record)
}

// nonce is the seal id with a counter in its last four bytes. It is only ever
// used under keys of one subject and compartment, and a seal id is random and
// fresh, so that no nonce repeats (docs/SPEC.md states the bound).
type nonce struct {
	bytes [idSize]byte
	low   uint32
}

func (n *nonce) set(id []byte) {
	copy(n.bytes[:], id[:idSize])
	n.low = binary.BigEndian.Uint32(id[idSize-4:])
}

func (n *nonce) at(i uint32) []byte {
	binary.BigEndian.PutUint32(n.bytes[idSize-4:], n.low^i)
	return n.bytes[:]
}

// Counters within a section: the lead, the manifest, then the fields.
const (
	leadAt     = 0
	manifestAt = 1
	fieldsAt   = 2
)

// part is one section before it is sealed. Its fields lie in the buffers of a
// scratch, behind those of the parts before it.
type part struct {
	compartment string
	generation  uint32
	key         secret.AEAD
	tag         []byte
	fields      int // how many
	index       int // bytes of its manifest entries
	values      int // bytes of its encoded values
	manifest    int // length of the manifest with its padding
	length      int // of the section
}

// measure fills in the lengths of p and checks the limits, but for that of a
// value, which was checked when it was encoded.
func (p *part) measure() error {
	if p.fields > maxFields || len(p.tag) > maxTag || p.values > maxRow {
		return ErrLimit
	}
	used := cbor.HeadSize(1+p.fields) + cbor.HeadSize(len(p.tag)) + len(p.tag) + p.index
	n := leadSize + used + overhead + p.values + p.fields*overhead
	p.length = padded(n)
	p.manifest = used + p.length - n
	return nil
}

// seal appends to dst the row of b's parts, which are ascending by compartment,
// under a seal id that was never used before. Its only caller outside tests is
// [scratch.sealFresh].
func (s *scratch) seal(dst []byte, b *binding, id [idSize]byte) ([]byte, error) {
	header, total := 1+idSize+1, 0
	for i := range s.parts {
		p := &s.parts[i]
		if err := p.measure(); err != nil {
			return nil, err
		}
		header += 1 + len(p.compartment) + 8
		total += p.length
	}
	if header+total > maxRow || len(s.parts) > maxSections {
		return nil, ErrLimit
	}
	start := len(dst)
	row := slices.Grow(dst, header+total)
	row = append(row, kindVersion)
	row = append(row, id[:]...)
	row = append(row, byte(len(s.parts)))
	for i := range s.parts {
		p := &s.parts[i]
		row = appendSpan(row, p.compartment, p.generation, p.length)
	}
	s.nonce.set(id[:])
	lengths, index, values := s.lengths, s.index, s.values
	for i := range s.parts {
		p := &s.parts[i]
		row = s.sealPart(row, row[start:start+header], b, p, lengths[:p.fields], index[:p.index], values[:p.values])
		lengths, index, values = lengths[p.fields:], index[p.index:], values[p.values:]
	}
	return row, nil
}

func (s *scratch) sealPart(row, header []byte, b *binding, p *part, lengths []int, index, values []byte) []byte {
	c := secret.Cipher(p.key)
	s.work = append(b.appendTo(s.work[:0], p.compartment), header...)
	binary.BigEndian.PutUint32(s.lead[:4], uint32(p.manifest))
	row = c.Seal(row, s.nonce.at(leadAt), s.lead[:4], s.work)

	start := len(row)
	plain := appendManifest(row, p.tag, index, p.fields)
	used := len(plain)
	plain = plain[:start+p.manifest]
	clear(plain[used:])
	row = c.Seal(row, s.nonce.at(manifestAt), plain[start:], nil) // in place

	for i, n := range lengths {
		row = c.Seal(row, s.nonce.at(fieldsAt+uint32(i)), values[:n], nil)
		values = values[n:]
	}
	return row
}

// section is an opened lead and manifest.
type section struct {
	opened   bool
	key      secret.AEAD
	manifest []byte // its plaintext; tag and entries alias it
	tag      []byte
	entries  []entry
	where    []int32 // of the columns of its compartment among the entries, or -1; unused if they are the same
	same     bool    // the entries are exactly those columns
	fields   []byte  // the ciphertexts; aliases the row
}

// entryOf returns the index of the entry of a column of the section's
// compartment, or -1.
func (o *section) entryOf(column int) int32 {
	if o.same {
		return int32(column)
	}
	return o.where[column]
}

// match fills in where the columns are among the entries.
func (o *section) match(columns int) {
	o.same = len(o.entries) == columns
	for i := range o.entries {
		o.same = o.same && int(o.entries[i].column) == i
	}
	if o.same {
		return
	}
	o.where = o.where[:0]
	for range columns {
		o.where = append(o.where, -1)
	}
	for i := range o.entries {
		if k := o.entries[i].column; k >= 0 {
			o.where[k] = int32(i)
		}
	}
}

// openSection opens lead and manifest of the section sp of row and reports
// whether all of it is as it was sealed. The columns of its compartment help to
// find the fields and may be left out.
func (s *scratch) openSection(o *section, row []byte, header int, sp *span, b *binding, key secret.AEAD, expected []column) bool {
	c := secret.Cipher(key)
	body := row[sp.start:sp.end]
	s.nonce.set(sealID(row))
	s.work = append(b.appendTo(s.work[:0], string(sp.name(row))), row[:header]...)
	lead, err := c.Open(s.lead[:0], s.nonce.at(leadAt), body[:leadSize], s.work)
	if err != nil {
		return false
	}
	// The length is authenticated, but a faulty writer is still met with care.
	size := uint64(binary.BigEndian.Uint32(lead))
	body = body[leadSize:]
	if size+overhead > uint64(len(body)) {
		return false
	}
	sealed, fields := body[:size+overhead], body[size+overhead:]
	o.manifest, err = c.Open(o.manifest[:0], s.nonce.at(manifestAt), sealed, nil)
	if err != nil {
		return false
	}
	return o.parse(key, fields, expected)
}

// parse reads the manifest and checks that the fields and the padding are
// exactly what it asks for.
func (o *section) parse(key secret.AEAD, fields []byte, expected []column) bool {
	tag, entries, padding, err := parseManifest(o.manifest, o.entries, expected)
	if err != nil || fieldsSize(entries) != len(fields) || !allZero(padding) {
		return false
	}
	length := leadSize + len(o.manifest) + overhead + len(fields)
	if padded(length-len(padding)) != length {
		return false
	}
	o.opened, o.key, o.tag, o.entries, o.fields = true, key, tag, entries, fields
	o.match(len(expected))
	return true
}

// open appends the value of entry e, decrypted, to dst. n must be of the
// section's row.
func (o *section) open(dst []byte, c cipher.AEAD, n *nonce, i int) ([]byte, error) {
	e := &o.entries[i]
	return c.Open(dst, n.at(fieldsAt+uint32(i)), o.fields[e.offset:int(e.offset)+int(e.length)+overhead], nil)
}

// find returns the index of a field by its stored name, or -1.
func (o *section) find(name string) int {
	lo, hi := 0, len(o.entries)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch e := o.entries[mid].name(o.manifest); {
		case string(e) == name:
			return mid
		case string(e) < name:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return -1
}
