// Package house holds the tests of the project's own rules: who may import
// whom, what is exported, and that the README's program is one that runs.
package house

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rahasia/rahasia"

// layers says what each room may import of the others. It is a statement of
// policy (docs/RATIONALE.md): do not add an edge to make a build pass.
var layers = map[string][]string{
	"keyring":  {},
	"envelope": {"keyring"},
	"pseudo":   {"keyring"},
	"consent":  {"keyring", "envelope", "pseudo"},
	"examples": {"keyring", "envelope", "pseudo", "consent"},
	"internal": {}, // keeps what rooms share, and knows none of them
}

// dependencies are the modules that the library itself may link.
var dependencies = []string{
	"github.com/tink-crypto/tink-go/v2", "golang.org/x/crypto", "golang.org/x/text", "golang.org/x/mod",
	"github.com/fxamacker/cbor/v2", "modernc.org/sqlite",
	"google.golang.org/protobuf", // Tink's: a keyset is a message of it
}

func TestImportsGoDownward(t *testing.T) {
	edges := 0
	for pkg, imports := range list(t, "{{.ImportPath}}{{range .Imports}} {{.}}{{end}}") {
		from := room(pkg)
		allowed, ok := layers[from]
		if !ok {
			t.Errorf("%s: a room that the policy does not know", pkg)
		}
		for _, imp := range imports {
			if to := room(imp); strings.HasPrefix(imp, module+"/") && to != from && to != "internal" {
				edges++
				if !slices.Contains(allowed, to) {
					t.Errorf("%s imports %s", pkg, imp)
				}
			}
		}
	}
	if edges == 0 {
		t.Error("no import between rooms was seen, so none was checked")
	}
}

func TestDependenciesAreTheListedOnes(t *testing.T) {
	for pkg, imports := range list(t, "{{.ImportPath}}{{range .Imports}} {{.}}{{end}}") {
		if room(pkg) == "examples" {
			continue
		}
		for _, imp := range imports {
			first, _, _ := strings.Cut(imp, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(imp, module+"/") {
				continue
			}
			if path.Base(pkg) == "pgtest" && strings.HasPrefix(imp, "github.com/jackc/pgx/v5/") {
				continue // a driver for tests, which TestOnlyTestsLinkPostgreSQL keeps out of the library
			}
			if !slices.ContainsFunc(dependencies, func(d string) bool { return imp == d || strings.HasPrefix(imp, d+"/") }) {
				t.Errorf("%s imports %s, which DESIGN does not list", pkg, imp)
			}
			if strings.HasPrefix(imp, "modernc.org/sqlite") && path.Base(pkg) != "sqlite" {
				t.Errorf("%s imports the SQLite driver: only the embedded default may", pkg)
			}
		}
	}
}

// TestOnlyTestsLinkPostgreSQL keeps that driver out of every program.
func TestOnlyTestsLinkPostgreSQL(t *testing.T) {
	for pkg, imports := range list(t, "{{.ImportPath}}{{range .Imports}} {{.}}{{end}}") {
		if slices.Contains(imports, module+"/internal/pgtest") {
			t.Errorf("%s imports internal/pgtest: only tests may", pkg)
		}
	}
}

// TestNoInit keeps start-up free of work and of order.
func TestNoInit(t *testing.T) {
	out, err := exec.Command("grep", "-rnE", "--include=*.go", "^func init\\(", "../..").CombinedOutput()
	if err == nil {
		t.Errorf("init functions:\n%s", out)
	}
}

func room(pkg string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(pkg, module+"/"), "/")
	return first
}

// list runs go list over the module and returns each line's first word with the rest.
func list(t *testing.T, format string) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", format, module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	pkgs := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		pkgs[f[0]] = f[1:]
	}
	return pkgs
}
