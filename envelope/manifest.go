package envelope

import (
	"encoding/binary"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/value"
)

// entry is one field in a manifest. It holds no pointer, so that keeping many
// costs nothing; positions are in the manifest's plaintext and in the section.
type entry struct {
	at     int32 // of the name
	size   uint8 // of the name
	code   value.Code
	column int16 // among those that the reader expected, or -1
	length int32 // of the encoded value; its ciphertext is 16 bytes longer
	offset int32 // of its ciphertext, from the first field of the section
}

func (e *entry) name(manifest []byte) []byte { return manifest[e.at : e.at+int32(e.size)] }

// A manifest is a CBOR array of the tag and, for each field ascending by name,
// an array of name, code and length; and then zero bytes.

// appendManifest writes a manifest without its padding. index is what
// appendEntry and appendLength wrote for its fields.
func appendManifest(dst, tag, index []byte, fields int) []byte {
	dst = cbor.AppendHead(dst, cbor.Array, uint64(1+fields))
	dst = append(cbor.AppendHead(dst, cbor.Bytes, uint64(len(tag))), tag...)
	return append(dst, index...)
}

// appendEntry writes a field's entry up to its length.
func appendEntry(dst, name []byte, c value.Code) []byte {
	dst = append(dst, cbor.Array<<5|3)
	dst = append(cbor.AppendHead(dst, cbor.Text, uint64(len(name))), name...)
	return append(dst, byte(c)) // an integer below 24
}

// appendLength completes an entry.
func appendLength(dst []byte, length int) []byte {
	return cbor.AppendHead(dst, cbor.Uint, uint64(length))
}

// parseManifest reads the fields of a manifest into entries[:0], and returns
// its tag and the bytes behind it, which alias m. The expected columns ascend
// by name; what is found of them is marked.
func parseManifest(m []byte, entries []entry, expected []column) (tag []byte, _ []entry, rest []byte, err error) {
	n, rest, err := cbor.ReadCount(m, cbor.Array)
	if err != nil || n < 1 || n > 1+maxFields {
		return nil, nil, nil, cbor.ErrSyntax
	}
	tag, rest, err = cbor.ReadString(rest, cbor.Bytes)
	if err != nil || len(tag) > maxTag {
		return nil, nil, nil, cbor.ErrSyntax
	}
	n--
	if cap(entries) < n {
		entries = make([]entry, n)
	}
	entries = entries[:n]
	at := len(m) - len(rest)
	// Most rows have the fields that are expected, one after the other: those
	// need no more than a comparison, and they ascend.
	i, at := parseExpected(m, at, entries, expected)
	next, offset, last := i, int32(0), []byte(nil)
	if i > 0 {
		offset = int32(fieldsSize(entries[:i]))
		last = entries[i-1].name(m)
	}
	for ; i < n; i++ {
		e := &entries[i]
		if at = e.parse(m, at); at < 0 || offset > maxRow {
			return nil, nil, nil, cbor.ErrSyntax
		}
		// Ascending names make the manifest of a set of fields unique, and a
		// field that is there twice impossible.
		name := e.name(m)
		if string(last) >= string(name) {
			return nil, nil, nil, cbor.ErrSyntax
		}
		next = e.seek(name, expected, next)
		e.offset = offset
		offset += e.length + overhead
		last = name
	}
	return tag, entries, m[at:], nil
}

// parseExpected reads entries that are exactly the expected columns in a row,
// with lengths below 256, and returns how many and where it stopped.
func parseExpected(m []byte, at int, entries []entry, expected []column) (int, int) {
	if len(entries) > len(expected) {
		entries = entries[:len(expected)]
	}
	offset := int32(0)
	for i := range entries {
		col := &expected[i]
		end := at + len(col.entry)
		if end+2 > len(m) || !col.begins(m[at:end]) {
			return i, at
		}
		length := m[end]
		if length == 24 {
			length = m[end+1]
			if length < 24 {
				return i, at
			}
			at = end + 2
		} else if length != 0 && length < 24 {
			at = end + 1
		} else {
			return i, at
		}
		e := &entries[i] // one by one: a whole entry would be put together elsewhere first
		e.at, e.size, e.code = int32(end-1-len(col.name)), uint8(len(col.name)), col.code
		e.column, e.length, e.offset = int16(i), int32(length), offset
		offset += int32(length) + overhead
	}
	return len(entries), at
}

// setEntry sets what begins compares.
func (col *column) setEntry(entry []byte) {
	col.entry = entry
	if col.short = len(entry) >= 8 && len(entry) <= 16; col.short {
		col.head = binary.LittleEndian.Uint64(entry)
		col.tail = binary.LittleEndian.Uint64(entry[len(entry)-8:])
	}
}

// begins reports whether b, which is as long as the column's entry, is that
// entry. Two words cover the usual names, and cost less than a call.
func (col *column) begins(b []byte) bool {
	if !col.short || len(b) < 8 {
		return string(b) == string(col.entry)
	}
	return binary.LittleEndian.Uint64(b) == col.head && binary.LittleEndian.Uint64(b[len(b)-8:]) == col.tail
}

// seek looks for a name among the expected columns from next on, and returns
// which is expected after it.
func (e *entry) seek(name []byte, expected []column, next int) int {
	for next < len(expected) && expected[next].name < string(name) {
		next++
	}
	if e.column = -1; next < len(expected) && expected[next].name == string(name) {
		e.column = int16(next)
		next++
	}
	return next
}

// parse reads the entry at a position in m and returns the position behind it,
// or -1.
func (e *entry) parse(m []byte, at int) int {
	if at >= len(m) || m[at] != cbor.Array<<5|3 {
		return -1
	}
	name, rest, err := cbor.ReadString(m[at+1:], cbor.Text)
	if err != nil || !validName(name) || len(rest) == 0 || rest[0] == 0 || rest[0] >= 24 {
		return -1
	}
	at = len(m) - len(rest)
	e.at, e.size, e.code = int32(at-len(name)), uint8(len(name)), value.Code(rest[0])
	major, n, rest, err := cbor.ReadHead(rest[1:])
	if err != nil || major != cbor.Uint || n == 0 || n > maxValue {
		return -1
	}
	e.length = int32(n)
	return len(m) - len(rest)
}

func validName(name []byte) bool {
	if len(name) == 0 || len(name) > maxName {
		return false
	}
	for _, c := range name {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// fieldsSize is the length of all the fields of a section.
func fieldsSize(entries []entry) int {
	if len(entries) == 0 {
		return 0
	}
	last := &entries[len(entries)-1]
	return int(last.offset) + int(last.length) + overhead
}

// allZero reports whether b is the padding that was written.
func allZero(b []byte) bool {
	const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for len(b) > len(zeros) {
		if string(b[:len(zeros)]) != zeros {
			return false
		}
		b = b[len(zeros):]
	}
	return string(b) == zeros[:len(b)]
}
