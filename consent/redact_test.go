package consent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/stretchr/testify/require"
)

// chatty logs itself in full when it is asked.
type chatty struct {
	ID   string `phi:"subject"`
	Name string `phi:"name"`
}

// LogValue gives everything away.
func (c chatty) LogValue() slog.Value { return slog.StringValue(c.Name) }

// String gives everything away.
func (c chatty) String() string { return c.Name }

// lazy logs a record in its place.
type lazy struct{ f func() any }

// LogValue is what f returns.
func (l lazy) LogValue() slog.Value { return slog.AnyValue(l.f()) }

type wrapped struct {
	When time.Time
	in   any
	Out  any
}

type broken struct {
	Name string `phi:"name"` // no subject: no plan
}

type failure struct{ p person }

// Error says nothing.
func (failure) Error() string { return "failed" }

// TestRedact logs a record in every way in which slog may be given one.
func TestRedact(t *testing.T) {
	p := ayu
	pp := &p
	c := chatty{"p-ayu", ayu.Name}
	values := map[string]any{
		"value": p, "pointer": pp, "pointer to pointer": &pp, "nil": (*person)(nil), "slice": []person{p}, "slice of pointers": []*person{pp},
		"array": [1]person{p}, "map": map[string]person{"x": p}, "map key": map[chatty]int{c: 1}, "any in a slice": []any{1, p},
		"any in a map": map[string]any{"x": map[string]any{"y": pp}}, "struct": struct{ P person }{p}, "unexported": struct{ p person }{p},
		"behind any": wrapped{Out: p}, "behind unexported any": wrapped{in: p}, "in an error": failure{p}, "joined": fmt.Errorf("x: %w", failure{p}),
		"chatty": c, "chatty pointer": &c, "chatty in a slice": []chatty{c}, "lazy": lazy{func() any { return p }},
		"lazy in lazy": lazy{func() any { return lazy{func() any { return slog.GroupValue(slog.Any("x", p)) }} }},
		"no plan":      broken{ayu.Name}, "group": slog.GroupValue(slog.Any("a", slog.GroupValue(slog.Any("b", p)))), "attrs": []slog.Attr{slog.Any("x", p)},
		"func that panics": lazy{func() any { panic(ayu.Name) }}, "null": struct{ V *any }{ptr(any(p))},
	}
	needles := []string{ayu.ID, ayu.NIK, ayu.Name, *ayu.Phone, ayu.Diagnosis[0], ayu.Serology, ayu.Family, ayu.Notes, "1989"}
	timeless := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{} // its nanoseconds may hold a needle by chance
		}
		return a
	}}
	for name, v := range values {
		var b bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, timeless), slog.NewJSONHandler(&b, timeless)} {
			log := slog.New(Redact(h))
			log.Info("m", "v", v)
			log.With("v", v).WithGroup("g").Info("m", slog.Group("h", "v", v))
		}
		for _, needle := range needles {
			require.NotContains(t, b.String(), needle, name)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestRedactShowsTheRest: what says clear is shown, and what holds no record is
// as it was.
func TestRedactShowsTheRest(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(Redact(slog.NewJSONHandler(&b, nil)))
	log.Info("opened", "p", &ayu, "n", 3, "err", errors.New("why"), "list", []any{1, "x"}, "many", []person{ayu})
	var got map[string]any
	require.NoError(t, json.Unmarshal(b.Bytes(), &got))
	p := got["p"].(map[string]any)
	require.Equal(t, "clinic-7", p["Clinic"])
	require.Equal(t, "[redacted]", p["Name"])
	require.Equal(t, "[redacted]", p["ID"])
	require.Len(t, p, 11)
	require.Equal(t, []any{float64(3), "why", []any{float64(1), "x"}, "[redacted] []consent.person"}, []any{got["n"], got["err"], got["list"], got["many"]})
}

// TestRedactEnds: values that contain themselves, and very large ones.
func TestRedactEnds(t *testing.T) {
	type node struct {
		Next  []*node
		Value any
	}
	n := &node{Value: 1}
	n.Next = []*node{n, n, n}
	large := make([]any, searchSteps+1)
	var b bytes.Buffer
	log := slog.New(Redact(slog.NewTextHandler(&b, nil)))
	log.Info("m", "n", n, "large", large)
	require.Contains(t, b.String(), "large=\"[redacted] []interface {}\"")
	var valuer slog.LogValuer
	valuer = lazy{func() any { return valuer }}
	log.Info("m", "v", valuer)
}

// TestRedactIsAHandler is the contract of handlers.
func TestRedactIsAHandler(t *testing.T) {
	var b bytes.Buffer
	err := slogtest.TestHandler(Redact(slog.NewJSONHandler(&b, nil)), func() (all []map[string]any) {
		for line := range bytes.Lines(b.Bytes()) {
			var m map[string]any
			require.NoError(t, json.Unmarshal(line, &m))
			all = append(all, m)
		}
		return all
	})
	require.NoError(t, err)
	require.False(t, Redact(slog.NewJSONHandler(&b, nil)).Enabled(context.Background(), slog.LevelDebug))
}
