package consent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Filter selects entries of the log. What is left empty selects everything.
type Filter struct {
	From  time.Time // not before
	Until time.Time // before

	Actor     string
	Role      string
	Purpose   Purpose
	Action    string // as [Entry.Action]
	Type      string // record type
	Field     string // among the fields that were given
	Outcome   string // as [Entry.Outcome]
	Recipient string

	// KeyVersion is the version of the keyset "consent/log" that the entry is
	// sealed under: what a key that leaked could read.
	KeyVersion uint32
}

func (f *Filter) selects(b *logBody, version uint32) bool {
	at := time.Unix(0, b.Time)
	switch {
	case !f.From.IsZero() && at.Before(f.From), !f.Until.IsZero() && !at.Before(f.Until):
		return false
	case f.KeyVersion != 0 && f.KeyVersion != version:
		return false
	case f.Purpose != "" && f.Purpose != b.Purpose:
		return false
	case f.Field != "" && !slices.Contains(b.Fields, f.Field):
		return false
	}
	for _, is := range [...][2]string{
		{f.Actor, b.Actor}, {f.Role, b.Role}, {f.Action, b.Action}, {f.Type, b.Type}, {f.Outcome, b.Outcome}, {f.Recipient, b.Recipient},
	} {
		if is[0] != "" && is[0] != is[1] {
			return false
		}
	}
	return true
}

// Entries goes through the log as it is when the loop begins and yields the
// entries that f selects, in the log's order, which is nearly and not always that
// of their times. Every entry that it passes is verified against the signed head;
// the first that does not hold ends the loop with [ErrTampered]. No patient is
// named: that takes the patient's own key, see [Log.History]. The loop may use
// the log.
func (l *Log) Entries(ctx context.Context, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for e, err := range l.walk(ctx) {
			if err != nil {
				yield(Entry{}, fmt.Errorf("consent: entries: %w", err))
				return
			}
			if f.selects(e.logBody, e.version) && !yield(e.entry(e.index), nil) {
				return
			}
		}
	}
}

// logged is an entry as it was sealed, and where.
type logged struct {
	*logBody
	index   int64
	version uint32 // of the keyset
}

// entryPage is how many entries are verified at a time.
const entryPage = 1024

// walk yields every entry of the log as it is when the loop begins, verified, or
// last an error. It holds no connection while the loop has one: whoever loops may
// need it.
func (l *Log) walk(ctx context.Context) iter.Seq2[logged, error] {
	return func(yield func(logged, error) bool) {
		size, err := l.tree().Size(ctx)
		for from := int64(0); err == nil && from < size; from += entryPage {
			var page []logged
			if page, err = l.page(ctx, from, min(size, from+entryPage)); err != nil {
				break
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(logged{}, err)
		}
	}
}

var errEnough = errors.New("enough")

// page returns the entries in [from, to).
func (l *Log) page(ctx context.Context, from, to int64) (out []logged, err error) {
	err = l.tree().Leaves(ctx, from, func(i int64, leaf []byte) error {
		if i == to {
			return errEnough
		}
		b, err := l.open(ctx, leaf)
		if err == nil {
			out = append(out, logged{b, i, binary.BigEndian.Uint32(leaf[1:5])})
		}
		return err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return out, nil
}
