package envelope

import "bytes"

// entry is one field in a manifest.
type entry struct {
	name   []byte
	code   code
	length int // of the encoded value; its ciphertext is 16 bytes longer
	offset int // of its ciphertext, from the first field of the section
}

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

// parseManifest reads what appendManifest wrote into entries[:0], and returns
// the bytes behind it. tag and the names alias src.
func parseManifest(src []byte, entries []entry) (tag []byte, _ []entry, rest []byte, err error) {
	n, rest, err := readCount(src, majorArray)
	if err != nil || n < 1 || n > 1+maxFields {
		return nil, nil, nil, errSyntax
	}
	tag, rest, err = readString(rest, majorBytes)
	if err != nil || len(tag) > maxTag {
		return nil, nil, nil, errSyntax
	}
	entries = entries[:0]
	var last []byte
	offset := 0
	for range n - 1 {
		var e entry
		if e, rest, err = parseEntry(rest); err != nil {
			return nil, nil, nil, err
		}
		// Ascending names make the manifest of a set of fields unique, and a
		// field that is there twice impossible.
		if bytes.Compare(last, e.name) >= 0 {
			return nil, nil, nil, errSyntax
		}
		e.offset = offset
		offset += e.length + overhead
		entries, last = append(entries, e), e.name
	}
	return tag, entries, rest, nil
}

func parseEntry(src []byte) (e entry, rest []byte, err error) {
	if len(src) < 2 || src[0] != majorArray<<5|3 {
		return entry{}, nil, errSyntax
	}
	// A name of up to 23 bytes, as nearly all are, needs no general head.
	size, rest := int(src[1])-majorText<<5, src[2:]
	if size == 24 && len(rest) > 0 && rest[0] >= 24 {
		size, rest = int(rest[0]), rest[1:]
	} else if size < 0 || size >= 24 {
		return entry{}, nil, errSyntax
	}
	if size >= len(rest) || !validName(rest[:size]) {
		return entry{}, nil, errSyntax
	}
	e.name, rest = rest[:size:size], rest[size:]
	if rest[0] > 0 && rest[0] < 24 {
		e.code, rest = code(rest[0]), rest[1:]
	} else {
		return entry{}, nil, errSyntax
	}
	major, n, rest, err := readHead(rest)
	if err != nil || major != majorUint || n == 0 || n > maxValue {
		return entry{}, nil, errSyntax
	}
	e.length = int(n)
	return e, rest, nil
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
	return last.offset + last.length + overhead
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
