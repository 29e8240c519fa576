//go:build unix

// Package killtest kills processes in the middle of what they do to a store,
// and looks at what the next process finds.
package killtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// What tells a child what to do: the job, the fault point to die at, the folder
// of journal and key file, and the place of the store.
const environment = "RAHASIA_KILLTEST"

// Open opens the store at a place. It calls point, which may be the last thing
// it does, at every fault point of its own; the calls of the store are fault
// points already.
type Open func(t testing.TB, place string, point func()) keyring.Store

var (
	compartments = []string{"clinical", "identity"}
	jobs         = []string{"create", "rotate", "shred"}
)

// Run does each job again and again, each time in a process that is killed with
// SIGKILL one fault point later, until it is done before that: before and after
// each call of the store, and at each point inside one. After each death the
// store is reopened: no key is lost, none is back, what was acknowledged holds,
// and the job can be done again. It must be called by a test without subtests
// around it, and fresh makes an empty place for a store. With -short it tries
// every fifth point.
func Run(t *testing.T, fresh func(t testing.TB) (place string), open Open) {
	if order, ok := os.LookupEnv(environment); ok {
		child(t, strings.Split(order, "\n"), open)
		return
	}
	step := 1
	if testing.Short() {
		step = 5
	}
	for _, job := range jobs {
		t.Run(job, func(t *testing.T) {
			t.Parallel() // they wait for the disk most of the time
			deaths, killed := 0, true
			for at := 1; killed; at += step {
				ok := t.Run(fmt.Sprint("point ", at), func(t *testing.T) {
					c := &clinic{place: fresh(t), dir: t.TempDir(), open: open}
					c.prepare(t)
					var acknowledged string
					acknowledged, killed = c.kill(t, job, at)
					c.verify(t, job, acknowledged)
				})
				if !ok {
					return
				}
				if killed {
					deaths++
				}
			}
			if deaths < 6 {
				t.Errorf("%s died %d times only: the fault points are not reached", job, deaths)
			}
			t.Logf("%s: killed at %d fault points", job, deaths)
		})
	}
}

// clinic is a ring and what is known of it.
type clinic struct {
	place, dir string
	open       Open
	keys       map[string]string // subject's keys, as text
}

func (c *clinic) config(t testing.TB, point func()) keyring.Config {
	journal, err := keyring.OpenJournal(filepath.Join(c.dir, "journal"))
	must(t, err)
	kek, err := keyring.KeyFile(filepath.Join(c.dir, "key"))
	if errors.Is(err, os.ErrNotExist) {
		kek, err = keyring.CreateKeyFile(filepath.Join(c.dir, "key"))
	}
	must(t, err)
	return keyring.Config{Store: &store{c.open(t, c.place, point), point}, Journal: journal, KEK: kek}
}

// prepare makes a ring where alice and budi live and carol was erased.
func (c *clinic) prepare(t testing.TB) {
	r, err := keyring.Create(t.Context(), "clinic", c.config(t, func() {}))
	must(t, err)
	c.keys = map[string]string{}
	for _, name := range compartments {
		must(t, r.CreateKeyset(t.Context(), name))
	}
	for _, subject := range []string{"alice", "budi", "carol"} {
		keys, err := r.CreateSubject(t.Context(), subject, compartments...)
		must(t, err)
		c.keys[subject] = text(keys)
	}
	_, err = r.Shred(t.Context(), "carol")
	must(t, err)
	must(t, r.Close())
}

// text is what tells a subject's keys from others.
func text(keys []*keyring.SubjectKey) string {
	var parts []string
	for _, k := range keys {
		parts = append(parts, hex.EncodeToString(secret.Expose(k.Derive("rahasia/kill-test/v1"))))
	}
	return strings.Join(parts, "-")
}

// kill runs a job in a process that dies at a fault point, and returns what it
// had acknowledged by then.
func (c *clinic) kill(t testing.TB, job string, at int) (acknowledged string, killed bool) {
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), environment+"="+strings.Join([]string{job, strconv.Itoa(at), c.dir, c.place}, "\n"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if err != nil && !killed {
		t.Fatalf("child: %v\n%s", err, out)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "acknowledged "); ok {
			acknowledged = rest
		}
	}
	if !killed && acknowledged == "" {
		t.Fatalf("the child neither died nor did its job:\n%s", out)
	}
	return acknowledged, killed
}

