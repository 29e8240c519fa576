package consent

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// citizen is a record whose NIK may occur once.
type citizen struct {
	ID    string  `phi:"subject"`
	NIK   *string `phi:"nik,lookup,unique"`
	Phone string  `phi:"phone,lookup"`
	Name  string  `phi:"name"`
}

func citizens(t testing.TB, cfg *Config) *Records[citizen] {
	t.Helper()
	r, err := NewRecords[citizen]("citizen", cfg)
	require.NoError(t, err)
	return r
}

func citizenOf(n int) *citizen {
	return &citizen{ID: fmt.Sprint("p-", n), NIK: new(fmt.Sprintf("92710603120%05d", n)), Phone: "0810-0000-0001", Name: "Ardianto Putra"}
}

// register is an application's table with two UNIQUE columns.
type register struct {
	t  testing.TB
	db *sql.DB
}

func newRegister(t testing.TB) register {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "app.db"))
	require.NoError(t, err)
	_, err = db.Exec(`CREATE TABLE citizen (id TEXT PRIMARY KEY, sealed BLOB NOT NULL, nik_a BLOB UNIQUE, nik_b BLOB UNIQUE)`)
	require.NoError(t, err)
	return register{t, db}
}

func (g register) enter(r *Records[citizen], c *citizen) error {
	g.t.Helper()
	row, err := r.Seal(context.Background(), c, careTag)
	require.NoError(g.t, err)
	nik := row.Unique["NIK"]
	_, err = g.db.Exec(`INSERT INTO citizen VALUES (?, ?, ?, ?)`, c.ID, row.Sealed, nik[0], nik[1])
	return err
}

