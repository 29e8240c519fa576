package web

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each key that a page names has words, in both languages.
func TestWords(t *testing.T) {
	p, err := loadPages()
	require.NoError(t, err)
	names, err := fs.Glob(files, "pages/*.html")
	require.NoError(t, err)
	key := regexp.MustCompile(`\.T "([^"]+)"`)
	found := 0
	for _, name := range names {
		text, err := files.ReadFile(name)
		require.NoError(t, err)
		for _, m := range key.FindAllSubmatch(text, -1) {
			require.Contains(t, p.words["en"], string(m[1]), name)
			require.Contains(t, p.words["id"], string(m[1]), name)
			found++
		}
	}
	require.Greater(t, found, 50)
	for k, in := range p.words["en"] { // the arguments of both are the same
		verbs := regexp.MustCompile(`%[.0-9]*[a-z]`)
		require.Equal(t, verbs.FindAllString(in, -1), verbs.FindAllString(p.words["id"][k], -1), k)
	}
}

// Each key is named by a page or the code, or begins as one that they make.
func TestWordsAreUsed(t *testing.T) {
	p, err := loadPages()
	require.NoError(t, err)
	var sources strings.Builder
	for _, pattern := range []string{"pages/*.html", "*.go"} {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range names {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			sources.Write(text)
		}
	}
	var made []string
	for _, m := range regexp.MustCompile(`"([a-z.]+\.)(%s[a-z.]*)?"`).FindAllStringSubmatch(sources.String(), -1) {
		made = append(made, m[1])
	}
	for key := range p.words["en"] {
		used := strings.Contains(sources.String(), `"`+key+`"`) || slices.ContainsFunc(made, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
		require.True(t, used, "%s is used nowhere", key)
	}
}

// Whatever the audit log says was done has words, for the officer and for the
// patient whom it was done to. The library lists the actions at consent.Entry.
func TestActionsHaveWords(t *testing.T) {
	p, err := loadPages()
	require.NoError(t, err)
	text, err := os.ReadFile("../../../consent/log.go")
	require.NoError(t, err)
	list := regexp.MustCompile(`Action +string +// (.*)`).FindSubmatch(text)
	require.NotNil(t, list)
	for action := range strings.SplitSeq(string(list[1]), ", ") {
		require.Contains(t, p.words["en"], "officer.act."+action)
		if !slices.Contains([]string{"lookup", "reidentify", "translate", "review", "start"}, action) { // they name no patient, or stand beside what they are about
			require.Contains(t, p.words["en"], "patient.did."+action)
		}
	}
	for _, action := range []string{"open", "give", "withdraw", "receipt"} { // what patients do
		require.Contains(t, p.words["en"], "patient.self."+action)
	}
}
