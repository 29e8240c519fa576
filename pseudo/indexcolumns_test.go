package pseudo

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

type inhabitant struct {
	ID       string  `phi:"subject"`
	NIK      string  `phi:"nik,lookup,unique"`
	Passport *string `phi:"passport,lookup,unique"`
	Phone    string  `phi:"phone,lookup"`
}

func TestIndexColumns(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "lookup/inhabitant/NIK", "lookup/inhabitant/Passport", "lookup/inhabitant/Phone")
	x, err := NewIndex[inhabitant](ctx, "inhabitant", ring)
	require.NoError(t, err)
	src := &inhabitant{ID: "p", NIK: sandboxNIK, Phone: "0810-0000-0001"}
	tokens, err := x.Tokens(ctx, src)
	require.NoError(t, err)
	require.Len(t, tokens, 1, "a unique field has columns and no token")
	require.Contains(t, tokens, "Phone")
	passport := "IDN|C1234567"
	columns, err := x.Columns(ctx, &inhabitant{NIK: sandboxNIK, Passport: &passport})
	require.NoError(t, err)
	require.True(t, columns["NIK"][0].Valid && columns["Passport"][0].Valid, "each field has its own")
	for _, both := range []bool{false, true} {
		columns, err := x.Columns(ctx, src)
		require.NoError(t, err)
		require.Len(t, columns, 1)
		nik := columns["NIK"]
		require.True(t, nik[0].Valid)
		require.Equal(t, both, nik[1].Valid)
		a, b, err := open(t, ring, "lookup/inhabitant/NIK").Columns(ctx, NIK, sandboxNIK)
		require.NoError(t, err)
		require.Equal(t, [2]sql.Null[Token]{a, b}, nik)
		_, ok, err := x.Matches(ctx, src, nik[0].V)
		require.NoError(t, err)
		require.True(t, ok)
		found, err := x.Lookup(ctx, "NIK", sandboxNIK)
		require.NoError(t, err)
		require.Contains(t, found, nik[0].V)
		require.Equal(t, [2]sql.Null[Token]{}, columns["Passport"], "NULL")
		_, err = ring.Rotate(ctx, "lookup/inhabitant/NIK")
		require.NoError(t, err)
	}
	_, err = x.Columns(ctx, src)
	require.ErrorIs(t, err, ErrColumns)
	require.ErrorContains(t, err, `"NIK"`)
	requireNoValue(t, err, sandboxNIK)
	_, err = x.Columns(ctx, &inhabitant{NIK: "9271"})
	require.ErrorAs(t, err, new(*FormatError))
	_, err = x.Columns(ctx, nil)
	require.ErrorIs(t, err, ErrField)
	_, err = new(Index[inhabitant]).Columns(ctx, src)
	require.ErrorIs(t, err, ErrNoDomain)
	require.NoError(t, ring.Close())
	_, err = x.Columns(ctx, &inhabitant{NIK: sandboxNIK})
	require.ErrorIs(t, err, keyring.ErrClosed)
	empty, err := x.Columns(ctx, &inhabitant{})
	require.NoError(t, err)
	require.Nil(t, empty)
}
