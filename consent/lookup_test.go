package consent

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/pseudo"
)

func TestLookup(t *testing.T) {
	r := people(t, memoryConfig(t))
	ctx := context.Background()
	row := sealed(t, r, ayu, Treatment)
	for _, phone := range []string{"0810-0000-0001", "+62 810 0000 0001", "62 810.0000.0001"} {
		tokens, err := r.Lookup(ctx, "Phone", phone, care)
		require.NoError(t, err)
		require.True(t, slices.Contains(tokens, row.Tokens["Phone"]), phone)
	}
	tokens, err := r.Lookup(ctx, "NIK", ayu.NIK, care)
	require.NoError(t, err)
	req := care
	req.FoundBy = tokens[0]
	_, err = open(r, ayu.ID, row.Sealed, req)
	require.IsType(t, &WithheldError{}, err)

	e := last(t, r.cfg.Log)
	require.Equal(t, "open", e.Action)
	_, err = r.Lookup(ctx, "Name", "x", care)
	require.ErrorIs(t, err, pseudo.ErrField)
	_, err = r.Lookup(ctx, "NIK", "12", care)
	require.ErrorAs(t, err, new(*pseudo.FormatError))
}

// TestAttackSwappedTokens: somebody with write access files one patient's row
// under another's token, or one patient's token under another's id.
func TestAttackSwappedTokens(t *testing.T) {
	r := people(t, memoryConfig(t))
	budi := ayu
	budi.ID, budi.NIK, budi.Phone = "p-budi", "9271060312000001", nil
	rowAyu, rowBudi := sealed(t, r, ayu, Treatment), sealed(t, r, budi, Treatment)
	req := care
	req.FoundBy = rowAyu.Tokens["NIK"]
	got, err := open(r, budi.ID, rowBudi.Sealed, req)
	require.ErrorIs(t, err, ErrTokenMismatch)
	require.Equal(t, person{ID: budi.ID}, got)
	require.Equal(t, NotFoundBy, last(t, r.cfg.Log).Reason)
	require.Equal(t, "refused", last(t, r.cfg.Log).Outcome)
	_, err = open(r, ayu.ID, rowAyu.Sealed, req)
	require.NotErrorIs(t, err, ErrTokenMismatch)
}

// TestAttackRowOfAnother: the caller says whom it asks for, and no row can
// answer for another.
func TestAttackRowOfAnother(t *testing.T) {
	r := people(t, memoryConfig(t))
	budi := ayu
	budi.ID = "p-budi"
	row := sealed(t, r, ayu, Treatment)
	sealed(t, r, budi, Treatment)
	got, err := open(r, budi.ID, row.Sealed, care)
	require.ErrorIs(t, err, envelope.ErrOpen)
	require.Equal(t, person{ID: budi.ID}, got)
	require.Equal(t, NotAuthentic, last(t, r.cfg.Log).Reason)
	other, err := NewRecords[person]("visit", r.cfg)
	require.NoError(t, err)
	_, err = open(other, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, envelope.ErrOpen, "another record type")
}
