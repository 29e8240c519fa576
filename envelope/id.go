package envelope

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// NewID returns a UUID of version 7 (RFC 9562, section 5.7) as text of 36
// characters: an id for a record, fit to be made before the record is sealed.
// Its first 48 bits are the time in milliseconds, which whoever sees the id
// sees too; 74 bits are random.
func NewID() string { return uuidText(newID()) }

func newID() (id [16]byte) {
	rand.Read(id[6:]) // never fails: crypto/rand ends the program instead
	ms := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint16(id[:], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:], uint32(ms))
	id[6] = id[6]&0x0f | 7<<4
	id[8] = id[8]&0x3f | 2<<6
	return id
}
