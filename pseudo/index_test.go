package pseudo

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

type contact struct {
	Mobile sql.NullString `phi:"phone,lookup"`
}

type patient struct {
	ID      string    `phi:"subject"`
	NIK     string    `phi:"nik,lookup"`
	Mother  *string   `phi:"nik,lookup,name=mother_nik"`
	Name    string    `phi:"name,lookup"`
	Born    time.Time `phi:"birthdate"`
	Phone   string    `phi:"phone"` // no lookup
	Contact *contact
	Notes   string
}

const (
	nikDomain    = "lookup/patient/NIK"
	motherDomain = "lookup/patient/mother_nik"
	nameDomain   = "lookup/patient/Name"
	mobileDomain = "lookup/patient/Contact.Mobile"
)

func newIndex(t testing.TB) (*Index[patient], *keyring.Ring) {
	t.Helper()
	ring := newRing(t, nikDomain, motherDomain, nameDomain, mobileDomain)
	x, err := NewIndex[patient](context.Background(), "patient", ring)
	require.NoError(t, err)
	return x, ring
}

const motherNIK = "9204014804000002"

func full() *patient {
	mother := motherNIK
	return &patient{
		ID: "P1", NIK: "9271-0603-1200-0001", Mother: &mother, Name: "Dr. Ardianto Putra", Phone: "nonsense is not looked up",
		Contact: &contact{sql.NullString{String: "0810-0000-0001", Valid: true}},
	}
}

func TestLookupDomain(t *testing.T) {
	require.Equal(t, nikDomain, LookupDomain("patient", "NIK"))
}

func TestNewIndex(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, nikDomain, motherDomain, nameDomain)
	_, err := NewIndex[patient](ctx, "patient", ring) // one domain is missing
	require.ErrorIs(t, err, keyring.ErrNoKeyset)
	require.ErrorContains(t, err, "patient.Contact.Mobile")
	narrow, err := NewIndex[patient](ctx, "patient", ring.Only("identity"))
	require.NoError(t, err, "a service that looks nothing up may still open")
	_, err = narrow.Tokens(ctx, full())
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	_, err = narrow.Lookup(ctx, "NIK", "9271060312000001")
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	_, err = NewIndex[patient](ctx, "patient", nil)
	require.ErrorIs(t, err, ErrNoDomain)
	for _, recordType := range []string{"", "patient/NIK", "pa tient", "pätient"} {
		_, err = NewIndex[patient](ctx, recordType, ring)
		require.ErrorIs(t, err, keyring.ErrName, recordType)
	}
	_, err = NewIndex[struct {
		ID  string `phi:"subject"`
		NIK string `phi:"nik,lookup,name=a/b"`
	}](ctx, "patient", ring)
	require.ErrorIs(t, err, keyring.ErrName)
	_, err = NewIndex[struct {
		ID  string `phi:"subject"`
		Sex string `phi:"sex,lookup"`
	}](ctx, "patient", ring)
	require.ErrorContains(t, err, "low entropy")
	_, err = NewIndex[int](ctx, "patient", ring)
	require.Error(t, err)
}

// TestIndexWithoutLookupFields: such a type needs no domain and has no tokens.
func TestIndexWithoutLookupFields(t *testing.T) {
	type plain struct {
		ID  string `phi:"subject"`
		NIK string `phi:"nik"`
	}
	ctx := context.Background()
	x, err := NewIndex[plain](ctx, "plain", newRing(t))
	require.NoError(t, err)
	tokens, err := x.Tokens(ctx, &plain{"P1", sandboxNIK})
	require.NoError(t, err)
	require.Empty(t, tokens)
	_, err = x.Lookup(ctx, "NIK", sandboxNIK)
	require.ErrorIs(t, err, ErrField)
	_, ok, err := x.Matches(ctx, &plain{"P1", sandboxNIK}, sample())
	require.NoError(t, err)
	require.False(t, ok)
}

func TestIndexNotMade(t *testing.T) {
	ctx := context.Background()
	for _, x := range []*Index[patient]{nil, {}} {
		_, err := x.Tokens(ctx, full())
		require.ErrorIs(t, err, ErrNoDomain)
		_, err = x.Lookup(ctx, "NIK", sandboxNIK)
		require.ErrorIs(t, err, ErrNoDomain)
		_, ok, err := x.Matches(ctx, full(), sample())
		require.ErrorIs(t, err, ErrNoDomain)
		require.False(t, ok)
	}
}

