package evidence

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/keyring"
)

// server is the PostgreSQL of this package's tests.
var server pgtest.Shared

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

// place is where a chain or a tree is kept; the zero place is memory.
type place struct {
	db  *sql.DB
	dir string
}

func (p place) lasts() bool { return p != place{} }

func (p place) chain(t testing.TB, ring *keyring.Ring) *Chain {
	t.Helper()
	if p.dir == "" {
		return openChain(t, ring, p.db)
	}
	c, err := OpenChainDir(ctx, ring, p.dir)
	require.NoError(t, err)
	return c
}

func (p place) tree(t testing.TB, ring *keyring.Ring) *Tree {
	t.Helper()
	if p.dir == "" {
		return openTree(t, ring, p.db)
	}
	tree, err := OpenTreeDir(ctx, ring, p.dir)
	require.NoError(t, err)
	return tree
}

// everywhere runs a test over a database of each kind, in a folder, and in memory.
func everywhere(t *testing.T, f func(t *testing.T, p place)) {
	t.Run("memory", func(t *testing.T) { f(t, place{}) })
	t.Run("dir", func(t *testing.T) { f(t, place{dir: filepath.Join(t.TempDir(), "evidence")}) })
	databases(t, func(t *testing.T, db *sql.DB) { f(t, place{db: db}) })
}

func databases(t *testing.T, f func(t *testing.T, db *sql.DB)) {
	t.Run("sqlite", func(t *testing.T) { f(t, newDB(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, pgtest.Open(t, server.Start(t).Database(t))) })
}

// TestContractChain: what a chain promises, wherever it is kept.
func TestContractChain(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		ring := newRing(t)
		c := p.chain(t, ring)
		for i := range 6 {
			require.NoError(t, c.Append(ctx, fmt.Sprint("p", i%2), fmt.Append(nil, i), agree))
		}
		_, err := ring.Rotate(ctx, ChainKeyset)
		require.NoError(t, err)
		require.NoError(t, c.Append(ctx, "p1", []byte("7"), agree))
		again := c
		if p.lasts() {
			again = p.chain(t, ring)
		}
		for _, c := range []*Chain{c, again} {
			got, err := c.Of(ctx, "p1")
			require.NoError(t, err)
			require.Equal(t, []string{"1", "3", "5", "7"}, texts(got))
			none, err := c.Of(ctx, "p2")
			require.NoError(t, err)
			require.Empty(t, none)
			require.EqualValues(t, 7, c.Len())
		}
		no := errors.New("no")
		require.ErrorIs(t, again.Append(ctx, "p0", nil, func(b [][]byte) error {
			require.Len(t, b, 3)
			return no
		}), no)
		require.NoError(t, again.Anchor(ctx))
		require.EqualValues(t, 7, again.Len())
	})
}

// TestContractChainConcurrent: several openings append at once; every event is
// there once, and each check saw all events of its subject before its own.
func TestContractChainConcurrent(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		ring := newRing(t)
		chains := []*Chain{p.chain(t, ring)}
		if p.lasts() {
			chains = append(chains, p.chain(t, ring), p.chain(t, ring))
		}
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				for range 5 {
					var before int
					err := chains[i%len(chains)].Append(ctx, "p", fmt.Append(nil, i), func(b [][]byte) error {
						before = len(b)
						return nil
					})
					if err != nil || before > 29 {
						t.Error(before, err)
					}
				}
			})
		}
		wg.Wait()
		for _, c := range chains {
			got, err := c.Of(ctx, "p")
			require.NoError(t, err)
			require.Len(t, got, 30)
		}
	})
}

