package consent

import (
	"sync"

	"github.com/rahasia/rahasia/consent/internal/evidence"
)

// replays keeps the consents of the patients that were lately asked for, each with
// the mark of the event up to which they are: the ledger is asked every time whether
// there is a newer one. They hold nothing but what whoever has the ledger's keyset
// can read at any time, and are given only to who still has it.
type replays struct {
	mu sync.Mutex
	of map[string]replayed
}

type replayed struct {
	all  []Consent
	mark evidence.Mark
}

// maxReplays is how many patients' are kept.
const maxReplays = 1024

func (r *replays) get(subject string) ([]Consent, evidence.Mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.of[subject]
	return kept.all, kept.mark
}

func (r *replays) put(subject string, all []Consent, mark evidence.Mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string]replayed{}
	}
	for other := range r.of {
		if len(r.of) < maxReplays {
			break
		}
		delete(r.of, other) // whichever comes first: Go begins anywhere
	}
	r.of[subject] = replayed{all, mark}
}
