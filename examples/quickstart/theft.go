package main

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rahasia/rahasia/envelope"
)

// hero is the patient whom the story follows: a test person of the SATUSEHAT
// sandbox, whose NIK the Indonesian Ministry of Health publishes.
const hero = "P02478375538"

// steal is chapter 2: what a copy of the clinic's folder is worth.
func (s *story) steal(ctx context.Context) error {
	stolen := filepath.Join(s.dir, "stolen")
	if err := os.CopyFS(stolen, os.DirFS(s.clinic.folder)); err != nil {
		return err
	}
	if err := s.lookAtRow(ctx); err != nil {
		return err
	}
	if err := s.search(stolen); err != nil {
		return err
	}
	if err := s.guessTokens(ctx); err != nil {
		return err
	}
	refusal, err := checkLocked(ctx, stolen)
	if err := s.check("the folder does not open under another key", err); err != nil {
		return err
	}
	s.say("He opens the folder with rahasia and a key of his own:")
	s.quote(refusal)
	return s.admit(ctx)
}

// lookAtRow shows the row of one patient as the thief sees it.
func (s *story) lookAtRow(ctx context.Context) error {
	row, err := s.clinic.get(ctx, hero)
	if err != nil {
		return err
	}
	header, err := envelope.Inspect(row.Sealed)
	if err != nil {
		return err
	}
	s.say("A thief copies the clinic's folder and all databases in it, but not the key file, which lies elsewhere.")
	s.say("The first 64 of the %s bytes of one patient's row, and the header that is in clear at its beginning:", count(len(row.Sealed)))
	s.show("%s", hex.EncodeToString(row.Sealed[:32]))
	s.show("%s", hex.EncodeToString(row.Sealed[32:64]))
	var sections []string
	for _, c := range header.Sections {
		sections = append(sections, fmt.Sprintf("%s (%s bytes, key %d)", c.Compartment, count(c.Length), c.Generation))
	}
	s.show("format version %d, sections %s", header.Version, listed(sections))
	return nil
}

// search looks for everything secret in every file of the stolen folder.
func (s *story) search(stolen string) error {
	found, err := checkSearchFinds(s.thief, s.list, filepath.Join(s.dir, "decoy"))
	if err := s.check("the search finds what lies in clear", err); err != nil {
		return err
	}
	l, err := s.thief.searchAll(os.DirFS(stolen))
	if err != nil {
		return err
	}
	if err := s.check("nothing of the input is in the stolen files", checkNothingFound(l)); err != nil {
		return err
	}
	s.say("He searches all %s files (%s), %s bytes, for %s values (%s), in every usual spelling and encoding: %s found.",
		count(l.Files), strings.Join(extensions(stolen), " "), count(l.Bytes), count(len(s.list)), kinds(s.list), count(len(l.Findings)))
	s.say("In a decoy file with the same values in clear the search finds %s of %s. Left out, because values shorter than %d bytes turn up by chance: %s.",
		count(found), count(len(s.list)), minSecret, shorts(s.short))
	return nil
}

// guessTokens tries to find the identifiers behind the tokens in the database.
func (s *story) guessTokens(ctx context.Context) error {
	tokens, err := s.clinic.tokens(ctx)
	if err != nil {
		return err
	}
	var identifiers []string
	for _, b := range s.bundles {
		identifiers = append(identifiers, b.Patient.NIK, b.Patient.Phone)
	}
	guesses, matches, err := checkTokensKeyed(tokens, identifiers)
	if err := s.check("no lookup token can be made without a key", err); err != nil {
		return err
	}
	s.say("He hashes every NIK and phone number in the usual ways that need no key, %s texts, and compares with the %s lookup tokens: %s match.",
		count(guesses), count(len(tokens)), count(matches))
	return nil
}

// tokens returns all lookup tokens in the application's database.
func (c *clinic) tokens(ctx context.Context) ([][]byte, error) {
	return collect(ctx, c.db, func(rows *sql.Rows) (b []byte, err error) {
		err = rows.Scan(&b)
		return b, err
	}, `SELECT nik_token FROM patients WHERE nik_token IS NOT NULL UNION ALL SELECT phone_token FROM patients WHERE phone_token IS NOT NULL`)
}

// admit says what the thief does learn.
func (s *story) admit(ctx context.Context) error {
	var patients, clinics int
	err := s.clinic.db.QueryRowContext(ctx, `SELECT count(*), count(DISTINCT clinic) FROM patients`).Scan(&patients, &clinics)
	if err != nil {
		return err
	}
	s.say("What he does learn: there are %s patients; which of %s clinics each attends (a field marked clear); how many records each has, and roughly of what size.",
		count(patients), count(clinics))
	return nil
}

// extensions are how the names of the files in a folder end.
func extensions(folder string) []string {
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	all := map[string]bool{}
	for _, f := range files {
		all[filepath.Ext(f.Name())] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// kinds counts secrets by kind.
func kinds(list []secret) string {
	n := map[string]int{}
	for _, x := range list {
		n[x.Kind]++
	}
	return shorts(n)
}

func shorts(n map[string]int) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, count(n[kind])+" "+plural(kind, n[kind]))
	}
	return strings.Join(parts, ", ")
}

func plural(kind string, n int) string {
	switch {
	case n == 1:
		return kind
	case kind == "diagnosis":
		return "diagnoses"
	case kind == "city", kind == "serology":
		return strings.TrimSuffix(strings.TrimSuffix(kind, "y"), "i") + "ies"
	case strings.HasSuffix(kind, "s"):
		return kind + "es"
	}
	return kind + "s"
}
