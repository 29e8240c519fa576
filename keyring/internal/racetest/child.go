package racetest

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// What a process notes.
const (
	had      = "had"      // a key, by the time the call began
	sealed   = "sealed"   // a record under it
	refused  = "refused"  // the subject is erased
	shredded = "shredded" // it was erased, by the time the call ended; key is the receipt's hash
	wrongly  = "wrongly"  // anything else; key says what
)

// event is one line of a process's notes.
type event struct {
	process, subject, compartment int
	kind, key                     string
	began, ended                  int64
	record                        []byte
}

func (e *event) String() string {
	return fmt.Sprintf("%s %d %d %d %d %x %q", e.kind, e.subject, e.compartment, e.began, e.ended, e.record, e.key)
}

func parse(line string) (e event, err error) {
	var record string
	// A record may be empty, which %x would not read.
	if n, _ := fmt.Sscanf(line, "%s %d %d %d %d %s %q", &e.kind, &e.subject, &e.compartment, &e.began, &e.ended, &record, &e.key); n == 7 {
		e.record, err = hex.DecodeString(record)
		return e, err
	}
	_, err = fmt.Sscanf(line, "%s %d %d %d %d  %q", &e.kind, &e.subject, &e.compartment, &e.began, &e.ended, &e.key)
	return e, err
}

func name(subject int) string { return fmt.Sprint("patient-", subject) }

func isShredded(err error) bool { return errors.Is(err, keyring.ErrShredded) }

// child is one of the processes that race.
type child struct {
	t      testing.TB
	number int
	dir    string
	last   time.Duration // after the last erasure
	ring   *keyring.Ring

	calm, over atomic.Bool

	mu      sync.Mutex
	notes   *bufio.Writer
	records []event // that this process sealed
	close   func()
}

func newChild(t testing.TB, order []string, open Open) *child {
	if len(order) != 4 {
		t.Fatalf("racetest: an order of %d parts", len(order))
	}
	number, err := strconv.Atoi(order[0])
	must(t, err)
	last, err := time.ParseDuration(order[1])
	must(t, err)
	c := &child{t: t, number: number, dir: order[2], last: last}
	ring, err := keyring.Open(t.Context(), config(t, order[2], order[3], open))
	must(t, err)
	f, err := os.Create(filepath.Join(order[2], fmt.Sprint("events-", c.number)))
	must(t, err)
	c.ring, c.notes = ring, bufio.NewWriter(f)
	c.close = func() {
		must(t, errors.Join(c.notes.Flush(), f.Close(), ring.Close()))
	}
	return c
}

func (c *child) note(e event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintln(c.notes, e.String())
	if e.kind == sealed {
		c.records = append(c.records, e)
	}
}

// run lets the clerks go on while one erases what all erase and one rotates. When
// that is over in all processes, the first erases one more, of which the others
// learn only by looking, and all go on for as long as they may take for that.
func (c *child) run() {
	var clerks, others sync.WaitGroup
	for range goroutines - 2 {
		clerks.Go(c.clerk)
	}
	others.Go(c.eraser)
	others.Go(c.custodian)
	others.Wait()
	c.calm.Store(true)
	if c.number == 0 {
		for n := range processes - 1 {
			c.await(fmt.Sprint("done-", n+1))
		}
		time.Sleep(300 * time.Millisecond) // until all have her key in memory
		c.shred(common)
		c.mark("erased")
	} else {
		c.mark(fmt.Sprint("done-", c.number))
		c.await("erased")
	}
	time.Sleep(c.last)
	c.over.Store(true)
	clerks.Wait()
	c.close()
}

func (c *child) mark(what string) {
	must(c.t, os.WriteFile(filepath.Join(c.dir, what), nil, 0o600))
}

