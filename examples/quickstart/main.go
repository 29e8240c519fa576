// Command quickstart goes the whole way once: 120 synthetic patients are
// sealed, stolen, found, opened under consent, exported as pseudonyms,
// withdrawn, re-keyed, erased and accounted for. It needs nothing but Go, tells
// what it does in the terminal, and ends with an error if any of its checks
// fails.
//
//	go run ./examples/quickstart              # in a temporary folder
//	go run ./examples/quickstart -dir ./look  # in a folder that stays, to look around
//
// Read clinic.go for how an application uses rahasia, then the files of the
// chapters, and checks.go for what is demanded of each.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	dir := flag.String("dir", "", "work in this new or empty folder and keep it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := runIn(ctx, os.Stdout, *dir)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// runIn runs the story in dir, or in a temporary folder that it removes.
func runIn(ctx context.Context, out io.Writer, dir string) (err error) {
	if dir != "" {
		err := run(ctx, out, dir)
		if err == nil {
			keep(newScreen(out), dir)
		}
		return err
	}
	if dir, err = os.MkdirTemp("", "rahasia-quickstart-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return run(ctx, out, dir)
}

// keep names what lies in a folder that stays.
func keep(out *screen, dir string) {
	out.say("%s holds clinic (the folder), clinic.key (its key), stolen (the thief's copy) and the two exported tables.", dir)
}

// A story is one run of the program.
type story struct {
	*screen
	dir     string // everything happens in here
	bundles []bundle
	clinic  *clinic

	list   []secret       // what no thief may find
	short  map[string]int // what is too short to be searched for, by kind
	thief  *thief         // a search for all of list
	checks int            // passed so far
}

// run tells the whole story in dir, which must be empty or missing.
func run(ctx context.Context, out io.Writer, dir string) (err error) {
	began := time.Now()
	s, err := begin(ctx, out, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.clinic.close()) }()
	return s.tell(ctx, began)
}

// tell tells the chapters one after another, up to the first that fails.
func (s *story) tell(ctx context.Context, began time.Time) error {
	s.line(fmt.Sprintf("rahasia quickstart: a clinic and its %d patients, in %d chapters. The patients are synthetic.", len(s.bundles), len(chapters())))
	for i, c := range chapters() {
		s.chapter(i+1, c.title)
		if err := c.tell(s, ctx); err != nil {
			return fmt.Errorf("chapter %d (%s): %w", i+1, c.title, err)
		}
	}
	s.line(fmt.Sprintf("\nAll %d checks passed, in %.1f s.", s.checks, time.Since(began).Seconds()))
	return s.screen.err
}

type chapter struct {
	title string
	tell  func(*story, context.Context) error
}

func chapters() []chapter {
	return []chapter{
		{"Everything is sealed", (*story).seal},
		{"What a thief gets", (*story).steal},
		{"Found again, without reading", (*story).find},
		{"Opened, but only for a reason", (*story).open},
		{"Research gets pseudonyms", (*story).export},
		{"The patient withdraws", (*story).withdraw},
		{"New keys, old records", (*story).rotate},
		{"A patient is erased", (*story).erase},
		{"Who looked?", (*story).audit},
	}
}

// begin reads the input and opens a clinic in dir.
func begin(ctx context.Context, out io.Writer, dir string) (*story, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
		return nil, errors.Join(errors.New("the folder must be empty or new"), err)
	}
	s := &story{screen: newScreen(out), dir: dir}
	var err error
	if s.bundles, err = load(testdata); err != nil {
		return nil, err
	}
	s.list, s.short = secrets(s.bundles)
	s.thief = newThief(s.list)
	s.clinic, err = openClinic(ctx, filepath.Join(dir, "clinic"))
	return s, err
}

// check counts a check that passed, and ends the story at one that did not.
func (s *story) check(what string, err error) error {
	if err != nil {
		return fmt.Errorf("the check that %s failed: %w", what, err)
	}
	s.checks++
	return nil
}

// patient returns a patient of the input.
func (s *story) patient(id string) Patient {
	for i := range s.bundles {
		if s.bundles[i].Patient.ID == id {
			return s.bundles[i].Patient
		}
	}
	return Patient{}
}
