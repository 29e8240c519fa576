// Package racetest lets several processes do everything to one ring at once,
// and looks at what they saw.
package racetest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rahasia/rahasia/keyring"
)

// What tells a child what to do: its number, for how long it goes on in the
// end, the folder of journal and key file, and the place of the store.
const environment = "RAHASIA_RACETEST"

// Open opens the store at a place.
type Open func(t testing.TB, place string) keyring.Store

const (
	processes  = 3
	goroutines = 8
	subjects   = 40
	common     = 8 // of the subjects are erased by every process
	erased     = common + 1
	rotations  = 2 // by each process

	bound = 5 * time.Second       // within which an erasure is seen everywhere
	slack = 20 * time.Millisecond // between the clocks of the processes
)

var compartments = []string{"clinical", "identity"}

// Run lets 3 processes of 8 goroutines create, load, rotate, rewrap and shred
// the same 40 subjects, on the store at place and one journal file. Whatever was
// sealed by any of them opens afterwards, but for the erased; nobody ever saw two
// keys of one subject in one compartment; and an erased subject's keys were had
// nowhere later than 5 seconds after, nor in the eraser at all. It must be called
// by a test without subtests around it, which it calls again in each process. It
// takes some 8 seconds, or with -short 2 and then does not wait for the bound.
func Run(t *testing.T, fresh func(t testing.TB) (place string), open Open) {
	if order, ok := os.LookupEnv(environment); ok {
		newChild(t, strings.Split(order, "\n"), open).run()
		return
	}
	t.Parallel()
	place, dir, last := fresh(t), t.TempDir(), bound+time.Second/2
	if testing.Short() {
		last = 0
	}
	cfg := config(t, dir, place, open)
	r, err := keyring.Create(t.Context(), "clinic", cfg)
	must(t, err)
	for _, name := range compartments {
		must(t, r.CreateKeyset(t.Context(), name))
	}
	must(t, r.Close())

	var wait sync.WaitGroup
	for n := range processes {
		wait.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
			cmd.Env = append(os.Environ(), environment+"="+fmt.Sprintf("%d\n%s\n%s\n%s", n, last, dir, place))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("process %d: %v\n%s", n, err, out)
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		return
	}
	seen := gather(t, dir)
	if wrong := judge(seen, last > bound); len(wrong) > 0 {
		t.Errorf("%d violations, the first:\n%s", len(wrong), strings.Join(wrong[:min(10, len(wrong))], "\n"))
	}
	after, err := keyring.Open(t.Context(), cfg)
	must(t, err)
	defer after.Close()
	dead, err := cfg.Store.Inactive(t.Context(), nil, subjects*len(compartments))
	must(t, err)
	if len(dead) != erased*len(compartments) {
		t.Errorf("the store has %d tombstones of %d subjects", len(dead), erased)
	}
	opened := reopen(t, after, seen)
	t.Logf("%d events, %d records opened again, %d erased subjects", len(seen), opened, erased)
}

// Child reports whether this process is one of those that race.
func Child() bool {
	_, ok := os.LookupEnv(environment)
	return ok
}

func config(t testing.TB, dir, place string, open Open) keyring.Config {
	journal, err := keyring.OpenJournal(filepath.Join(dir, "journal"))
	must(t, err)
	kek, err := keyring.OpenKeyFile(filepath.Join(dir, "key"))
	if err != nil {
		kek, err = keyring.CreateKeyFile(filepath.Join(dir, "key"))
	}
	must(t, err)
	return keyring.Config{Store: open(t, place), Journal: journal, KEK: kek}
}

// gather reads what the processes noted.
func gather(t testing.TB, dir string) (all []event) {
	for n := range processes {
		f, err := os.Open(filepath.Join(dir, fmt.Sprint("events-", n)))
		must(t, err)
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			e, err := parse(lines.Text())
			must(t, err)
			e.process = n
			all = append(all, e)
		}
		must(t, lines.Err())
		must(t, f.Close())
	}
	return all
}

// judge says what must not have been seen. With bounded it also says if the
// bound was never put to the test.
func judge(all []event, bounded bool) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	gone := map[int]event{} // subject to the first receipt
	for _, e := range all {
		if e.kind != shredded {
			continue
		}
		first, again := gone[e.subject]
		if again && first.key != e.key {
			say("subject %d has two receipts", e.subject)
		}
		if !again || e.ended < first.ended {
			gone[e.subject] = e
		}
	}
	if len(gone) != erased {
		say("%d subjects were erased, not %d", len(gone), erased)
	}
	keys, tested := map[string]string{}, 0
	for _, e := range all {
		switch e.kind {
		case wrongly:
			say("process %d: %s", e.process, e.key)
		case refused:
			if first, ok := gone[e.subject]; !ok {
				say("process %d: living subject %d is erased", e.process, e.subject)
			} else if e.process != first.process && time.Duration(e.began-first.ended) > bound {
				tested++
			}
		case had, sealed:
			id := fmt.Sprint(e.subject, " ", e.compartment)
			if was, known := keys[id]; known && was != e.key {
				say("process %d: subject %d has two keys in %s", e.process, e.subject, compartments[e.compartment])
			}
			keys[id] = e.key
			first, ok := gone[e.subject]
			late := time.Duration(e.began - first.ended)
			if ok && (late > bound+slack || late > 0 && e.process == first.process && e.shredder(all)) {
				say("process %d: erased subject %d's key %v later", e.process, e.subject, late)
			}
		}
	}
	if bounded && tested == 0 {
		say("nobody asked for an erased subject more than %v later", bound)
	}
	return wrong
}

// shredder reports whether the event's own process has shredded its subject before it.
func (e event) shredder(all []event) bool {
	for _, s := range all {
		if s.kind == shredded && s.process == e.process && s.subject == e.subject && s.ended < e.began {
			return true
		}
	}
	return false
}

// reopen opens every record that was sealed, by a ring that is fresh, and
// returns how many were opened.
func reopen(t testing.TB, r *keyring.Ring, seen []event) (opened int) {
	for _, e := range seen {
		if e.kind != sealed {
			continue
		}
		keys, err := r.Subject(context.Background(), name(e.subject), compartments[e.compartment])
		if e.subject < erased {
			if !isShredded(err) {
				t.Fatalf("subject %d is erased, and: %v", e.subject, err)
			}
			continue
		}
		must(t, err)
		if err := openRecord(keys[0], e.record); err != nil {
			t.Fatalf("a record of subject %d does not open: %v", e.subject, err)
		}
		opened++
	}
	if opened == 0 {
		t.Fatal("no record was sealed")
	}
	return opened
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
