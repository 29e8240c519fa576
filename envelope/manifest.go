package envelope

import "bytes"

// entry is one field in a manifest.
type entry struct {
	name   []byte
	code   code
	length int // of the encoded value; its ciphertext is 16 bytes longer
	offset int // of its ciphertext, from the first field of the section
}

// manifestSize is the number of bytes that [appendManifest] writes.
func manifestSize(tag []byte, entries []entry) int {
	n := headSize(1+len(entries)) + headSize(len(tag)) + len(tag)
	for i := range entries {
		e := &entries[i]
		n += 1 + headSize(len(e.name)) + len(e.name) + 1 + headSize(e.length)
	}
	return n
}

// appendManifest writes a manifest without its padding. Names must ascend.
func appendManifest(dst, tag []byte, entries []entry) []byte {
	dst = appendHead(dst, majorArray, uint64(1+len(entries)))
	dst = append(appendHead(dst, majorBytes, uint64(len(tag))), tag...)
	for i := range entries {
		e := &entries[i]
		dst = append(dst, majorArray<<5|3)
		dst = append(appendHead(dst, majorText, uint64(len(e.name))), e.name...)
		dst = append(dst, byte(e.code)) // an integer below 24
		dst = appendHead(dst, majorUint, uint64(e.length))
	}
	return dst
}

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