// find returns the ids of the rows with a NIK.
func (g register) find(r *Records[citizen], nik string) (ids []string) {
	g.t.Helper()
	tokens, err := r.Lookup(context.Background(), "NIK", nik, registrar)
	require.NoError(g.t, err)
	var args []any
	for range 2 {
		for _, tok := range tokens {
			args = append(args, tok)
		}
	}
	in := strings.TrimSuffix(strings.Repeat("?, ", len(tokens)), ", ")
	rows, err := g.db.Query(`SELECT id FROM citizen WHERE nik_a IN (`+in+`) OR nik_b IN (`+in+`)`, args...)
	require.NoError(g.t, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		require.NoError(g.t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(g.t, rows.Err())
	return ids
}

func (g register) rows() iter.Seq2[*citizen, envelope.Sealed] {
	rows, err := g.db.Query(`SELECT id, sealed FROM citizen`)
	require.NoError(g.t, err)
	defer rows.Close()
	type stored struct {
		id     string
		sealed envelope.Sealed
	}
	var all []stored
	for rows.Next() {
		var s stored
		require.NoError(g.t, rows.Scan(&s.id, &s.sealed))
		all = append(all, s)
	}
	require.NoError(g.t, rows.Err())
	return func(yield func(*citizen, envelope.Sealed) bool) {
		for _, s := range all {
			if !yield(&citizen{ID: s.id}, s.sealed) {
				return
			}
		}
	}
}

// backfill writes what the columns hold now into every row, with the verbs that
// a service has.
func (g register) backfill(r *Records[citizen]) {
	g.t.Helper()
	ctx := context.Background()
	old := map[string]envelope.Sealed{}
	for c, sealed := range g.rows() {
		old[c.ID] = sealed
	}
	for c, err := range r.OpenAll(ctx, g.rows(), registrar) {
		require.NoError(g.t, err)
		row, err := r.Update(ctx, old[c.ID], c, registrar, "NIK")
		require.NoError(g.t, err)
		nik := row.Unique["NIK"]
		res, err := g.db.Exec(`UPDATE citizen SET sealed = ?, nik_a = ?, nik_b = ? WHERE id = ? AND sealed = ?`, row.Sealed, nik[0], nik[1], c.ID, old[c.ID])
		require.NoError(g.t, err)
		n, err := res.RowsAffected()
		require.NoError(g.t, err)
		require.EqualValues(g.t, 1, n)
	}
}

// missed is the count that pseudo.Domain.Columns asks for, of version 2.
func (g register) missed() (n int) {
	g.t.Helper()
	require.NoError(g.t, g.db.QueryRow(`SELECT count(*) FROM citizen WHERE nik_b IS NULL OR substr(nik_b, 1, 5) <> x'0100000002'`).Scan(&n))
	return n
}

func registrarMay(cfg *Config) {
	cfg.Policy.Bases = []LegalBasis{{Basis: LegalObligation, Article: "Permenkes 24/2022", Rule: Rule{Purposes: []Purpose{Operations}}}}
}

// TestUniqueThroughRotation: through a rotation of the lookup domain, with a
// second process that knows of it late, no NIK is entered twice, and each is found.
func TestUniqueThroughRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		ring1, ring2 := twoRings(t)
		defer ring1.Close()
		defer ring2.Close()
		here := &Config{Ring: ring1, Provision: true}
		reopen(t, here, nil)
		registrarMay(here)
		there := *here // ledger and log in memory, shared
		there.Ring = ring2
		r, other := citizens(t, here), citizens(t, &there)
		g := newRegister(t)
		defer func() { _ = sqlite.Close(g.db) }()

		require.NoError(t, g.enter(r, citizenOf(1)))
		require.NoError(t, g.enter(other, citizenOf(2)))
		domain := pseudo.LookupDomain("citizen", "NIK")
		_, err := here.Ring.Rotate(ctx, domain)
		require.NoError(t, err)
		require.NoError(t, g.enter(other, citizenOf(3)), "by a process that does not know yet")
		require.NoError(t, g.enter(r, citizenOf(4)))
		twin := func(n int) *citizen {
			c := citizenOf(n)
			c.ID += "-twin"
			return c
		}
		none := func() {
			t.Helper()
			for n := 1; n <= 4; n++ {
				require.ErrorContains(t, g.enter(r, twin(n)), "UNIQUE")
				require.ErrorContains(t, g.enter(other, twin(n)), "UNIQUE")
				require.Equal(t, []string{citizenOf(n).ID}, g.find(r, *citizenOf(n).NIK))
				require.Equal(t, []string{citizenOf(n).ID}, g.find(other, *citizenOf(n).NIK))
			}
		}
		none()
		require.Equal(t, 3, g.missed())
		time.Sleep(90 * time.Second)
		g.backfill(r)
		require.Zero(t, g.missed())
		none()
		require.NoError(t, here.Ring.SetState(ctx, domain, 1, keyring.Suspended))
		none()
		time.Sleep(90 * time.Second)
		none()
		g.backfill(r) // clears the columns of version 1
		var left int
		require.NoError(t, g.db.QueryRow(`SELECT count(*) FROM citizen WHERE nik_a IS NOT NULL`).Scan(&left))
		require.Zero(t, left)
		require.NoError(t, here.Ring.SetState(ctx, domain, 1, keyring.Destroyed))
		none()
	})
}

// TestUniqueWithoutBackfill: the test above sees what goes wrong without it.
func TestUniqueWithoutBackfill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring, second := twoRings(t)
		defer ring.Close()
		defer second.Close()
		cfg := &Config{Ring: ring, Provision: true}
		reopen(t, cfg, nil)
		r := citizens(t, cfg)
		g := newRegister(t)
		defer func() { _ = sqlite.Close(g.db) }()
		require.NoError(t, g.enter(r, citizenOf(1)))
		domain := pseudo.LookupDomain("citizen", "NIK")
		_, err := ring.Rotate(t.Context(), domain)
		require.NoError(t, err)
		time.Sleep(90 * time.Second)
		require.NoError(t, ring.SetState(t.Context(), domain, 1, keyring.Suspended))
		twin := citizenOf(1)
		twin.ID = "p-twin"
		require.NoError(t, g.enter(r, twin))
	})
}

