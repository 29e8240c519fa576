package clinic

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
)

// A row that somebody filed under another's token is not opened for whoever found
// it by that, neither in the search nor in the chart after it.
func TestFoundBy(t *testing.T) {
	c, ids := opened(t)
	ctx := t.Context()
	found, err := c.Find(ctx, ayu, "NIK", "9901010101900001", Why{})
	require.NoError(t, err)
	why := Why{FoundBy: found[0].Token}
	_, err = c.Chart(ctx, ayu, ids[0], why)
	require.NoError(t, err)
	require.NoError(t, c.AddVisit(ctx, ayu, &Visit{Patient: ids[0], Complaint: "Cough", Diagnosis: "J06.9"}, why))

	var a, b sql.Null[[]byte]
	require.NoError(t, c.db.QueryRowContext(ctx, `SELECT nik_a, nik_b FROM patients WHERE id = $1`, ids[0]).Scan(&a, &b))
	for _, change := range []struct {
		query string
		args  []any
	}{
		{`UPDATE patients SET nik_a = NULL, nik_b = NULL WHERE id = $1`, []any{ids[0]}},
		{`UPDATE patients SET nik_a = $1, nik_b = $2 WHERE id = $3`, []any{a, b, ids[1]}},
	} {
		_, err := c.db.ExecContext(ctx, change.query, change.args...)
		require.NoError(t, err)
	}
	found, err = c.Find(ctx, ayu, "NIK", "9901010101900001", Why{})
	require.NoError(t, err)
	require.Equal(t, consent.NotFoundBy, found[0].Refused.Reason)
	why.FoundBy = found[0].Token
	denied := (*consent.DeniedError)(nil)
	_, err = c.Chart(ctx, ayu, ids[1], why)
	require.ErrorAs(t, err, &denied)
	require.Equal(t, consent.NotFoundBy, denied.Reason)
	require.ErrorAs(t, c.AddVisit(ctx, ayu, &Visit{Patient: ids[1], Complaint: "Cough", Diagnosis: "J06.9"}, why), &denied)
	row, err := c.patientRow(ctx, ids[1])
	require.NoError(t, err)
	require.ErrorAs(t, c.UpdatePatient(ctx, ayu, &Patient{ID: ids[1]}, revision(row.sealed), why), &denied)
}
