package house

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeProgramIsTheExample keeps the README's first program the Example
// of package consent, which go test runs.
func TestReadmeProgramIsTheExample(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../../consent/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	if !ok {
		t.Fatal("README has no Go program")
	}
	program, _, _ := strings.Cut(rest, "```")
	want := string(example)
	want = strings.Replace(want, "package consent_test", "package main", 1)
	want = strings.Replace(want, "func Example() {", "func main() {", 1)
	before, after, ok := strings.Cut(want, "\t// Output:")
	if !ok {
		t.Fatal("the Example states no output, so go test does not run it")
	}
	_, after, _ = strings.Cut(after, "\n}\n")
	if want = before + "}\n" + after; program != want {
		t.Errorf("README's program is not the Example; it should be:\n%s", want)
	}
	if n := strings.Count(program, "\n"); n > 40 {
		t.Errorf("README's program has %d lines, more than 40", n)
	}
}
