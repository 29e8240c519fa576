package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/keyring"
)

// checkNewer demands that a rotation has made a difference.
func checkNewer(fresh, old uint32) error {
	if old == 0 || fresh <= old {
		return fmt.Errorf("the version is %d and was %d", fresh, old)
	}
	return nil
}

// checkErased demands the typed error for an erased patient.
func checkErased(err error) error {
	if !errors.Is(err, keyring.ErrShredded) {
		return fmt.Errorf("the answer is: %w", orOpened(err))
	}
	return nil
}

// checkCompleted demands a tombstone for each key that was destroyed.
func checkCompleted(tombstones, destroyed int) error {
	if destroyed == 0 || tombstones != destroyed {
		return fmt.Errorf("%d tombstones for %d destroyed keys", tombstones, destroyed)
	}
	return nil
}

// checkLog verifies the whole log, and demands an entry for each act and the
// head that is kept outside. It returns the number of entries.
func checkLog(ctx context.Context, log *consent.Log, acts int64, kept []byte) (int64, error) {
	n, err := log.Verify(ctx)
	if err != nil {
		return 0, err
	}
	head, err := log.Checkpoint(ctx)
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(head, kept) {
		return 0, errors.New("the log's head is not the one that is kept outside")
	}
	if n != acts {
		return 0, fmt.Errorf("%d entries for %d acts", n, acts)
	}
	return n, nil
}

// checkHistory demands that each entry is about the patient, and is proved to
// be in the log of the checkpoint that is kept outside.
func checkHistory(ctx context.Context, log *consent.Log, history []consent.Entry, patient, verifier string, kept []byte) error {
	if len(history) == 0 {
		return errors.New("the patient has no history")
	}
	for _, e := range history {
		if e.Subject != patient {
			return fmt.Errorf("entry %d is about another patient", e.Index)
		}
		p, err := log.Prove(ctx, e.Index)
		if err != nil {
			return err
		}
		if p.Index != e.Index || !bytes.Equal(p.Checkpoint, kept) {
			return fmt.Errorf("entry %d: the proof is of another entry or another checkpoint", e.Index)
		}
		if err := p.Check(verifier); err != nil {
			return err
		}
	}
	return nil
}

// checkTampered demands that the entry which was changed is named.
func checkTampered(found error, index int64) error {
	if !errors.Is(found, consent.ErrTampered) {
		return fmt.Errorf("the answer is: %w", orOpened(found))
	}
	if !strings.Contains(found.Error(), fmt.Sprintf("entry %d:", index)) {
		return fmt.Errorf("another entry is named: %w", found)
	}
	return nil
}
