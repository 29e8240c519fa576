package envelope

// entry is one field in a manifest. It holds no pointer, so that keeping many
// costs nothing; positions are in the manifest's plaintext and in the section.
type entry struct {
	at     int32 // of the name
	size   uint8 // of the name
	code   code
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
// its tag and the bytes behind it, which alias m.
func parseManifest(m []byte, entries []entry) (tag []byte, _ []entry, rest []byte, err error) {
	n, rest, err := readCount(m, majorArray)
	if err != nil || n < 1 || n > 1+maxFields {
		return nil, nil, nil, errSyntax
	}
	tag, rest, err = readString(rest, majorBytes)
	if err != nil || len(tag) > maxTag {
		return nil, nil, nil, errSyntax
	}
	entries = entries[:0]
	var last []byte
	offset := int32(0)
	at := len(m) - len(rest)
	for range n - 1 {
		var e entry
		if at = e.parse(m, at); at < 0 || offset > maxRow {
			return nil, nil, nil, errSyntax
		}
		// Ascending names make the manifest of a set of fields unique, and a
		// field that is there twice impossible.
		name := e.name(m)
		if string(last) >= string(name) {
			return nil, nil, nil, errSyntax
		}
		e.offset = offset
		offset += e.length + overhead
		entries, last = append(entries, e), name
	}
	return tag, entries, m[at:], nil
}

// parse reads the entry at a position in m and returns the position behind it,
// or -1. It is written out because it is most of what opening one field costs.
func (e *entry) parse(m []byte, at int) int {
	if len(m)-at < 5 || m[at] != majorArray<<5|3 { // the shortest is array, head, one letter, code, length
		return -1
	}
	size := int(m[at+1]) - majorText<<5
	at += 2
	if size == 24 {
		size = int(m[at])
		if at++; size < 24 {
			return -1
		}
	} else if size > 24 {
		return -1
	}
	if size < 1 || len(m)-at < size+2 || !validName(m[at:at+size]) {
		return -1
	}
	e.at, e.size = int32(at), uint8(size)
	at += size
	if e.code = code(m[at]); e.code == 0 || e.code >= 24 {
		return -1
	}
	major, n, rest, err := readHead(m[at+1:])
	if err != nil || major != majorUint || n == 0 || n > maxValue {
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
