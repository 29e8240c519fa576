package pgx

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

var care = consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"}

func pool(t *testing.T, dsn string) *pgxpool.Pool {
	p, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// TestClinic runs on a real PostgreSQL: seal, store, look up, open, update.
func TestClinic(t *testing.T) {
	ctx := t.Context()
	server := pgtest.Start(t)
	app, own := pool(t, server.Database(t)+" pool_max_conns=1"), pool(t, server.Database(t))
	kek, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	journal := filepath.Join(t.TempDir(), "erasure.journal")
	c, err := Open(ctx, app, own, kek, journal, true)
	require.NoError(t, err)

	phone := "0810-0000-0001"
	ardi := Patient{ID: "p-1", NIK: "9271060312000001", Name: "Ardianto Putra", Phone: &phone, Diagnosis: []string{"J45 Asthma"}}
	require.NoError(t, c.Register(ctx, &ardi, "clerk-1"))
	require.NoError(t, c.Register(ctx, &Patient{ID: "p-2", NIK: "9204014804000002", Name: "Claudia Sintia"}, "clerk-1"))
	twin := ardi
	twin.ID = "p-3"
	var taken *pgconn.PgError
	require.ErrorAs(t, c.Register(ctx, &twin, "clerk-1"), &taken)
	require.Equal(t, "23505", taken.Code)
	var sealed []byte
	var phones int
	require.NoError(t, app.QueryRow(ctx, `SELECT sealed, (SELECT count(phone) FROM patients) FROM patients WHERE id = 'p-1'`).Scan(&sealed, &phones))
	require.False(t, strings.Contains(string(sealed), ardi.Name))
	require.Equal(t, 1, phones, "no number is NULL")

	_, err = c.ByNIK(ctx, ardi.NIK, care)
	require.ErrorIs(t, err, consent.ErrDenied)
	_, err = c.Config.Give(ctx, consent.Consent{Subject: ardi.ID, Purposes: []consent.Purpose{consent.Treatment}})
	require.NoError(t, err)
	got, err := c.ByNIK(ctx, "9271 0603 1200 0001", care)
	require.NoError(t, err)
	require.Equal(t, &ardi, got)
	_, err = c.ByNIK(ctx, "9104224509000003", care)
	require.ErrorIs(t, err, pgx.ErrNoRows)
	require.NoError(t, c.Diagnose(ctx, ardi.ID, "R05 Cough", care))

	// Rotated, so that there are two tokens to look for; by another process.
	_, err = c.Config.Ring.Rotate(ctx, pseudo.LookupDomain("patient", "NIK"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	c, err = Open(ctx, app, own, kek, journal, false)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	require.ErrorAs(t, c.Register(ctx, &twin, "clerk-1"), &taken)
	require.NoError(t, c.Register(ctx, &Patient{ID: "p-4", NIK: "9104224509000003", Name: "Elsa"}, "clerk-1"))
	var both bool
	require.NoError(t, app.QueryRow(ctx, `SELECT nik_a IS NOT NULL AND nik_b IS NOT NULL FROM patients WHERE id = 'p-4'`).Scan(&both))
	require.True(t, both)
	got, err = c.ByNIK(ctx, ardi.NIK, care)
	require.NoError(t, err)
	require.Equal(t, []string{"J45 Asthma", "R05 Cough"}, got.Diagnosis)

	// Somebody files another patient's row under this one's token.
	_, err = app.Exec(ctx, `UPDATE patients SET sealed = (SELECT sealed FROM patients WHERE id = 'p-2') WHERE id = 'p-1'`)
	require.NoError(t, err)
	_, err = c.ByNIK(ctx, ardi.NIK, care)
	require.Error(t, err)
	_, err = app.Exec(ctx, `UPDATE patients SET sealed = 'no row', nik_a = 'no token' WHERE id = 'p-1'`)
	require.NoError(t, err)
	require.Error(t, c.Diagnose(ctx, ardi.ID, "R05 Cough", care))
	_, err = c.ByNIK(ctx, ardi.NIK, care)
	require.True(t, errors.Is(err, pgx.ErrNoRows), "filed under what is no token: not found")
}
