package chunked

// Seal appends the chunks of a whole message in memory, which follow its head,
// to dst.
func (k Key) Seal(dst, message []byte) []byte {
	m, n := k.use(), new(nonce)
	for i := int64(0); ; i++ {
		size := min(len(message), Size)
		dst = m.aead.Seal(dst, m.nonce(n, i), message[:size], nil)
		if size < Size {
			return dst
		}
		message = message[size:]
	}
}

// Open returns the message in all of its chunks, in memory, or ErrOpen. With
// its head they have a length that [PlainSize] takes.
func (k Key) Open(chunks []byte) ([]byte, error) {
	m, n := k.use(), new(nonce)
	message := make([]byte, 0, len(chunks))
	for i := int64(0); ; i++ {
		size := min(len(chunks), stride)
		var err error
		if message, err = m.aead.Open(message, m.nonce(n, i), chunks[:size], nil); err != nil {
			clear(message)
			return nil, ErrOpen
		}
		if size < stride {
			return message, nil
		}
		chunks = chunks[size:]
	}
}