// await waits for the mark of another process.
func (c *child) await(what string) {
	for range 6000 {
		if _, err := os.Stat(filepath.Join(c.dir, what)); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	c.note(event{kind: wrongly, key: "waited in vain: " + what})
}

// clerk creates, loads, seals and opens.
func (c *child) clerk() {
	for !c.over.Load() {
		subject := rand.IntN(subjects)
		if rand.IntN(4) == 0 {
			subject = common
		}
		switch rand.IntN(10) {
		case 0, 1, 2:
			c.ask(subject, func(ctx context.Context, names ...string) ([]*keyring.SubjectKey, error) {
				return c.ring.CreateSubject(ctx, name(subject), names...)
			})
		case 3:
			c.page()
		case 4, 5:
			c.again()
		default:
			c.ask(subject, func(ctx context.Context, names ...string) ([]*keyring.SubjectKey, error) {
				return c.ring.Subject(ctx, name(subject), names...)
			})
		}
		pause := 4 * time.Millisecond
		if c.calm.Load() {
			pause = 40 * time.Millisecond
		}
		time.Sleep(rand.N(pause))
	}
}

// ask asks for a subject's keys and notes what came of it.
func (c *child) ask(subject int, get func(context.Context, ...string) ([]*keyring.SubjectKey, error)) {
	began := time.Now().UnixNano()
	keys, err := get(c.t.Context(), compartments...)
	c.got(subject, began, keys, err)
}

// page asks for several subjects at once.
func (c *child) page() {
	from := rand.IntN(subjects - 5)
	var ids []string
	for i := range 5 {
		ids = append(ids, name(from+i))
	}
	began := time.Now().UnixNano()
	got, err := c.ring.CreateSubjects(c.t.Context(), ids, compartments...)
	if err != nil {
		c.note(event{kind: wrongly, key: err.Error()})
		return
	}
	for i := range got {
		c.got(from+i, began, got[i].Keys, got[i].Err)
	}
}

func (c *child) got(subject int, began int64, keys []*keyring.SubjectKey, err error) {
	e := event{subject: subject, began: began}
	switch {
	case isShredded(err):
		e.kind = refused
		c.note(e)
	case errors.Is(err, keyring.ErrNoSubjectKey):
	case err != nil:
		e.kind, e.key = wrongly, err.Error()
		c.note(e)
	default:
		for i, key := range keys {
			e.kind, e.compartment = had, i
			e.key = hex.EncodeToString(secret.Expose(key.Derive("rahasia/race-test/v1"))[:8])
			if rand.IntN(4) == 0 {
				e.kind, e.record = sealed, sealRecord(key)
			}
			c.note(e)
			e.record = nil
		}
	}
}

// again opens a record that this process sealed before.
func (c *child) again() {
	c.mu.Lock()
	if len(c.records) == 0 {
		c.mu.Unlock()
		return
	}
	e := c.records[rand.IntN(len(c.records))]
	c.mu.Unlock()
	began := time.Now().UnixNano()
	keys, err := c.ring.Subject(c.t.Context(), name(e.subject), compartments[e.compartment])
	if err == nil {
		err = openRecord(keys[0], e.record)
	}
	switch {
	case isShredded(err):
		c.note(event{kind: refused, subject: e.subject, began: began})
	case err != nil:
		c.note(event{kind: wrongly, key: "opening again: " + err.Error()})
	}
}

// eraser erases the same subjects as that of every other process.
func (c *child) eraser() {
	for _, subject := range rand.Perm(common) {
		c.shred(subject)
	}
}

func (c *child) shred(subject int) {
	// One that never had a key cannot be erased.
	c.ask(subject, func(ctx context.Context, names ...string) ([]*keyring.SubjectKey, error) {
		return c.ring.CreateSubject(ctx, name(subject), names...)
	})
	receipt, err := c.ring.Shred(c.t.Context(), name(subject))
	if err != nil {
		c.note(event{kind: wrongly, key: "shred: " + err.Error()})
		return
	}
	c.note(event{kind: shredded, subject: subject, ended: time.Now().UnixNano(), key: hex.EncodeToString(receipt.Hash[:])})
}

// custodian rotates, and moves what was there under the new version.
func (c *child) custodian() {
	for i := range rotations {
		time.Sleep(rand.N(200 * time.Millisecond))
		if _, err := c.ring.Rotate(c.t.Context(), compartments[i%len(compartments)]); err != nil {
			c.note(event{kind: wrongly, key: "rotate: " + err.Error()})
		}
		report, err := c.ring.Rewrap(c.t.Context(), keyring.Rewrapping{})
		if err != nil || report.Failed > 0 {
			c.note(event{kind: wrongly, key: fmt.Sprintf("rewrap: %v, %d failed", err, report.Failed)})
		}
	}
}

var text = []byte("a finding")

func sealRecord(key *keyring.SubjectKey) []byte {
	record, err := key.Record(key.Generation())
	if err != nil {
		return nil
	}
	return secret.SealRandom(record, nil, text, nil)
}

func openRecord(key *keyring.SubjectKey, sealed []byte) error {
	record, err := key.Record(key.Generation())
	if err != nil {
		return err
	}
	_, err = secret.OpenRandom(record, nil, sealed, nil)
	return err
}
