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

// entryPage is how many entries are verified at a time.
const entryPage = 1024

// Entries goes through the log as it is when the loop begins and yields the
// entries that f selects, in the log's order, which is nearly and not always that
// of their times. Every entry that it passes is verified against the signed head;
// the first that does not hold ends the loop with [ErrTampered]. No patient is
// named: that takes the patient's own key, see [Log.History]. The loop may use
// the log.
func (l *Log) Entries(ctx context.Context, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		size, err := l.tree().Size(ctx)
		for from := int64(0); err == nil && from < size; from += entryPage {
			var page []Entry
			if page, err = l.page(ctx, &f, from, min(size, from+entryPage)); err != nil {
				break
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
		}
		if err != nil {
			yield(Entry{}, fmt.Errorf("consent: entries: %w", err))
		}
	}
}

var errEnough = errors.New("enough")

// page returns what f selects of the entries in [from, to). It holds no
// connection when it returns: whoever loops may need it.
func (l *Log) page(ctx context.Context, f *Filter, from, to int64) (out []Entry, err error) {
	err = l.tree().Leaves(ctx, from, func(i int64, leaf []byte) error {
		if i == to {
			return errEnough
		}
		b, err := l.open(ctx, leaf)
		if err != nil {
			return err
		}
		if f.selects(b, binary.BigEndian.Uint32(leaf[1:5])) {
			out = append(out, b.entry(i))
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return out, nil
}
