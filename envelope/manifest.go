package envelope

import "bytes"

// entry is one field in a manifest. It holds no pointer, so that keeping many
// costs nothing; positions are in the manifest's plaintext and in the section.
type entry struct {
	at     int32 // of the name
	size   uint8 // of the name
	code   code
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
	dst = appendHead(dst, majorArray, uint64(1+fields))
	dst = append(appendHead(dst, majorBytes, uint64(len(tag))), tag...)
	return append(dst, index...)
}

// appendEntry writes a field's entry up to its length.
func appendEntry(dst, name []byte, c code) []byte {
	dst = append(dst, majorArray<<5|3)
	dst = append(appendHead(dst, majorText, uint64(len(name))), name...)
	return append(dst, byte(c)) // an integer below 24
}

// appendLength completes an entry.
func appendLength(dst []byte, length int) []byte { return appendHead(dst, majorUint, uint64(length)) }

// parseManifest reads the fields of a manifest into entries[:0], and returns
// its tag and the bytes behind it, which alias m. The expected columns ascend
// by name; what is found of them is marked.
func parseManifest(m []byte, entries []entry, expected []column) (tag []byte, _ []entry, rest []byte, err error) {
	n, rest, err := readCount(m, majorArray)
	if err != nil || n < 1 || n > 1+maxFields {
		return nil, nil, nil, errSyntax
	}
	tag, rest, err = readString(rest, majorBytes)
	if err != nil || len(tag) > maxTag {
		return nil, nil, nil, errSyntax
	}
	n--
	if cap(entries) < n {
		entries = make([]entry, n)
	}
	entries = entries[:n]
	var last []byte
	next, offset, at := 0, int32(0), len(m)-len(rest)
	for i := range entries {
		e := &entries[i]
		if at = e.parse(m, at, expected, next); at < 0 || offset > maxRow {
			return nil, nil, nil, errSyntax
		}
		// Ascending names make the manifest of a set of fields unique, and a
		// field that is there twice impossible. Two columns in a row ascend.
		name := e.name(m)
		inRow := i > 0 && e.column > 0 && entries[i-1].column == e.column-1
		if !inRow && string(last) >= string(name) {
			return nil, nil, nil, errSyntax
		}
		if e.column < 0 { // not the next one: skip those that are absent
			next = e.seek(name, expected, next)
		} else {
			next++
		}
		e.offset = offset
		offset += e.length + overhead
		last = name
	}
	return tag, entries, m[at:], nil
}

// seek looks for a name among the expected columns from next on, and returns
// which is expected after it.
func (e *entry) seek(name []byte, expected []column, next int) int {
	for next < len(expected) && expected[next].name < string(name) {
		next++
	}
	if next < len(expected) && expected[next].name == string(name) {
		e.column = int16(next)
		next++
	}
	return next
}

// parse reads the entry at a position in m and returns the position behind it,
// or -1. It is most of what opening one field costs, so it knows its most
// likely name and compares the encoded bytes.
func (e *entry) parse(m []byte, at int, expected []column, next int) int {
	e.column = -1
	if next < len(expected) && bytes.HasPrefix(m[at:], expected[next].entry) {
		col := &expected[next]
		e.column, e.size, e.code = int16(next), uint8(len(col.name)), col.coder.code
		at += len(col.entry)
		e.at = int32(at - 1 - len(col.name))
	} else if at = e.parseName(m, at); at < 0 {
		return -1
	}
	switch { // lengths below 256 without the general head
	case at < len(m) && m[at]-1 < 23:
		e.length = int32(m[at])
		return at + 1
	case at+1 < len(m) && m[at] == 24 && m[at+1] >= 24:
		e.length = int32(m[at+1])
		return at + 2
	}
	major, n, rest, err := readHead(m[at:])
	if err != nil || major != majorUint || n == 0 || n > maxValue {
		return -1
	}
	e.length = int32(n)
	return len(m) - len(rest)
}

// parseName reads an entry up to its length.
func (e *entry) parseName(m []byte, at int) int {
	if at >= len(m) || m[at] != majorArray<<5|3 {
		return -1
	}
	name, rest, err := readString(m[at+1:], majorText)
	if err != nil || !validName(name) || len(rest) == 0 || rest[0] == 0 || rest[0] >= 24 {
		return -1
	}
	at = len(m) - len(rest)
	e.at, e.size, e.code = int32(at-len(name)), uint8(len(name)), code(rest[0])
	return at + 1
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
