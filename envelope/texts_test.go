package envelope

import (
	"context"
	"database/sql"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/phi"
)

// TestTypesErrorsHelp: what a programmer needs in order to mend it is in the
// text, and nothing that was given is.
func TestTypesErrorsHelp(t *testing.T) {
	type was struct {
		ID   string `phi:"subject"`
		Sex  string `phi:"sex"`
		HIV  string `phi:"clinical"`
		Note []byte
	}
	type is struct {
		ID  string        `phi:"subject"`
		Sex sql.NullInt64 `phi:"sex"`
		HIV string        `phi:"sensitive"`
	}
	ctx := context.Background()
	ring := newRing(t, "r", "clinical", "identity", "sensitive")
	old, now := newCodec[was](t, "patient", ring), newCodec[is](t, "patient", ring)
	row, err := old.Seal(ctx, &was{"p1", "F", "negatif", nil}, nil)
	require.NoError(t, err)
	whole, err := now.Begin(ctx, &is{ID: "p1"}, row)
	require.NoError(t, err)
	part, err := now.Begin(ctx, &is{ID: "p1"}, row, "clinical")
	require.NoError(t, err)

	open := func(fields ...string) error { return now.Open(ctx, &is{ID: "p1"}, row, fields...) }
	_, tag := old.Seal(ctx, &was{ID: "p1"}, map[string][]byte{"9271060312000001": nil})
	_, retag := now.Reseal(ctx, whole, &is{ID: "p1"}, nil, map[string][]byte{"9271060312000001": nil})
	_, moved := now.Reseal(ctx, whole, &is{ID: "p1"}, []string{"HIV"}, nil)
	_, objects := NewObjects("ecg", "9271060312000001", ring)
	for _, c := range []struct {
		err  error
		is   error
		text string
	}{
		{open("Sex", "9271060312000001"), ErrField, `type "patient": name 2 of those given; there are Sex, HIV`},
		{open("Sex"), ErrType, `field "Sex": stored as text, and the type has int`},
		{open("HIV"), ErrCompartment, `field "HIV": stored in "clinical", and the type has it in "sensitive"`},
		{moved, ErrCompartment, `field "HIV": stored in "clinical", and the type has it in "sensitive"`},
		{now.OpenFields(part, &is{ID: "p1"}, "Sex"), ErrCompartment, `field "Sex": section "identity" is not open`},
		{tag, ErrCompartment, `type "patient": a tag for another; there are clinical, identity`},
		{retag, ErrCompartment, `type "patient": a tag for another; there are clinical, identity, sensitive`},
		{objects, ErrCompartment, `object type "ecg": a compartment's name is [a-z][a-z0-9-]{0,31}`},
	} {
		require.ErrorIs(t, c.err, c.is)
		require.ErrorContains(t, c.err, c.text)
		require.NotContains(t, c.err.Error(), "9271060312000001")
	}
	require.Equal(t, strings.Repeat("a, ", 32)+"...", list(slices.Repeat([]string{"a"}, 33)))
	require.Equal(t, "a, b", list([]string{"a", "b"}))

	// Another encoding is replaced where the field is.
	resealed, err := now.Reseal(ctx, whole, &is{ID: "p1", Sex: sql.NullInt64{Int64: 2, Valid: true}}, []string{"Sex"}, nil)
	require.NoError(t, err)
	out := is{ID: "p1"}
	require.NoError(t, now.Open(ctx, &out, resealed, "Sex"))
	require.EqualValues(t, 2, out.Sex.Int64)
}

// TestTypesKindsInDoc: the package's page lists every kind in its compartment.
func TestTypesKindsInDoc(t *testing.T) {
	page, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	want := map[string][]string{}
	for _, k := range phi.Kinds() {
		want[k.Compartment] = append(want[k.Compartment], k.Name)
	}
	found := 0
	for line := range strings.Lines(string(page)) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "//\t"), " ")
		if kinds, ok := want[name]; ok && strings.HasPrefix(line, "//\t") {
			found++
			listed, untagged, _ := strings.Cut(strings.TrimSpace(rest), "; ")
			require.Equal(t, strings.Join(kinds, ", "), listed)
			require.Equal(t, name == phi.Untagged().Compartment, untagged == "and a field without a tag")
		}
	}
	require.Len(t, want, found)
}
