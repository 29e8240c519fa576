package main

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/keyring"
)

// What the story demands. Each check says by its error what does not hold, by
// the name of a field or the place of a row, and never by a value. The tests
// named Saboteur prove of each that it can fail.

// checkStored compares the number of rows in each table with the input.
func checkStored(ctx context.Context, db *sql.DB, in input) error {
	want := map[string]int{"patients": len(in.patients), "observations": len(in.observations), "conditions": len(in.conditions)}
	for table, n := range want {
		var got int
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&got); err != nil {
			return err
		}
		if got != n {
			return fmt.Errorf("%s: %d rows for %d records", table, got, n)
		}
	}
	return nil
}

// checkSearchFinds plants every secret in a file, in clear, and demands that the
// search finds each. It returns how many were found.
func checkSearchFinds(t *thief, list []secret, folder string) (found int, err error) {
	var decoy []byte
	at := map[int]string{}
	for i := range list {
		decoy = append(decoy, '\n')
		at[len(decoy)] = list[i].Kind
		decoy = append(decoy, list[i].Spellings[0]...)
	}
	decoy = append(decoy, '\n')
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(folder, "clear.txt"), decoy, 0o600); err != nil {
		return 0, err
	}
	l, err := t.searchAll(os.DirFS(folder))
	if err != nil {
		return 0, err
	}
	for _, f := range l.Findings {
		if _, planted := at[f.Offset]; planted {
			delete(at, f.Offset)
			found++
		}
	}
	for _, kind := range at {
		return found, fmt.Errorf("a value of kind %q lies in clear in the decoy and is not found", kind)
	}
	return found, nil
}

// checkNothingFound demands that files were searched and nothing was found.
func checkNothingFound(l loot) error {
	if l.Files == 0 || l.Bytes == 0 {
		return errors.New("there was nothing to search")
	}
	if len(l.Findings) > 0 {
		f := l.Findings[0]
		return fmt.Errorf("%d values lie in clear, the first a %s in file %s at byte %d", len(l.Findings), f.Kind, f.File, f.Offset)
	}
	return nil
}

// checkTokensKeyed tries to make the tokens without a key: by every usual hash
// of every identifier in several spellings, raw, in hex and in base64, whole or
// cut. It returns how many such guesses it made, and how many tokens match one.
func checkTokensKeyed(tokens [][]byte, identifiers []string) (guesses, matches int, err error) {
	if len(tokens) == 0 {
		return 0, 0, errors.New("there are no tokens to check")
	}
	const window = 8 // bytes of a hash that no token shares by chance
	windows := map[[window]byte]bool{}
	for _, id := range identifiers {
		if id == "" {
			continue
		}
		for _, g := range guess(id) {
			guesses++
			for i := 0; i+window <= len(g); i++ {
				windows[[window]byte(g[i:])] = true
			}
		}
	}
	for _, t := range tokens {
		for i := 0; i+window <= len(t); i++ {
			if windows[[window]byte(t[i:])] {
				matches++
				break
			}
		}
	}
	if matches > 0 {
		return guesses, matches, fmt.Errorf("%d of %d tokens can be made without a key", matches, len(tokens))
	}
	return guesses, 0, nil
}

// guess makes what a careless program would store for an identifier.
func guess(id string) (out [][]byte) {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, id)
	spellings := []string{id, digits, "+" + digits, "0" + strings.TrimPrefix(digits, "62"), "nik:" + digits, digits + "\n"}
	for _, s := range slices.Compact(slices.Sorted(slices.Values(spellings))) {
		out = append(out, []byte(s))
		a, b, c, d := md5.Sum([]byte(s)), sha1.Sum([]byte(s)), sha256.Sum256([]byte(s)), sha512.Sum512([]byte(s))
		for _, sum := range [][]byte{a[:], b[:], c[:], d[:]} {
			text := hex.EncodeToString(sum)
			out = append(out, sum, []byte(text), []byte(strings.ToUpper(text)),
				[]byte(base64.StdEncoding.EncodeToString(sum)), []byte(base64.URLEncoding.EncodeToString(sum)))
		}
	}
	return out
}

