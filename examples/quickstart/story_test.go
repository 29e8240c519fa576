package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// TestStory runs the program as a newcomer does, in a temporary folder.
func TestStory(t *testing.T) {
	if race {
		t.Skip("the race detector takes a minute for it: TestStoryOfAFew runs instead")
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	var out bytes.Buffer
	require.NoError(t, runIn(context.Background(), &out, ""))
	text := out.String()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	require.LessOrEqual(t, len(lines), 96)
	for _, line := range lines {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 110, line)
	}
	require.NotContains(t, text, "\x1b")
	require.NotContains(t, text, "\r")
	require.NotContains(t, text, "%!")

	told := strings.Join(strings.Fields(text), " ") // wherever the lines are broken
	at := 0
	for n, want := range chapterLines() {
		for _, pattern := range want {
			place := regexp.MustCompile(pattern).FindStringIndex(told[at:])
			require.NotNil(t, place, "chapter %d: nothing matches %q after %q", n+1, pattern, told[max(0, at-80):at])
			at += place[1]
		}
	}
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left, "the temporary folder is removed")
}

// chapterLines are patterns that the chapters' text matches in this order.
func chapterLines() [9][]string {
	return [9][]string{
		{
			`1 Everything is sealed`, `120 patients with 5,374 observations and 719 conditions`, `\] 6,213 of 6,213 records sealed`,
			`6,213 records with 30,227 fields are now [\d,]+ sealed bytes`, `[\d,]+ records a second`, `all 120 to treatment, of whom 40`, `80 to research`,
		},
		{
			`2 What a thief gets`, `the 816 bytes`, `[0-9a-f]{64} [0-9a-f]{64}`, `format version 1, sections clinical .*? and identity`,
			`all \d+ files \(\.db \.db-shm \.db-wal`, `for 2,944 values`, `120 NIKs`, `0 found`, `finds 2,944 of 2,944`, `23 cities`,
			`231 lookup tokens: 0 match`, `key-encryption key failed`, `120 patients; which of 6 clinics`,
		},
		{`3 Found again`, `NIK 9271060312000001.*?: 1 row`, `0810-0000-0301 and 6281000000301: the same`, `not the one that the lookup token names`},
		{
			`4 Opened, but only for a reason`, `Ardianto Putra, born 9 January 1992`, `open patient for HMARKT: denied`,
			`Withheld by name: NIK, Name, Phone, Born, Sex, Address and City`, `Of 7 patients with an HIV test the doctor sees 3`,
		},
		{`5 Research gets pseudonyms`, `80 rows`, `40 patients did not consent`, `(04\w+\.\.\. 04\w+\.\.\. (19|20)\d\d .*?){3}`, `in both tables: 0\.`, `finds in them: 0\.`},
		{`6 The patient withdraws`, `open patient for TREAT: denied: the consent was withdrawn`},
		{`7 New keys, old records`, `lookup/patient/NIK`, `All 6,213 records are opened`, `30,147 permitted values`, `under version 2 and a NIK token of version 2; the others keep version 1 and 1`},
		{`8 A patient is erased`, `3 keys are destroyed \(audit, clinical and identity\)`, `subject erased`, `3 old key rows back: still erased`, `Still erased, and all 120 other patients open`},
		{`9 Who looked\?`, `log has 13,\d\d\d entries`, `asks who looked: 77 entries`, `entry (\d+): block: changed by other hands`, `2,950 values, 0 found`, `All \d\d checks passed`},
	}
}

// TestStoryOfAFew tells all chapters about nine of the patients.
func TestStoryOfAFew(t *testing.T) {
	ctx := context.Background()
	s, err := begin(ctx, io.Discard, filepath.Join(t.TempDir(), "story"))
	require.NoError(t, err)
	s.bundles = s.bundles[45:54]
	require.NoError(t, s.tell(ctx, time.Now()))
	require.NoError(t, s.clinic.close())
}

func TestStoryKeepsItsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "look")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, runIn(ctx, io.Discard, dir), context.Canceled)
	require.DirExists(t, dir, "after a failure too, to look at")
	require.ErrorContains(t, runIn(ctx, io.Discard, filepath.Dir(dir)), "must be empty or new")
}

func TestStoryRemovesItsFolderAfterAFailure(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, runIn(ctx, io.Discard, ""), context.Canceled)
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.say("%s", strings.Repeat("word ", 50))
	for line := range strings.Lines(out.String()) {
		require.LessOrEqual(t, len(line), width+1)
		require.True(t, strings.HasPrefix(line, "   word"))
	}
	out.Reset()
	show := s.progress("things", 1000)
	for done := range 1001 {
		show(done)
	}
	require.Equal(t, 4, strings.Count(out.String(), "\n"))
	require.Contains(t, out.String(), "1,000 of 1,000 things")

	out.Reset()
	s.live = true
	show = s.progress("things", 2)
	show(1)
	show(2)
	require.Equal(t, 2, strings.Count(out.String(), "\r"))
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "a terminal's line is drawn over")

	full := newScreen(fullDisk{})
	full.line("x")
	full.line("y")
	require.ErrorIs(t, full.err, io.ErrShortWrite)
}

func TestWords(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, count(n))
	}
	require.Equal(t, "nothing", listed(nil))
	require.Equal(t, "a", listed([]string{"a"}))
	require.Equal(t, "a, b and c", listed([]string{"a", "b", "c"}))
	require.Equal(t, "1 city, 2 diagnoses, 2 serologies", shorts(map[string]int{"city": 1, "diagnosis": 2, "serology": 2}))
	require.Equal(t, []string{"+62 810 0000 0301", "0810-0000-0301", "6281000000301"}, threeSpellings("+62 810 0000 0301"))
	require.Equal(t, "abcd...", pad("abcdefgh", 7))
	require.Equal(t, []int{10, 5, 3}, []int{sealedFields[Patient](), sealedFields[Observation](), sealedFields[Condition]()})
}

// TestEach does each thing once, and stops at an error.
func TestEach(t *testing.T) {
	done := make([]int, 1000)
	require.NoError(t, each(len(done), func(i int) error { done[i]++; return nil }))
	require.Equal(t, strings.Repeat("1", len(done)), strings.Trim(strings.ReplaceAll(fmt.Sprint(done), " ", ""), "[]"))
	require.NoError(t, each(0, func(int) error { return io.EOF }))
	require.ErrorIs(t, each(1000, func(i int) error {
		if i == 7 {
			return io.EOF
		}
		return nil
	}), io.EOF)
}
