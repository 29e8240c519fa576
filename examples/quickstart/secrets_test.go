package main

import (
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSecretsByKind(t *testing.T) {
	list, short := secrets(mustLoad(t))
	got := map[string]int{}
	for _, s := range list {
		got[s.Kind]++
		for _, spelling := range s.Spellings {
			require.GreaterOrEqual(t, len(spelling), minSecret)
		}
	}
	t.Logf("searched for: %v; too short: %v", got, short)
	require.Equal(t, 120, got["NIK"])
	require.Equal(t, 119, got["name"], "the two payload patients share one")
	require.Equal(t, 111, got["phone"], "nine of the sandbox's have none")
	for _, kind := range []string{"name", "NIK", "phone", "address", "birth date", "diagnosis", "note", "serology"} {
		require.NotZero(t, got[kind], kind)
		require.Zero(t, short[kind], "the story says that every %s is searched for", kind)
	}
	require.NotZero(t, short["observation"], "short readings are counted, not forgotten")
}

func TestSecretsSpellings(t *testing.T) {
	list, _ := secrets([]bundle{{Patient: Patient{
		NIK: "9104223107000004", Name: "Dr. Alan Bagus Prasetya", Phone: "+62 810 0000 0301",
		Born: time.Date(1992, 1, 9, 0, 0, 0, 0, time.UTC), City: "Lowell",
	}}})
	all := map[string][]string{}
	for _, s := range list {
		all[s.Kind] = s.Spellings
	}
	require.Subset(t, all["phone"], []string{"+62 810 0000 0301", "6281000000301", "081000000301", "81000000301", "810-0000-0301"})
	require.Subset(t, all["birth date"], []string{"1992-01-09", "19920109", "09-01-1992", "09/01/1992", "9 Januari 1992", "January 9, 1992", "694915200"})
	require.Subset(t, all["name"], []string{"Dr. Alan Bagus Prasetya", "Alan Bagus Prasetya"})
	require.NotContains(t, all, "city")
	require.Subset(t, phoneSpellings("+1 555-413-6221"), []string{"15554136221", "5554136221", "555-413-6221"})
}

// A store that keeps plaintext, whole or encoded, is caught for every value.
func TestSaboteurEverySpellingIsFound(t *testing.T) {
	list, _ := secrets(mustLoad(t))
	th := newThief(list)
	noise := rand.NewChaCha8([32]byte{1})
	planted := 0
	for n, s := range list {
		for _, spelling := range s.Spellings {
			if s.Kind == "observation" && n%20 > 0 {
				continue // the kinds with names on them are searched whole
			}
			for _, text := range planting(spelling, n) {
				data := make([]byte, 16+n%5, 16+n%5+len(text)+16)
				_, _ = noise.Read(data)
				data = append(data, "\x00"+text+"\x00"...)
				if len(th.search("x", data)) == 0 {
					t.Fatalf("a %s of %d bytes is not found", s.Kind, len(text))
				}
				planted++
			}
		}
	}
	require.Greater(t, planted, 10_000)
}

// planting writes a value as a careless program could. It is written without
// the code under test.
func planting(s string, n int) []string {
	pad := strings.Repeat("#", n%3)
	upper := []byte(s) // not strings.ToUpper, which would mend the binary dates
	for i, c := range upper {
		if 'a' <= c && c <= 'z' {
			upper[i] = c - 'a' + 'A'
		}
	}
	return []string{
		s, string(upper), hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))),
		base64.StdEncoding.EncodeToString([]byte(pad + s + "~~~")), base64.RawURLEncoding.EncodeToString([]byte(pad + s)),
	}
}

func TestSaboteurStoreOfPlaintext(t *testing.T) {
	bundles := mustLoad(t)
	list, _ := secrets(bundles)
	l, err := newThief(list).searchAll(testdata)
	require.NoError(t, err)
	require.Equal(t, 5, l.Files)
	got := map[string]bool{}
	for _, f := range l.Findings {
		got[f.Kind] = true
	}
	for _, kind := range []string{"name", "NIK", "phone", "address", "birth date", "diagnosis", "city", "note", "observation"} {
		require.True(t, got[kind], kind)
	}
}