// TestUniqueRow: what a row has in each verb that makes one.
func TestUniqueRow(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	registrarMay(cfg)
	r := citizens(t, cfg)
	row, err := r.Seal(ctx, citizenOf(1), careTag)
	require.NoError(t, err)
	require.NotContains(t, row.Tokens, "NIK", "one column would lose its uniqueness with a rotation")
	require.Contains(t, row.Tokens, "Phone")
	nik := row.Unique["NIK"]
	require.True(t, nik[0].Valid)
	require.False(t, nik[1].Valid)
	tokens, err := r.Lookup(ctx, "NIK", *citizenOf(1).NIK, registrar)
	require.NoError(t, err)
	require.Equal(t, []pseudo.Token{nik[0].V}, tokens)
	found := registrar
	found.FoundBy = nik[0].V
	_, err = openCitizen(r, "p-1", row.Sealed, found)
	require.NoError(t, err)
	other, err := r.Seal(ctx, citizenOf(2), careTag)
	require.NoError(t, err)
	_, err = openCitizen(r, "p-2", other.Sealed, found)
	require.ErrorIs(t, err, ErrTokenMismatch)

	none, err := r.Seal(ctx, &citizen{ID: "p-3", Name: "newborn"}, careTag)
	require.NoError(t, err)
	require.Empty(t, none.Unique)
	require.Equal(t, [2]sql.Null[pseudo.Token]{}, none.Unique["NIK"])
	short := citizenOf(4)
	short.NIK = new("9271")
	_, err = r.Seal(ctx, short, careTag)
	require.ErrorAs(t, err, new(*pseudo.FormatError))

	changed := citizenOf(5)
	changed.ID = "p-1"
	next, err := r.Update(ctx, row.Sealed, changed, registrar, "NIK", "Name")
	require.NoError(t, err)
	require.Empty(t, next.Tokens)
	require.True(t, next.Unique["NIK"][0].Valid)
	require.NotEqual(t, nik, next.Unique["NIK"])
	changed.NIK = nil
	next, err = r.Update(ctx, next.Sealed, changed, registrar, "NIK", "Phone")
	require.NoError(t, err)
	require.Contains(t, next.Tokens, "Phone")
	cleared, named := next.Unique["NIK"]
	require.True(t, named)
	require.Equal(t, [2]sql.Null[pseudo.Token]{}, cleared)
	next, err = r.Update(ctx, next.Sealed, changed, registrar, "Phone")
	require.NoError(t, err)
	require.Empty(t, next.Unique, "nothing that was not named")
	_, err = r.Update(ctx, next.Sealed, short, registrar, "NIK")
	require.ErrorAs(t, err, new(*pseudo.FormatError))

	inbox, to, db := intakeClinic(t, cfg)
	item, err := intakeOf[citizen](t, "citizen", to).Seal(citizenOf(6), careTag)
	require.NoError(t, err)
	got, err := accepting(t, r, db, inbox, item)
	require.NoError(t, err)
	require.True(t, got.Unique["NIK"][0].Valid)
	require.NotContains(t, got.Tokens, "NIK")
}

// TestUniqueRebind: a record that moves to another patient keeps its columns.
func TestUniqueRebind(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	registrarMay(cfg)
	r := citizens(t, cfg)
	row, err := r.Seal(ctx, citizenOf(1), careTag)
	require.NoError(t, err)
	moved, err := r.Rebind(ctx, row.Sealed, &citizen{ID: "p-1"}, &citizen{ID: "p-9"}, registrar)
	require.NoError(t, err)
	found := registrar
	found.FoundBy = row.Unique["NIK"][0].V
	got, err := openCitizen(r, "p-9", moved, found)
	require.NoError(t, err)
	require.Equal(t, *citizenOf(1).NIK, *got.NIK)
}

func openCitizen(r *Records[citizen], id string, row envelope.Sealed, req Request) (citizen, error) {
	out := citizen{ID: id}
	err := r.Open(context.Background(), &out, row, req)
	return out, err
}
