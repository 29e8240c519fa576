package lp

import (
	"bytes"
	"strings"
	"testing"
)

func TestAppendIsInjective(t *testing.T) {
	lists := [][]string{
		nil, {""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"ab"}, {"a", "b"}, {"b", "a"},
		{"a\x00\x01b"}, {"a", "\x01b"}, {strings.Repeat("a", 256)}, {"a", strings.Repeat("a", 255)},
	}
	seen := map[string]int{}
	for i, l := range lists {
		enc := string(Append(nil, l...))
		if j, ok := seen[enc]; ok {
			t.Errorf("lists %d and %d encode alike", i, j)
		}
		seen[enc] = i
	}
}

func TestAppendKeepsDst(t *testing.T) {
	dst := make([]byte, 1, 64)
	dst[0] = 7
	if got := Append(dst, "ab"); !bytes.Equal(got, []byte{7, 0, 2, 'a', 'b'}) {
		t.Errorf("got %v", got)
	}
}

func TestAppendRefusesALengthItCannotWrite(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a part of 65,536 bytes was encoded")
		}
	}()
	Append(nil, make([]byte, MaxPart+1))
}
