package envelope

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// kindVersion is the first byte of a row: kind 1 in the high four bits, format
// version 1 in the low four.
const (
	kindRow     = 1
	version     = 1
	kindVersion = kindRow<<4 | version
)

// Header is what anyone who holds a row can see of it, without a key.
type Header struct {
	Version  int      // of the format
	SealID   [12]byte // random, fresh by every sealing: the row's revision
	Sections []Section
}

// Section is one section in a [Header].
type Section struct {
	Compartment string
	Generation  uint32 // of the subject's key
	Length      int    // in bytes, padding included
}

// Inspect returns the header of a row. It needs no key and proves nothing: the
// header is authenticated when a section is opened, not before.
//
// It returns ErrVersion for a row of another format version and ErrFormat for
// anything else that is not a whole row.
func Inspect(row Sealed) (Header, error) {
	var l layout
	if err := l.parse(row); err != nil {
		return Header{}, err
	}
	h := Header{Version: version, SealID: [idSize]byte(sealID(row)), Sections: make([]Section, l.n)}
	for i := range h.Sections {
		s := &l.spans[i]
		h.Sections[i] = Section{string(s.name(row)), s.generation, s.end - s.start}
	}
	return h, nil
}

// layout is where the sections of a row are. It holds no pointer, so that it
// costs nothing to keep and to clear.
type layout struct {
	header int // its length
	n      int
	spans  [maxSections]span
}

type span struct {
	at, size   int // of the compartment's name
	generation uint32
	start, end int
}

// name returns the compartment, which aliases the row.
func (s *span) name(row []byte) []byte { return row[s.at : s.at+s.size] }

// sealID aliases the row.
func sealID(row []byte) []byte { return row[1 : 1+idSize] }

// find returns the index of the section of a compartment, or -1.
func (l *layout) find(row []byte, compartment string) int {
	for i := range l.n {
		if string(l.spans[i].name(row)) == compartment {
			return i
		}
	}
	return -1
}

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrFormat, what) }

// checkRow returns the error of [Inspect].
func checkRow(row []byte) error {
	var l layout
	return l.parse(row)
}

// parse checks all of a row that can be checked without a key, so that exactly
// one encoding of each header is accepted.
func (l *layout) parse(row []byte) error {
	l.n = 0
	switch {
	case len(row) == 0:
		return malformed("empty")
	case row[0]>>4 != kindRow:
		return malformed("another kind")
	case row[0] != kindVersion:
		return fmt.Errorf("%w: %d", ErrVersion, row[0]&15)
	case len(row) > maxRow:
		return malformed("too long")
	case len(row) < 1+idSize+1:
		return malformed("cut off")
	}
	n := int(row[1+idSize])
	if n < 1 || n > maxSections {
		return malformed("number of sections")
	}
	l.header = 1 + idSize + 1
	total := 0
	for i := range n {
		s := &l.spans[i]
		if err := l.parseSpan(row, s); err != nil {
			return err
		}
		if i > 0 && bytes.Compare(l.spans[i-1].name(row), s.name(row)) >= 0 {
			return malformed("order of compartments")
		}
		s.start, s.end = total, total+s.end
		total = s.end // at most 16 times maxRow
	}
	if l.header+total != len(row) {
		return malformed("length")
	}
	for i := range n {
		l.spans[i].start += l.header
		l.spans[i].end += l.header
	}
	l.n = n
	return nil
}

// parseSpan reads the next part of the header. It leaves the section's length
// in s.end.
func (l *layout) parseSpan(row []byte, s *span) error {
	rest := row[l.header:]
	if len(rest) < 1 || len(rest) < 1+int(rest[0])+8 {
		return malformed("cut off")
	}
	s.at, s.size = l.header+1, int(rest[0])
	if !validCompartment(s.name(row)) {
		return malformed("name of a compartment")
	}
	s.generation = binary.BigEndian.Uint32(rest[1+s.size:])
	length := binary.BigEndian.Uint32(rest[1+s.size+4:])
	if length < 64 || length > maxRow || padded(int(length)) != int(length) {
		return malformed("length of a section")
	}
	s.end = int(length)
	l.header += 1 + s.size + 8
	return nil
}

// validCompartment is keyring's rule: ^[a-z][a-z0-9-]{0,31}$.
func validCompartment(name []byte) bool {
	if len(name) == 0 || len(name) > 32 {
		return false
	}
	for i, c := range name {
		lower := 'a' <= c && c <= 'z'
		if !lower && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}

// appendSpan writes one section's part of the header.
func appendSpan(dst []byte, compartment string, generation uint32, length int) []byte {
	dst = append(append(dst, byte(len(compartment))), compartment...)
	dst = binary.BigEndian.AppendUint32(dst, generation)
	return binary.BigEndian.AppendUint32(dst, uint32(length))
}