// child does a job and dies on the way.
func child(t testing.TB, order []string, open Open) {
	if len(order) != 4 {
		t.Fatalf("killtest: an order of %d parts", len(order))
	}
	at, err := strconv.Atoi(order[1])
	must(t, err)
	point := func() {
		if at--; at == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal is there
		}
	}
	c := &clinic{dir: order[2], place: order[3], open: open}
	r, err := keyring.Open(t.Context(), c.config(t, point))
	must(t, err)
	done, err := do(t.Context(), r, order[0])
	must(t, err)
	fmt.Printf("acknowledged %s\n", done)
	point()
}

// do does a job and returns what it came to.
func do(ctx context.Context, r *keyring.Ring, job string) (string, error) {
	switch job {
	case "create":
		keys, err := r.CreateSubject(ctx, "dewi", compartments...)
		return text(keys), err
	case "rotate":
		version, err := r.Rotate(ctx, "clinical")
		return fmt.Sprint(version), err
	case "shred":
		receipt, err := r.Shred(ctx, "budi")
		return hex.EncodeToString(receipt.Hash[:]), err
	}
	return "", fmt.Errorf("killtest: no job %q", job)
}

// verify reopens the store.
func (c *clinic) verify(t testing.TB, job, acknowledged string) {
	t.Helper()
	r, err := keyring.Open(t.Context(), c.config(t, func() {}))
	must(t, err)
	c.living(t, r, "alice")
	c.erased(t, r, "carol")
	switch job {
	case "create":
		c.living(t, r, "budi")
		keys, err := r.Subject(t.Context(), "dewi", compartments...)
		switch {
		case err == nil:
			acknowledged = text(keys)
		case !errors.Is(err, keyring.ErrNoSubjectKey) || acknowledged != "":
			t.Errorf("a created subject: %v", err)
		default: // all or nothing: not a key in one compartment alone
			for _, name := range compartments {
				if _, err := r.Subject(t.Context(), "dewi", name); !errors.Is(err, keyring.ErrNoSubjectKey) {
					t.Errorf("half of a subject was created: %v", err)
				}
			}
		}
	case "rotate":
		c.living(t, r, "budi")
		ks, err := r.Keyset(t.Context(), "clinical")
		must(t, err)
		if p := ks.Primary(); p != 1 && p != 2 || acknowledged != "" && fmt.Sprint(p) != acknowledged {
			t.Errorf("primary is %d, acknowledged %q", p, acknowledged)
		}
		acknowledged = ""
	case "shred":
		if _, err := r.Subject(t.Context(), "budi", compartments[0]); acknowledged == "" && err == nil {
			c.living(t, r, "budi")
		} else {
			c.erased(t, r, "budi")
		}
	}
	again, err := do(t.Context(), r, job) // the job can be done again
	must(t, err)
	if acknowledged != "" && again != acknowledged {
		t.Errorf("%s came to something else than was acknowledged", job)
	}
	must(t, r.Close())
	c.reopened(t, job, again)
}

// reopened looks once more, when nothing is unfinished.
func (c *clinic) reopened(t testing.TB, job, done string) {
	t.Helper()
	r, err := keyring.Open(t.Context(), c.config(t, func() {}))
	must(t, err)
	c.living(t, r, "alice")
	c.erased(t, r, "carol")
	switch job {
	case "create":
		keys, err := r.Subject(t.Context(), "dewi", compartments...)
		must(t, err)
		if text(keys) != done {
			t.Error("another key than the one created")
		}
	case "shred":
		c.erased(t, r, "budi")
	}
	must(t, r.Close())
}

func (c *clinic) living(t testing.TB, r *keyring.Ring, subject string) {
	t.Helper()
	keys, err := r.Subject(t.Context(), subject, compartments...)
	must(t, err)
	if c.keys != nil && text(keys) != c.keys[subject] {
		t.Errorf("%s's keys are others", subject)
	}
}

func (c *clinic) erased(t testing.TB, r *keyring.Ring, subject string) {
	t.Helper()
	for _, names := range append([][]string{compartments}, slices.Collect(slices.Chunk(compartments, 1))...) {
		if _, err := r.CreateSubject(t.Context(), subject, names...); !errors.Is(err, keyring.ErrShredded) {
			t.Errorf("%s is erased, and: %v", subject, err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Child reports whether this process is one that is to die.
func Child() bool {
	_, ok := os.LookupEnv(environment)
	return ok
}