// TestIndexTokens: each token is that of its field's own domain and kind.
func TestIndexTokens(t *testing.T) {
	ctx := context.Background()
	x, ring := newIndex(t)
	src := full()
	tokens, err := x.Tokens(ctx, src)
	require.NoError(t, err)
	require.Equal(t, full(), src, "the record was changed")
	for field, c := range map[string]struct {
		domain string
		kind   Kind
		value  string
	}{
		"NIK":            {nikDomain, NIK, sandboxNIK},
		"mother_nik":     {motherDomain, NIK, motherNIK},
		"Name":           {nameDomain, Name, "ardianto putra"},
		"Contact.Mobile": {mobileDomain, Phone, "+6281000000001"},
	} {
		want, err := open(t, ring, c.domain).Token(ctx, c.kind, c.value)
		require.NoError(t, err)
		require.Equal(t, want, tokens[field], field)
		found, err := x.Lookup(ctx, field, c.value)
		require.NoError(t, err)
		require.Equal(t, []Token{want}, found)
	}
	require.Len(t, tokens, 4)
}

// TestIndexAbsent: NULL in every shape, and the empty string, have no token;
// no lookup asks for them.
func TestIndexAbsent(t *testing.T) {
	ctx := context.Background()
	x, _ := newIndex(t)
	empty := ""
	for name, change := range map[string]func(*patient){
		"nil struct":    func(p *patient) { p.Contact = nil },
		"SQL NULL":      func(p *patient) { p.Contact.Mobile.Valid = false },
		"SQL empty":     func(p *patient) { p.Contact.Mobile.String = "" },
		"nil pointer":   func(p *patient) { p.Mother = nil },
		"pointed empty": func(p *patient) { p.Mother = &empty },
		"empty":         func(p *patient) { p.NIK = "" },
	} {
		src := full()
		change(src)
		tokens, err := x.Tokens(ctx, src)
		require.NoError(t, err, name)
		require.Len(t, tokens, 3, name)
	}
	tokens, err := x.Tokens(ctx, &patient{ID: "P1"})
	require.NoError(t, err)
	require.NotNil(t, tokens)
	require.Empty(t, tokens)
	for _, field := range []string{"NIK", "Name", "Contact.Mobile", "mother_nik"} {
		var format *FormatError
		_, err := x.Lookup(ctx, field, "")
		require.ErrorAs(t, err, &format, field)
	}
}

func TestIndexErrors(t *testing.T) {
	ctx := context.Background()
	x, ring := newIndex(t)
	src := full()
	src.NIK = "9271060313000001"
	tokens, err := x.Tokens(ctx, src)
	var format *FormatError
	require.ErrorAs(t, err, &format)
	require.ErrorContains(t, err, `"NIK"`)
	requireNoValue(t, err, src.NIK)
	require.Nil(t, tokens)
	_, err = x.Tokens(ctx, nil)
	require.ErrorIs(t, err, ErrField)
	_, _, err = x.Matches(ctx, nil, sample())
	require.ErrorIs(t, err, ErrField)
	for _, field := range []string{"", "nik", "Born", "Phone", "Patient.NIK", sandboxNIK} {
		_, err = x.Lookup(ctx, field, sandboxNIK) // the last has its arguments in the wrong places
		require.ErrorIs(t, err, ErrField)
		requireNoValue(t, err, sandboxNIK)
	}
	require.NoError(t, ring.Close())
	_, err = x.Tokens(ctx, full())
	require.ErrorIs(t, err, keyring.ErrClosed)
	require.ErrorContains(t, err, "lookup/patient/")
	_, err = x.Lookup(ctx, "NIK", sandboxNIK)
	require.ErrorIs(t, err, keyring.ErrClosed)
	_, ok, err := x.Matches(ctx, full(), sample())
	require.ErrorIs(t, err, keyring.ErrClosed)
	require.False(t, ok)
}

func TestIndexMatches(t *testing.T) {
	ctx := context.Background()
	x, ring := newIndex(t)
	tokens, err := x.Tokens(ctx, full())
	require.NoError(t, err)
	_, err = ring.Rotate(ctx, nikDomain)
	require.NoError(t, err)
	for _, name := range slices.Sorted(maps.Keys(tokens)) { // the NIK's by its old version
		field, ok, err := x.Matches(ctx, full(), tokens[name])
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, name, field)
	}
	found, err := x.Lookup(ctx, "NIK", sandboxNIK)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, tokens["NIK"], found[1])
	field, ok, err := x.Matches(ctx, full(), found[0])
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "NIK", field)

	_, ok, err = x.Matches(ctx, full(), Token{})
	require.ErrorIs(t, err, ErrToken)
	require.False(t, ok)
	_, ok, err = x.Matches(ctx, full(), Token{version: 99})
	require.ErrorIs(t, err, keyring.ErrUnknownVersion)
	require.False(t, ok)
	_, ok, err = x.Matches(ctx, full(), Token{version: 2}) // readable in one domain: no error, no match
	require.NoError(t, err)
	require.False(t, ok)
	src := full()
	src.Name = "dr."
	_, ok, err = x.Matches(ctx, src, Token{version: 1})
	require.Error(t, err)
	require.False(t, ok)
	field, ok, err = x.Matches(ctx, src, tokens["NIK"]) // another field that cannot be compared does not hide a match
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "NIK", field)
}
