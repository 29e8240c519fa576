package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/tink/go/aead"
	"github.com/google/tink/go/insecurecleartextkeyset"
	"github.com/google/tink/go/keyset"
	"github.com/google/tink/go/tink"
)

const fixtures = "../../testdata/tink"

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(fixtures, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func master(t *testing.T) tink.AEAD {
	t.Helper()
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(read(t, "kek.json"))))
	if err != nil {
		t.Fatal(err)
	}
	a, err := aead.New(h)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestV1Reads opens, with the first generation of Tink, what it wrote itself
// and what the ring exported (export.json), and compares the values.
func TestV1Reads(t *testing.T) {
	for file, names := range map[string][]string{"values.json": {"one", "rotated"}, "export-values.json": {"export"}} {
		var want Values
		if err := json.Unmarshal(read(t, file), &want); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			h, err := keyset.Read(keyset.NewJSONReader(bytes.NewReader(read(t, name+".json"))), master(t))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := Derive(h, want.Inputs)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if w := want.Keysets[name]; got.Primary != w.Primary || !reflect.DeepEqual(got.PRF, w.PRF) {
				t.Errorf("%s: other values than in %s", name, file)
			}
		}
	}
}

// TestWrite runs the program into a folder of the test's.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"*", "refused/*"} {
		committed, _ := filepath.Glob(filepath.Join(fixtures, pattern))
		written, _ := filepath.Glob(filepath.Join(dir, pattern))
		extra := 0
		if pattern == "*" {
			extra = 3 // README.md, export.json and export-values.json
		}
		if len(written) == 0 || len(written)+extra != len(committed) {
			t.Errorf("%s: %d files written, %d committed", pattern, len(written), len(committed))
		}
	}
}
