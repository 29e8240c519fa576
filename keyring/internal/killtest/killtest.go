//go:build unix

// Package killtest kills processes in the middle of what they do to a store,
// and looks at what the next process finds.
package killtest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// What tells a child what to do: the job, the fault point to die at, the folder
// of journal and key files, and the place of the store.
const environment = "RAHASIA_KILLTEST"

// sample is how many fault points share one kill where not all are tried.
const sample = 8

// Stores are the stores of one kind.
type Stores struct {
	// Fresh makes an empty place for a store.
	Fresh func(t testing.TB) (place string)
	// Copy makes a copy of a store that nobody has open.
	Copy func(t testing.TB, from string) (place string)
	// Open opens the store at a place. It calls point, which may be the last
	// thing it does, at every fault point of its own; the calls of the store are
	// fault points already.
	Open func(t testing.TB, place string, point func()) keyring.Store
}

// Run does each job again and again, each time in a process that is killed with
// SIGKILL at another fault point: before and after each call of the store, and
// at each point inside one. After each death the store is reopened: no key is
// lost, none is back, what was acknowledged holds, and the job can be done
// again. It must be called by a test without subtests around it.
//
// All fault points are tried where the environment variable RAHASIA_KILL is
// "all", as CI has it, or where go test's -run names the kill tests ("Kill").
// Otherwise it is every eighth, from a random one on, for a process takes its
// time; the log says how many of how many, and from where.
func Run(t *testing.T, s Stores) {
	if order, ok := os.LookupEnv(environment); ok {
		child(t, strings.Split(order, "\n"), s)
		return
	}
	step := sample
	if os.Getenv("RAHASIA_KILL") == "all" || strings.Contains(flag.Lookup("test.run").Value.String(), "Kill") {
		step = 1
	}
	var forking sync.RWMutex
	for _, j := range jobs() {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel() // they wait for the disk most of the time
			j.run(t, s, step, &forking)
		})
	}
}

func (j *job) run(t *testing.T, s Stores, step int, forking *sync.RWMutex) {
	origin := &clinic{place: s.Fresh(t), dir: t.TempDir(), stores: s, forking: forking}
	func() {
		// A process that is being started has this one's files for a moment, and so
		// their locks, for which a bubble's time has no patience.
		forking.Lock()
		defer forking.Unlock()
		synctest.Test(t, func(t *testing.T) { origin.prepare(t, j.prepare) })
	}()
	points, _ := j.kill(t, origin.copy(t), 0)
	from, tried, deaths := 1+rand.IntN(step), 0, 0
	for at := from; at <= points; at += step {
		ok := t.Run(fmt.Sprint("point ", at), func(t *testing.T) {
			if _, killed := j.kill(t, origin.copy(t), at); killed {
				deaths++
			}
			tried++
		})
		if !ok {
			return
		}
	}
	// Whether a retry or two is needed may differ from run to run.
	if points < 16 || deaths < tried-tried/8 {
		t.Errorf("%s has %d fault points and died at %d of %d: they are not reached", j.name, points, deaths, tried)
	}
	t.Logf("%s: killed at %d of %d fault points, each %d from %d on", j.name, deaths, points, step, from)
}

// clinic is a ring and what is known of it.
type clinic struct {
	place, dir string
	stores     Stores
	forking    *sync.RWMutex     // held for reading while a process starts
	keys       map[string]string // subjects' keys, as text
	sealed     map[string][]byte // by compartment, under budi's first key
}

func compartments() []string { return []string{"clinical", "identity"} }

func (c *clinic) nextKey() string { return filepath.Join(c.dir, "next") }

// copy makes a clinic of its own out of one that nobody has open.
func (c *clinic) copy(t testing.TB) *clinic {
	to := &clinic{place: c.stores.Copy(t, c.place), dir: t.TempDir(), stores: c.stores, forking: c.forking, keys: c.keys, sealed: c.sealed}
	CopyFolder(t, c.dir, to.dir)
	return to
}

// CopyFolder copies the files in a folder, and in those below it, to another,
// for their owner alone.
func CopyFolder(t testing.TB, from, to string) {
	must(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), b, 0o600)
	}))
}

// config is what the clinic's ring is made of, under either of its two KEKs.
func (c *clinic) config(t testing.TB, point func()) keyring.Config {
	journal, err := keyring.OpenJournal(filepath.Join(c.dir, "journal"))
	must(t, err)
	key, err := keyring.OpenKeyFile(filepath.Join(c.dir, "key"))
	must(t, err)
	next, err := keyring.OpenKeyFile(c.nextKey())
	must(t, err)
	custodian, err := keyring.OpenCustodianKey(c.custodian())
	must(t, err)
	return keyring.Config{
		Store: &store{c.stores.Open(t, c.place, point), point}, Journal: journal,
		KEK: keyring.AnyKEK(key, next), Custodian: custodian.Custodian(),
	}
}

