package envelope

import "fmt"

// maxPayload is the longest payload of a message or an item, in bytes.
const maxPayload = maxValue

// leastContent is the shortest content, in bytes.
const leastContent = 64 - overhead

// endMark ends the payload; zero bytes follow.
const endMark = 0x80

// checkContent refuses what no content holds.
func checkContent(subject string, payload []byte) error {
	switch {
	case subject == "":
		return fmt.Errorf("%w: no subject id", ErrEmpty)
	case len(subject) > maxID:
		return fmt.Errorf("%w: a subject id longer than %d bytes", ErrLimit, maxID)
	case len(payload) > maxPayload:
		return fmt.Errorf("%w: a payload longer than %d bytes", ErrLimit, maxPayload)
	}
	return nil
}

// contentSize returns the length of a content, so that it and a tag of AES-GCM
// are as long as padded says.
func contentSize(subject, payload int) int {
	return padded(1+subject+payload+1+overhead) - overhead
}

// validContentSize reports whether a content can be n bytes long.
func validContentSize(n int) bool {
	return n >= leastContent && n <= contentSize(maxID, maxPayload) && padded(n+overhead) == n+overhead
}

// appendContent appends the content of subject and payload, which must have
// passed checkContent.
func appendContent(dst []byte, subject string, payload []byte) []byte {
	zeros := contentSize(len(subject), len(payload)) - 1 - len(subject) - len(payload) - 1
	dst = append(append(dst, byte(len(subject))), subject...)
	dst = append(append(dst, payload...), endMark)
	return append(dst, make([]byte, zeros)...)
}

// parseContent accepts exactly what appendContent writes. The payload aliases b.
func parseContent(b []byte) (subject string, payload []byte, ok bool) {
	end := len(b) - 1
	for end > 0 && b[end] == 0 {
		end--
	}
	if end < 0 || b[end] != endMark || b[0] == 0 {
		return "", nil, false
	}
	at := 1 + int(b[0])
	if at > end || end-at > maxPayload || contentSize(at-1, end-at) != len(b) {
		return "", nil, false
	}
	return string(b[1:at]), b[at:end:end], true
}
