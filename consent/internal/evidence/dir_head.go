package evidence

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// headText is the head's file: one JSON object and a newline, in the one spelling
// that encode writes. Of it the note is signed; the tree checks the rest against
// that.
type headText struct {
	Format string `json:"format"`
	Size   int64  `json:"size"`
	Epoch  int64  `json:"epoch"`
	Until  int64  `json:"until"`  // when the lease runs out, in milliseconds since 1970
	Blocks int64  `json:"blocks"` // that have places
	End    int64  `json:"end"`    // where they end on the tape
	Last   int64  `json:"last"`   // id of the last
	Note   string `json:"note"`
}

const (
	headFormat = "rahasia/dir-log-head/v1"
	maxHead    = 16 << 10
)

// encode cannot fail: the members are texts and numbers.
func (h headText) encode() string {
	h.Format = headFormat
	b, _ := json.Marshal(h)
	return string(b) + "\n"
}

// decodeHead refuses every spelling but encode's.
func decodeHead(b []byte) (h headText, err error) {
	if len(b) > maxHead || json.Unmarshal(b, &h) != nil || h.encode() != string(b) ||
		h.Size <= 0 || h.Epoch <= 0 || h.Until < 0 || h.Blocks <= 0 || h.Blocks > h.Size || h.End <= 0 || h.Last <= 0 {
		return headText{}, fmt.Errorf("head: %w", ErrTampered) // the file's bytes stay out of the error
	}
	return h, nil
}

func (h headText) placed() placed { return placed{h.Blocks, h.End, h.Last} }

func (s *dirTree) stateOf(h headText) state {
	out := state{size: h.Size, epoch: h.Epoch, placed: h.placed()}
	if h.Note != "" {
		out.note = []byte(h.Note)
	}
	// A lease of more than its length was given before the clock was set back.
	left := h.Until - time.Now().UnixMilli()
	out.held = left > 0 && left <= lease.Milliseconds()
	return out
}

// placeRow is a row of the places' file: where the block of a place lies on the tape.
type placeRow struct{ first, at, id int64 }

const placeSize = 3 * 8

func appendPlace(b []byte, p placeRow) []byte {
	for _, n := range []int64{p.first, p.at, p.id} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func decodePlace(b []byte) placeRow {
	n := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) }
	return placeRow{n(0), n(1), n(2)}
}