// checkLocked demands that a stolen folder opens neither without a key nor
// under one that the thief makes, and returns the refusal of the latter.
func checkLocked(ctx context.Context, stolen string) (refusal, err error) {
	if err := refuses(ctx, stolen); !errors.Is(err, consent.ErrHalf) {
		return nil, fmt.Errorf("without a key file: %w", orOpened(err))
	}
	if _, err := keyring.CreateKeyFile(stolen + ".key"); err != nil {
		return nil, err
	}
	if refusal = refuses(ctx, stolen); !errors.Is(refusal, keyring.ErrKEK) {
		return nil, fmt.Errorf("with another key: %w", orOpened(refusal))
	}
	return refusal, nil
}

func refuses(ctx context.Context, folder string) error {
	cfg, err := consent.OpenDir(ctx, folder)
	if err == nil {
		return cfg.Close()
	}
	return err
}

func orOpened(err error) error {
	if err == nil {
		return errors.New("it opened")
	}
	return err
}

// checkFound demands one row, of this patient.
func checkFound(rows []patientRow, id string) error {
	if len(rows) != 1 {
		return fmt.Errorf("%d rows were found, want 1", len(rows))
	}
	if rows[0].ID != id {
		return errors.New("another patient was found")
	}
	return nil
}

// checkSame compares an opened record with what was sealed, field by field.
func checkSame[T any](got, want T) error {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			return fmt.Errorf("field %s is not what was sealed", g.Type().Field(i).Name)
		}
	}
	return nil
}

// checkMismatch demands the refusal of a row that the token does not name.
func checkMismatch(err error) error {
	if !errors.Is(err, consent.ErrTokenMismatch) {
		return fmt.Errorf("the answer is: %w", orOpened(err))
	}
	return nil
}

// checkRefused demands a refusal of everything, for this reason.
func checkRefused(err error, why consent.Reason) error {
	var denied *consent.DeniedError
	if !errors.As(err, &denied) {
		return fmt.Errorf("it was not refused: %w", orOpened(err))
	}
	if denied.Reason != why {
		return fmt.Errorf("it was refused for another reason: %w", err)
	}
	return nil
}

// checkLaboratory demands the clinical fields as they were sealed, nothing of
// the identity, and each withheld field named with the reason.
func checkLaboratory(got, want Patient, answer error) error {
	var withheld *consent.WithheldError
	if !errors.As(answer, &withheld) {
		return fmt.Errorf("the answer is not a partial one: %w", orOpened(answer))
	}
	var names []string
	for _, w := range withheld.Fields {
		if w.Reason != consent.RoleForbids {
			return fmt.Errorf("field %s is withheld because %q", w.Field, w.Reason)
		}
		names = append(names, w.Field)
	}
	if identity := []string{"NIK", "Name", "Phone", "Born", "Sex", "Address", "City"}; !slices.Equal(names, identity) {
		return fmt.Errorf("withheld are %s, want %s", listed(names), listed(identity))
	}
	return checkSame(got, Patient{ID: want.ID, Diagnosis: want.Diagnosis, Serology: want.Serology, Notes: want.Notes, Clinic: want.Clinic})
}

// checkSerology demands the whole record, of which the serology alone is
// withheld unless the consent names HIV.
func checkSerology(got, want Patient, answer error, named bool) error {
	if named {
		return errors.Join(answer, checkSame(got, want))
	}
	var withheld *consent.WithheldError
	if !errors.As(answer, &withheld) {
		return fmt.Errorf("the serology is not withheld: %w", orOpened(answer))
	}
	if len(withheld.Fields) != 1 || withheld.Fields[0] != (consent.Withheld{Field: "Serology", Reason: consent.NoConsent}) {
		return fmt.Errorf("something else is withheld: %w", answer)
	}
	want.Serology = ""
	return checkSame(got, want)
}
