package pseudo

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

// spellings returns how a printer may write b: in runs of 6 bytes, so that a
// part of it is found too.
func spellings(b []byte) []string {
	var list []string
	for i := 0; i+6 <= len(b); i += 3 {
		w := b[i : i+6]
		list = append(list, string(w), hex.EncodeToString(w), strings.ToUpper(hex.EncodeToString(w)),
			strings.Trim(fmt.Sprint(w), "[]"), strings.Trim(fmt.Sprintf("%#v", w), "[]byte{}"),
			strings.Trim(fmt.Sprintf("%x", strings.Split(string(w), "")), "[]"), strings.Trim(fmt.Sprintf("% x", w), "[]"),
			fmt.Sprintf("%q", w), strings.Trim(fmt.Sprintf("%o", w), "[]"), strings.Trim(fmt.Sprintf("%b", w), "[]"))
	}
	for at := range 3 {
		list = append(list, base64.RawStdEncoding.EncodeToString(b[at : at+len(b)/3*3-3])[:8])
	}
	return list
}

// printed returns everything that fmt, both slog handlers and JSON make of v.
func printed(v any) []string {
	var out []string
	for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
		for _, flag := range []string{"", "+", "#", " ", "# "} {
			out = append(out, fmt.Sprintf("%"+flag+string(verb), v))
		}
	}
	var text, jsonLog bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&jsonLog, nil)).Info("x", "v", v)
	out = append(out, text.String(), jsonLog.String())
	if b, err := json.Marshal(v); err == nil {
		out = append(out, string(b))
	} else {
		out = append(out, err.Error())
	}
	return append(out, fmt.Errorf("%v", v).Error())
}

// TestLeak: neither a domain nor an index that has been at work prints a key
// or a value.
func TestLeak(t *testing.T) {
	ctx := context.Background()
	x, ring := newIndex(t)
	_, err := x.Tokens(ctx, full())
	require.NoError(t, err)
	_, err = x.Lookup(ctx, "NIK", sandboxNIK)
	require.NoError(t, err)
	d := x.fields[0].domain
	require.Equal(t, nikDomain, d.Name())
	ks, err := ring.Keyset(ctx, nikDomain)
	require.NoError(t, err)
	key, err := ks.Derive(ks.Primary(), tokenLabel, nikDomain, "nik", "1")
	require.NoError(t, err)
	// of the number only the whole: short runs of its digits also occur in addresses
	needles := append(spellings(secret.Expose(key)), sandboxNIK, "9271-0603-1200-0001", "+6281000000001")
	needles = append(needles, spellings([]byte("ardianto putra"))...)
	needles = append(needles, spellings([]byte("Ardianto Putra"))...)
	p := d.plan.Load()

	for name, v := range map[string]any{
		"domain": d, "index": x, "plan": p, "plan value": *p, "mac": p.keys[0].macs[0], "field": x.fields[0], "fields": x.fields,
		"nested": struct{ d *Domain }{d}, "exported": &struct{ D *Domain }{d}, "slice": []*Domain{d}, "map": map[string]*Domain{"a": d},
		"nested index": struct{ x *Index[patient] }{x}, "nested plan": struct{ p plan[tokenKeys] }{*p}, "result": Result[Token]{sample(), nil},
	} {
		for _, out := range printed(v) {
			for _, needle := range needles {
				if strings.Contains(out, needle) {
					t.Fatalf("%s prints %q", name, needle)
				}
			}
		}
	}
	require.Equal(t, "pseudo.Domain("+nikDomain+")", fmt.Sprintf("%+v", d))
	require.Equal(t, "pseudo.Index(patient)", fmt.Sprintf("%#v", x))
}

// TestLeakCheckSees: the check finds what a careless holder prints; without
// this the test above could pass blind.
func TestLeakCheckSees(t *testing.T) {
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	for name, v := range map[string]any{
		"slice": key, "string": string(key), "nested": struct{ k []byte }{key}, "array": struct{ k [32]byte }{[32]byte(key)},
	} {
		found := false
		for _, out := range printed(v) {
			for _, needle := range spellings(key) {
				found = found || strings.Contains(out, needle)
			}
		}
		require.True(t, found, name)
	}
}

// TestLeakPool: the pooled state of a MAC keeps nothing of the value, however
// long it was.
func TestLeakPool(t *testing.T) {
	for _, value := range []string{"x", sandboxNIK, strings.Repeat("x", 64), strings.Repeat("x", 65)} {
		m := newMAC(secret.Random())
		m.sum(value)
		s := m.pool().Get().(*macState)
		require.Equal(t, [64]byte{}, s.in)
	}
}
