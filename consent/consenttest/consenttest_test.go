package consenttest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/consent/consenttest"
	"github.com/rahasia/rahasia/envelope"
)

type patient struct {
	ID        string   `phi:"subject"`
	NIK       string   `phi:"nik,lookup"`
	Diagnosis []string `phi:"clinical"`
}

// fake is a test that may fail.
type fake struct {
	testing.TB
	failure string
}

func (f *fake) Helper() {}

func (f *fake) Fatalf(format string, args ...any) {
	f.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure runs what may fail, and returns how it did.
func failure(t *testing.T, run func(t testing.TB)) string {
	f := &fake{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(f)
	}()
	<-done
	return f.failure
}

func seal(t *testing.T) (*consent.Config, *consenttest.Clock, *consent.Records[patient], envelope.Sealed) {
	cfg, clock := consenttest.New(t)
	records, err := consent.NewRecords[patient]("patient", cfg)
	require.NoError(t, err)
	p := patient{"p-1", "9271060312000001", []string{"J45 Asthma"}}
	row, err := records.Seal(t.Context(), &p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented, Actor: "desk"})
	require.NoError(t, err)
	_, err = cfg.Give(t.Context(), consent.Consent{Subject: p.ID, Purposes: []consent.Purpose{consent.Treatment}, Until: clock.Now().Add(time.Hour)})
	require.NoError(t, err)
	return cfg, clock, records, row.Sealed
}

func TestRequireAudited(t *testing.T) {
	cfg, clock, records, row := seal(t)
	care := consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"}
	require.NoError(t, records.Open(t.Context(), &patient{ID: "p-1"}, row, care))
	e := consenttest.RequireAudited(t, cfg, "p-1", consent.Entry{Actor: "dr-ayu", Action: "open", Outcome: "done", Fields: []string{"NIK", "Diagnosis"}, Time: clock.Now().UTC()})
	require.Equal(t, "patient", e.Type)
	clock.Advance(time.Hour)
	require.ErrorIs(t, records.Open(t.Context(), &patient{ID: "p-1"}, row, care), consent.ErrDenied)
	consenttest.RequireAudited(t, cfg, "p-1", consent.Entry{Outcome: "refused", Reason: consent.Expired})
	for name, want := range map[string]consent.Entry{
		"another actor":  {Actor: "dr-budi"},
		"another field":  {Fields: []string{"NIK"}},
		"another time":   {Time: clock.Now().Add(time.Second)},
		"another action": {Action: "export", Actor: "dr-ayu"},
	} {
		got := failure(t, func(t testing.TB) { consenttest.RequireAudited(t, cfg, "p-1", want) })
		require.Contains(t, got, "no audit entry has", name)
		require.Contains(t, got, "Actor=dr-ayu", "it says what there is")
	}
	require.NotEmpty(t, failure(t, func(t testing.TB) { consenttest.RequireAudited(t, cfg, "p-2", consent.Entry{}) }))
}