func TestThiefDoesNotCryWolf(t *testing.T) {
	bundles := mustLoad(t)
	list, _ := secrets(bundles)
	th := newThief(list)
	random := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(random)
	require.Empty(t, th.search("random", random))
	require.Empty(t, th.search("hex", []byte(hex.EncodeToString(random))))
	require.Empty(t, th.search("base64", []byte(base64.StdEncoding.EncodeToString(random))))
	var decimal []byte
	for i := range int64(20_000) {
		decimal = strconv.AppendInt(decimal, 1_900_000_000_000_000_000+i*7_919_000_013, 10)
		decimal = append(decimal, '\n')
	}
	require.Empty(t, th.search("nanoseconds", decimal))
}

// What stays clear in the story holds nothing that the thief looks for.
func TestClearValuesHoldNoSecret(t *testing.T) {
	bundles := mustLoad(t)
	var clear strings.Builder
	for _, b := range bundles {
		require.NotEmpty(t, b.Patient.Clinic)
		clear.WriteString(b.Patient.ID + "\n" + b.Patient.Clinic + "\n" + b.Origin + "\n")
		for _, o := range b.Observations {
			clear.WriteString(o.ID + "\n")
		}
		for _, c := range b.Conditions {
			clear.WriteString(c.ID + "\n")
		}
	}
	list, _ := secrets(bundles)
	require.Empty(t, newThief(list).search("clear", []byte(clear.String())))
}

func TestThiefReadsUTF16(t *testing.T) {
	th := newThief([]secret{{"name", []string{"Jesús Alvarez"}}})
	require.Len(t, th.search("f", []byte("J\x00e\x00s\x00\xfa\x00s\x00 \x00A\x00l\x00v\x00a\x00r\x00e\x00z\x00")), 1)
}

func TestThiefBareDigits(t *testing.T) {
	th := newThief([]secret{{"birth date", []string{"19920109"}}, {"NIK", []string{"9271060312000001"}}})
	for text, want := range map[string]int{
		"19920109": 1, "born=19920109;": 1, " 19920109\n": 1,
		"119920109": 0, "199201090": 0, "a19920109": 0, "19920109F": 0, "1992010": 0, "": 0,
		"19271060312000001x": 1, // a NIK is long enough to be found anywhere
	} {
		require.Len(t, th.search("f", []byte(text)), want, text)
	}
	require.Equal(t, []finding{{"f", 2, "NIK"}}, th.search("f", []byte("--9271060312000001")))
}

func TestThiefDoesNotWriteToItsInput(t *testing.T) {
	data := []byte("ARDIANTO PUTRA_-")
	newThief([]secret{{"name", []string{"Ardianto Putra"}}}).search("f", data)
	require.Equal(t, "ARDIANTO PUTRA_-", string(data))
}

func TestSearchAll(t *testing.T) {
	th := newThief([]secret{{"name", []string{"Ardianto Putra"}}})
	l, err := th.searchAll(fstest.MapFS{
		"keys.db-wal": {Data: []byte("\x01\x02ardianto putra")},
		"deep/er/log": {Data: []byte("nothing")},
		"empty":       {},
	})
	require.NoError(t, err)
	require.Equal(t, loot{3, 23, []finding{{"keys.db-wal", 2, "name"}}}, l)

	_, err = th.searchAll(unreadable{fstest.MapFS{"a": {}}})
	require.ErrorIs(t, err, errFailing)
}

type unreadable struct{ fstest.MapFS }

func (u unreadable) ReadFile(string) ([]byte, error) { return nil, errFailing }

var _ fs.ReadFileFS = unreadable{}

func BenchmarkThief(b *testing.B) {
	list, _ := secrets(mustLoad(b))
	th := newThief(list)
	data := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(data)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		th.search("x", data)
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := load(testdata); err != nil {
			b.Fatal(err)
		}
	}
}
