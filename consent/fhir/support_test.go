package fhir

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
)

var jakarta = time.FixedZone("Asia/Jakarta", 7*3600)

// plain reads references as this test's ids: what stands after the slash.
func plain(reference string) []string {
	if _, id, ok := strings.Cut(reference, "/"); ok {
		return []string{id}
	}
	return nil
}

// options read labels as IHE's notes do, and as Export writes them.
func options(d Dialect) Options {
	return Options{Dialect: d, Zone: jakarta, Local: plain, LabelLevel: highest}
}

// examples returns the files of a folder by the id of the consent.
func examples(t *testing.T, folder, prefix string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.json"))
	require.NoError(t, err)
	out := map[string][]byte{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		out[strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), prefix), ".json")] = text
	}
	return out
}

// said writes a consent in a line for each rule.
func said(c consent.Consent) []string {
	out := []string{line(consent.Rule{
		Refused: c.Refused, Purposes: c.Purposes, Actors: c.Actors, Actions: c.Actions, Confidentiality: c.Confidentiality,
		Sensitivity: c.Sensitivity, Data: c.Data, From: c.From, Until: c.Until,
	})}
	for _, r := range c.Except {
		out = append(out, line(r))
	}
	return out
}

func line(r consent.Rule) string {
	var b strings.Builder
	b.WriteString("permit")
	if r.Refused {
		b.Reset()
		b.WriteString("refuse")
	}
	add := func(name string, list any) {
		if s := fmt.Sprint(list); s != "[]" && s != "" {
			fmt.Fprintf(&b, " %s%s", name, strings.Trim(s, "[]"))
		}
	}
	span := func(name string, from, until time.Time) {
		if !from.IsZero() || !until.IsZero() {
			fmt.Fprintf(&b, " %s%s", name, day(from)+".."+day(until))
		}
	}
	if slices.Equal(r.Purposes, everyPurpose()) {
		add("", "everything")
	} else {
		add("", r.Purposes)
	}
	add("by ", r.Actors)
	add("to ", r.Actions)
	add("level ", string(r.Confidentiality))
	add("label ", r.Sensitivity)
	add("record ", r.Data.Records)
	add("related ", r.Data.Related)
	add("author ", r.Data.Authors)
	span("data ", r.Data.From, r.Data.Until)
	span("in ", r.From, r.Until)
	return b.String()
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(jakarta).Format("2006-01-02")
}

// purposesOfTable are the active codes of the table that consent decides by.
func purposesOfTable(t *testing.T) map[consent.Purpose]bool {
	t.Helper()
	text, err := os.ReadFile("../codes.tsv")
	require.NoError(t, err)
	out := map[consent.Purpose]bool{}
	for l := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimSpace(l), "\t"); f[0] == "purpose" && f[6] == "active" {
			out[consent.Purpose(f[3])] = true
		}
	}
	return out
}