// TestRequireNoPlaintext finds a value in every form that it promises, and none
// in a row.
func TestRequireNoPlaintext(t *testing.T) {
	_, _, _, row := seal(t)
	const value = "Siti Nurhaliza é <9271>"
	dir := t.TempDir()
	file := filepath.Join(dir, "sub", "rows.db")
	require.NoError(t, os.Mkdir(filepath.Dir(file), 0o700))
	write := func(b []byte) { require.NoError(t, os.WriteFile(file, b, 0o600)) }
	write(row)
	consenttest.RequireNoPlaintext(t, []string{dir, file}, "9271060312000001", "J45 Asthma")

	wide := func(high int) (out []byte) {
		for _, u := range utf16.Encode([]rune(value)) {
			pair := []byte{byte(u >> 8), byte(u)}
			out = append(out, pair[1-high], pair[high])
		}
		return out
	}
	forms := map[string][]byte{
		"text": []byte(value), "upper": []byte(strings.ToUpper(value[:14]) + value[14:]), "hex": []byte(strings.ToUpper(hex.EncodeToString([]byte(value)))),
		"utf-16 le": wide(0), "utf-16 be": wide(1), "query": []byte(url.QueryEscape(value)), "path": []byte(url.PathEscape(value)),
		"json":      []byte(`"Siti Nurhaliza é \u003c9271\u003e"`),
		"far":       append(bytes.Repeat([]byte{'x'}, 1<<20-7), value...),
		"very far":  append(bytes.Repeat([]byte{'x'}, 3<<20-7), value...),
		"very last": append(bytes.Repeat([]byte{'x'}, 2<<20-len(value)), value...),
	}
	for before := range 7 {
		text := append(bytes.Repeat([]byte{0xa5}, before), value+"\xff\xee"...)
		forms[fmt.Sprint("base64 ", before)] = []byte(base64.StdEncoding.EncodeToString(text))
		forms[fmt.Sprint("base64 URL ", before)] = []byte(base64.URLEncoding.EncodeToString(text))
	}
	for name, content := range forms {
		write(append([]byte("\x00\xfe"), content...))
		got := failure(t, func(t testing.TB) { consenttest.RequireNoPlaintext(t, []string{dir}, "not there", value) })
		require.Contains(t, got, "value 1 is in", name)
		require.NotContains(t, got, "Siti", name)
		write(append(append([]byte("\x00\xfe"), content[:len(content)/2]...), content[len(content)/2+3:]...))
		if !strings.Contains(name, "far") && !strings.Contains(name, "last") {
			consenttest.RequireNoPlaintext(t, []string{dir}, value)
		}
	}
}

// TestRequireNoPlaintextShowsSomething: what cannot fail fails.
func TestRequireNoPlaintextShowsSomething(t *testing.T) {
	dir := t.TempDir()
	full, empty := filepath.Join(dir, "full"), filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(full, []byte("text"), 0o600))
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for name, run := range map[string]func(t testing.TB){
		"no file":       func(t testing.TB) { consenttest.RequireNoPlaintext(t, nil, "value") },
		"no value":      func(t testing.TB) { consenttest.RequireNoPlaintext(t, []string{full}) },
		"empty value":   func(t testing.TB) { consenttest.RequireNoPlaintext(t, []string{full}, "") },
		"short value":   func(t testing.TB) { consenttest.RequireNoPlaintext(t, []string{full}, "abc") },
		"empty file":    func(t testing.TB) { consenttest.RequireNoPlaintext(t, []string{full, empty}, "value") },
		"empty folder":  func(t testing.TB) { consenttest.RequireNoPlaintext(t, []string{t.TempDir()}, "value") },
		"missing file":  func(t testing.TB) { consenttest.RequireNoPlaintext(t, []string{full, full + "x"}, "value") },
		"no permission": func(t testing.TB) { consenttest.RequireNoPlaintext(t, []string{filepath.Join(full, "below")}, "value") },
	} {
		require.NotEmpty(t, failure(t, run), name)
	}
}

func Example() {
	test := func(t *testing.T) {
		cfg, clock := consenttest.New(t)
		patients, err := consent.NewRecords[patient]("patient", cfg)
		require.NoError(t, err)
		p := patient{"p-1", "9271060312000001", []string{"J45 Asthma"}}
		row, err := patients.Seal(context.Background(), &p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
		require.NoError(t, err)
		clock.Advance(24 * time.Hour)
		err = patients.Open(context.Background(), &patient{ID: "p-1"}, row.Sealed, consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"})
		require.ErrorIs(t, err, consent.ErrDenied)
		consenttest.RequireAudited(t, cfg, "p-1", consent.Entry{Actor: "dr-ayu", Outcome: "refused", Reason: consent.NoConsent})
		consenttest.RequireNoPlaintext(t, []string{"testdata/rows.csv"}, p.NIK, p.Diagnosis[0])
	}
	_ = test
}
