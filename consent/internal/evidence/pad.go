package evidence

import "bytes"

// bucket is what sealed texts are padded to, so that their length does not tell
// a refusal from a permit, or which labels one names.
const bucket = 128

// Pad appends 0x80 and then zeros up to the next multiple of 128 bytes.
func Pad(text []byte) []byte {
	text = append(text, 0x80)
	return append(text, make([]byte, (bucket-len(text)%bucket)%bucket)...)
}

// Unpad takes away what [Pad] appended, and nothing else.
func Unpad(padded []byte) ([]byte, error) {
	text := bytes.TrimRight(padded, "\x00")
	if len(padded)%bucket != 0 || len(padded)-len(text) >= bucket || !bytes.HasSuffix(text, []byte{0x80}) {
		return nil, ErrTampered
	}
	return text[:len(text)-1], nil
}