// TestContractTree: what a tree promises, wherever it is kept.
func TestContractTree(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		ring := newRing(t)
		tree := p.tree(t, ring)
		empty, err := tree.Checkpoint(ctx)
		require.NoError(t, err)
		require.Nil(t, empty)
		for i := range 70 {
			require.NoError(t, tree.Append(ctx, fmt.Append(nil, 2*i), fmt.Append(nil, 2*i+1)))
		}
		if p.lasts() {
			tree = p.tree(t, ring)
		}
		want := 0
		n, err := tree.Verify(ctx, func(leaf []byte) error {
			require.Equal(t, fmt.Sprint(want), string(leaf))
			want++
			return nil
		})
		require.NoError(t, err)
		require.EqualValues(t, 140, n)
		key, err := tree.VerifierKey(ctx)
		require.NoError(t, err)
		old, err := tree.Checkpoint(ctx)
		require.NoError(t, err)
		for _, i := range []int64{0, 1, 63, 64, 127, 139} {
			leaf, hashes, checkpoint, err := tree.Prove(ctx, i)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), string(leaf))
			require.NoError(t, CheckProof(key, i, leaf, hashes, checkpoint))
		}
		require.NoError(t, tree.Append(ctx, []byte("140")))
		require.NoError(t, tree.Extends(ctx, old))
		require.NoError(t, tree.Anchor(ctx))
		require.NoError(t, last(ctx, tree, func(leaf []byte) error {
			require.Equal(t, "140", string(leaf))
			return nil
		}))
	})
}

// planted is what somebody who may change the schema puts among the tables.
func planted(table string, column string) map[string][]string {
	return map[string][]string{
		"sqlite": {
			`CREATE TRIGGER planted BEFORE INSERT ON ` + table + ` BEGIN SELECT RAISE(IGNORE); END`,
			`CREATE INDEX planted ON ` + table + ` (` + column + `)`,
			`ALTER TABLE ` + table + ` RENAME TO gone; CREATE VIEW ` + table + ` AS SELECT * FROM gone`,
			`ALTER TABLE ` + table + ` RENAME TO gone`,
			`ALTER TABLE ` + table + ` ADD COLUMN more TEXT`,
		},
		"postgres": {
			`CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER planted BEFORE INSERT ON ` + table + ` FOR EACH ROW EXECUTE FUNCTION nothing()`,
			`CREATE RULE planted AS ON INSERT TO ` + table + ` DO INSTEAD NOTHING`,
			`ALTER TABLE ` + table + ` ENABLE ROW LEVEL SECURITY`,
			`ALTER TABLE ` + table + ` RENAME TO gone; CREATE VIEW ` + table + ` AS SELECT * FROM gone`,
			`ALTER TABLE ` + table + ` RENAME TO gone`,
			`CREATE TABLE child () INHERITS (` + table + `)`,
			`ALTER TABLE ` + table + ` SET UNLOGGED`,
			`ALTER TABLE ` + table + ` ALTER ` + column + ` SET DEFAULT 'x'`,
			`CREATE FUNCTION yes(bytea) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true'; ALTER TABLE ` + table + ` ADD CHECK (yes(` + column + `))`,
		},
	}
}

// TestTamperPlanted: views, triggers, rules and the like are refused when a
// record is opened.
func TestTamperPlanted(t *testing.T) {
	for kind, statements := range map[string]map[string][]string{"chain": planted("consent_ledger", "body"), "tree": planted("consent_log", "leaves")} {
		for dialect, all := range statements {
			for _, statement := range all {
				t.Run(kind+"/"+dialect, func(t *testing.T) {
					ring := newRing(t)
					db := newDB(t)
					if dialect == "postgres" {
						db = pgtest.Open(t, server.Start(t).Database(t))
					}
					open := func() (err error) {
						if kind == "chain" {
							_, err = OpenChain(ctx, ring, db)
						} else {
							_, err = OpenTree(ctx, ring, db)
						}
						return err
					}
					require.NoError(t, open())
					require.NoError(t, open())
					_, err := db.Exec(statement)
					require.NoError(t, err)
					if kind == "chain" && statement == `ALTER TABLE consent_ledger RENAME TO gone` && dialect == "postgres" {
						t.Skip("the only table of the chain: a database without it is a fresh one, and the anchor tells")
					}
					require.ErrorIs(t, open(), ErrTampered, statement)
				})
			}
		}
	}
}

// TestDurable: a database that forgets after a power cut is refused.
func TestDurable(t *testing.T) {
	_, err := OpenTree(ctx, newRing(t), pgtest.Open(t, server.Start(t).Database(t)+" synchronous_commit=off"))
	require.ErrorContains(t, err, "synchronous_commit")
	db, err := sql.Open("sqlite", t.TempDir()+"/e.db?_pragma=synchronous(NORMAL)")
	require.NoError(t, err)
	defer db.Close()
	_, err = OpenChain(ctx, newRing(t), db)
	require.ErrorContains(t, err, "synchronous")
}
