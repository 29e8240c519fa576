package name

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	long := strings.Repeat
	for s, want := range map[string][3]bool{ // compartment, domain, ring
		"clinical": {true, false, true}, "a": {true, false, true}, "a-1": {true, false, true},
		long("a", 32): {true, false, true}, long("a", 33): {false, false, true}, long("a", 64): {false, false, true}, long("a", 65): {},
		"ring": {false, false, true}, "": {}, "1a": {false, false, true}, "-a": {false, false, true}, "A": {false, false, true}, "a_b": {false, false, true},
		"a b": {}, "a\n": {}, "ä": {}, "a\x00": {}, ".": {}, "..": {}, "a:b": {}, "a+b": {},
		"a/b": {false, true, false}, "lookup/patient/NIK": {false, true, false}, "research/ui-2026": {false, true, false},
		"a/": {}, "/a": {}, "a//b": {}, "a/../b": {}, "./a": {}, "a/b c": {}, "a/ä": {},
		long("a", 126) + "/b": {false, true, false}, long("a", 127) + "/b": {},
	} {
		if got := [3]bool{Compartment(s), Domain(s), Ring(s)}; got != want {
			t.Errorf("%q: compartment, domain, ring = %v, want %v", s, got, want)
		}
		if Keyset(s) != (want[0] || want[1]) {
			t.Errorf("%q: Keyset", s)
		}
	}
}