// prepare makes a ring where alice and budi live and carol was erased.
func (c *clinic) prepare(t testing.TB, more func(testing.TB, *clinic, *keyring.Ring)) {
	for _, path := range []string{filepath.Join(c.dir, "key"), c.nextKey()} {
		_, err := keyring.CreateKeyFile(path)
		must(t, err)
	}
	_, err := keyring.CreateCustodianKey(c.custodian())
	must(t, err)
	r, err := keyring.Create(t.Context(), "clinic", c.config(t, func() {}))
	must(t, err)
	c.keys, c.sealed = map[string]string{}, map[string][]byte{}
	for _, name := range compartments() {
		must(t, r.CreateKeyset(t.Context(), name))
	}
	for _, subject := range []string{"alice", "budi", "carol"} {
		keys, err := r.CreateSubject(t.Context(), subject, compartments()...)
		must(t, err)
		c.keys[subject] = text(keys)
		if subject == "budi" {
			for _, k := range keys {
				aead, err := k.Record(1)
				must(t, err)
				c.sealed[k.Compartment()] = secret.SealRandom(aead, nil, []byte("a record"), nil)
			}
		}
	}
	_, err = r.Shred(t.Context(), "carol")
	must(t, err)
	if more != nil {
		more(t, c, r)
	}
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

// kill does the job in a process that dies at a fault point, unless it is 0,
// and looks at what it left. It returns how many points the process had if it
// was not killed.
func (j *job) kill(t testing.TB, c *clinic, at int) (points int, killed bool) {
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), environment+"="+strings.Join([]string{j.name, strconv.Itoa(at), c.dir, c.place}, "\n"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	c.forking.RLock()
	err := cmd.Start()
	c.forking.RUnlock()
	must(t, err)
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if err != nil && !killed {
		t.Fatalf("child: %v\n%s", err, out.Bytes())
	}
	done := ""
	lines := bufio.NewScanner(bytes.NewReader(out.Bytes()))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "acknowledged "); ok {
			done = rest
		}
		if rest, ok := strings.CutPrefix(lines.Text(), "points "); ok {
			points, err = strconv.Atoi(rest)
			must(t, err)
		}
	}
	if !killed && (done == "" || points == 0) {
		t.Fatalf("the child neither died nor did its job:\n%s", out.Bytes())
	}
	j.look(t, c, done)
	return points, killed
}

// child does a job and dies on the way.
func child(t testing.TB, order []string, s Stores) {
	if len(order) != 4 {
		t.Fatalf("killtest: an order of %d parts", len(order))
	}
	at, err := strconv.Atoi(order[1])
	must(t, err)
	points := 0
	point := func() {
		if points++; points == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal is there
		}
	}
	all := jobs()
	which := slices.IndexFunc(all, func(j job) bool { return j.name == order[0] })
	if which < 0 {
		t.Fatalf("killtest: no job %q", order[0])
	}
	c := &clinic{dir: order[2], place: order[3], stores: s}
	r, err := keyring.Open(t.Context(), c.config(t, point))
	must(t, err)
	done, err := all[which].do(t.Context(), c, r)
	must(t, err)
	fmt.Printf("acknowledged %s\n", done)
	point()
	fmt.Printf("points %d\n", points)
}

// look reopens the store after a death, does the job again, and looks once more
// when nothing is unfinished.
func (j *job) look(t testing.TB, c *clinic, done string) {
	t.Helper()
	r := c.reopen(t)
	want := j.verify(t, c, r, done)
	again, err := j.do(t.Context(), c, r) // the job can be done again
	must(t, err)
	if want != "" && again != want {
		t.Errorf("%s came to something else than was acknowledged", j.name)
	}
	must(t, r.Close())
	r = c.reopen(t)
	j.verify(t, c, r, again)
	must(t, r.Close())
}

func (c *clinic) reopen(t testing.TB) *keyring.Ring {
	t.Helper()
	r, err := keyring.Open(t.Context(), c.config(t, func() {}))
	must(t, err)
	c.living(t, r, "alice")
	c.erased(t, r, "carol")
	return r
}

func (c *clinic) living(t testing.TB, r *keyring.Ring, subject string) {
	t.Helper()
	keys, err := r.Subject(t.Context(), subject, compartments()...)
	must(t, err)
	if text(keys) != c.keys[subject] {
		t.Errorf("%s's keys are others", subject)
	}
}

func (c *clinic) erased(t testing.TB, r *keyring.Ring, subject string) {
	t.Helper()
	for _, names := range append([][]string{compartments()}, slices.Collect(slices.Chunk(compartments(), 1))...) {
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
