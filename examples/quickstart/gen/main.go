// Command gen writes the synthetic patients of ../testdata.
//
//	go run ./examples/quickstart/gen -src <folder with the upstream files> -out examples/quickstart/testdata
//
// Without -src it writes only the two files that need nothing from upstream:
// generated.ndjson and satusehat-sandbox.ndjson. The same input gives the same
// bytes, on any machine. ../testdata/README.md says where the upstream files
// come from and where they lie under -src.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A source is one origin of patients and the one file that holds them.
type source struct {
	origin   string
	upstream bool // needs -src
	build    func(fs.FS) ([]*bundle, error)
}

var sources = [...]source{
	{"synthea-fhir", true, syntheaFHIR},
	{"synthea-csv", true, syntheaCSV},
	{"satusehat-sandbox", false, sandbox},
	{"satusehat-payload", true, payloads},
	{"generated", false, generated},
}

func main() {
	src := flag.String("src", "", "folder with the upstream files; without it only what needs none is written")
	out := flag.String("out", "examples/quickstart/testdata", "folder to write to")
	flag.Parse()
	if err := run(*src, *out, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run builds and checks everything before it writes the first file, so that a
// missing upstream file cannot leave testdata half replaced.
func run(src, out string, log io.Writer) error {
	var all []*bundle
	files := map[string][]byte{}
	for _, s := range sources {
		if s.upstream && src == "" {
			continue
		}
		bundles, err := s.build(os.DirFS(src))
		if err != nil {
			return fmt.Errorf("%s: %w", s.origin, err)
		}
		text, err := encode(bundles)
		if err != nil {
			return fmt.Errorf("%s: %w", s.origin, err)
		}
		files[s.origin] = text
		report(log, s.origin, bundles, len(text))
		all = append(all, bundles...)
	}
	if err := unique(all); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(out, name+".ndjson"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// encode gives one bundle a line.
func encode(bundles []*bundle) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, one := range bundles {
		if err := enc.Encode(one); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func report(log io.Writer, origin string, bundles []*bundle, size int) {
	var observations, conditions int
	for _, b := range bundles {
		for _, e := range b.Entry {
			switch e.Resource.(type) {
			case *observation:
				observations++
			case *condition:
				conditions++
			}
		}
	}
	fmt.Fprintf(log, "%-18s %4d patients %5d observations %4d conditions %8d bytes\n", origin, len(bundles), observations, conditions, size)
}

// unique refuses an id or a NIK that two resources share: the invented ones are
// drawn, and a collision must not be committed.
func unique(bundles []*bundle) error {
	seen := map[string]bool{}
	for _, b := range bundles {
		for i, e := range b.Entry {
			keys := []string{"id " + e.Resource.key()}
			if p, ok := e.Resource.(*patient); ok {
				keys = append(keys, "nik "+p.Identifier[0].Value)
			}
			for _, k := range keys {
				if seen[k] {
					return fmt.Errorf("%s, entry %d: an id or a NIK is there twice", b.Meta.Tag[0].Code, i)
				}
				seen[k] = true
			}
		}
	}
	return nil
}
