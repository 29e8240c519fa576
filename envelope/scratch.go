package envelope

import (
	"crypto/rand"
	"reflect"
)

// maxKept is the largest buffer that is kept for the next call, in bytes.
const maxKept = 64 << 10

// scratch is the memory of one call, kept in a pool. It holds plaintext and
// keys while the call runs and is wiped before it is given back.
type scratch struct {
	parts    []part
	lengths  []int  // of the encoded values of all parts
	index    []byte // manifest entries of all parts
	values   []byte // encoded values of all parts, or decrypted ones
	torn     bool   // behind them half a value may be left
	work     []byte // associated data
	lead     [leadSize]byte
	nonce    nonce
	wanted   []int   // columns
	found    []found // of wanted
	complete bool    // none of wanted is absent
	share    int     // bytes of what callers get as byte slices: parts of one allocation
	held     []reflect.Value
	reading  reading
}

// sealFresh seals the parts under a fresh random seal id.
func (s *scratch) sealFresh(dst []byte, b *binding) ([]byte, error) {
	var id [idSize]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	return s.seal(dst, b, id)
}

func (c *core) get() *scratch {
	s, _ := c.pool.Get().(*scratch)
	if s == nil {
		s = new(scratch)
	}
	return s
}

func (c *core) put(s *scratch) {
	clear(s.parts)
	s.parts = s.parts[:0]
	s.lengths = s.lengths[:0]
	s.index = wipe(s.index)
	if s.torn {
		s.values, s.torn = s.values[:cap(s.values)], false
	}
	s.values = wipe(s.values)
	s.work = wipe(s.work)
	s.lead = [leadSize]byte{}
	clear(s.held)
	s.wanted, s.found, s.held, s.share = s.wanted[:0], s.found[:0], s.held[:0], 0
	s.reading.wipe()
	c.pool.Put(s)
}

// wipe zeroes what b was used for and returns it empty. A buffer only ever
// grows during a call, so what lies beyond its length was wiped before.
func wipe(b []byte) []byte {
	if cap(b) > maxKept {
		clear(b)
		return nil
	}
	clear(b)
	return b[:0]
}
