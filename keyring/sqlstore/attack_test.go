package sqlstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

// planted is what somebody who may change the database can leave in it, by
// what it does. Statements are separated by semicolons of their own line.
var planted = map[string]map[string]string{
	"sqlite": {
		"swallows erasures": `CREATE TRIGGER t BEFORE UPDATE ON rahasia_keys BEGIN SELECT RAISE(IGNORE); END`,
		"copies keys":       `CREATE TABLE loot (b BLOB); CREATE TRIGGER t AFTER INSERT ON RAHASIA_Keys BEGIN INSERT INTO loot VALUES (new.wrapped); END`,
		"undoes a head":     `CREATE TRIGGER t AFTER UPDATE ON rahasia_head BEGIN UPDATE rahasia_head SET seq = old.seq; END`,
		"temporary trigger": `CREATE TEMP TRIGGER t BEFORE UPDATE ON main.rahasia_keys BEGIN SELECT RAISE(IGNORE); END`,
		"temporary table":   `CREATE TEMP TABLE rahasia_keys AS SELECT * FROM main.rahasia_keys`,
		"view that lies":    `ALTER TABLE rahasia_keys RENAME TO kept; CREATE VIEW rahasia_keys AS SELECT * FROM kept WHERE state = 1`,
		"view without end": `DROP TABLE rahasia_schema;
			CREATE VIEW rahasia_schema AS WITH RECURSIVE c(version) AS (SELECT 1 UNION ALL SELECT 1 FROM c) SELECT max(version) AS version FROM c`,
		"ignores conflicts": `DROP TABLE rahasia_head; CREATE TABLE rahasia_head (one INTEGER PRIMARY KEY ON CONFLICT IGNORE, ring TEXT, seq INTEGER, hash BLOB) STRICT`,
		"computed column":   `ALTER TABLE rahasia_keys ADD COLUMN loot BLOB AS (wrapped)`,
		"index":             `CREATE INDEX loot ON rahasia_keys (wrapped)`,
		"foreign key":       `DROP TABLE rahasia_keysets; CREATE TABLE rahasia_keysets (name TEXT REFERENCES other ON DELETE CASCADE, active INTEGER)`,
		"virtual table":     `DROP TABLE rahasia_keysets; CREATE VIRTUAL TABLE rahasia_keysets USING fts5(name, active, revision, digest, wrapped)`,
		"no table":          `DROP TABLE rahasia_keysets`,
		"no index":          `DROP INDEX rahasia_inactive`,
	},
	"postgres": {
		"swallows erasures": `CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
			CREATE TRIGGER t BEFORE UPDATE ON rahasia_keys FOR EACH ROW EXECUTE FUNCTION f()`,
		"rule":             `CREATE RULE r AS ON UPDATE TO rahasia_keys DO INSTEAD NOTHING`,
		"row security":     `ALTER TABLE rahasia_keys ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON rahasia_keys USING (state IS NULL)`,
		"view that lies":   `ALTER TABLE rahasia_keys RENAME TO kept; CREATE VIEW rahasia_keys AS SELECT * FROM kept WHERE state IS NULL`,
		"view without end": `DROP TABLE rahasia_schema; CREATE VIEW rahasia_schema AS WITH RECURSIVE c(version) AS (SELECT 1 UNION ALL SELECT 1 FROM c) SELECT max(version) AS version FROM c`,
		"frozen view":      `ALTER TABLE rahasia_keys RENAME TO kept; CREATE MATERIALIZED VIEW rahasia_keys AS SELECT * FROM kept`,
		"foreign table": `DROP TABLE rahasia_keysets; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
			CREATE FOREIGN TABLE rahasia_keysets (name text, active integer, revision bigint, digest bytea, wrapped bytea) SERVER s`,
		"partitioned":    `DROP TABLE rahasia_keysets; CREATE TABLE rahasia_keysets (name text, active integer) PARTITION BY LIST (name)`,
		"not durable":    `ALTER TABLE rahasia_keys SET UNLOGGED`,
		"temporary":      `CREATE TEMP TABLE rahasia_keys (LIKE rahasia_keys INCLUDING ALL)`,
		"child":          `CREATE TABLE more () INHERITS (rahasia_keys)`,
		"default":        `ALTER TABLE rahasia_keys ALTER compartment SET DEFAULT 'c'`,
		"computed":       `ALTER TABLE rahasia_keys ADD COLUMN loot bytea GENERATED ALWAYS AS (sealed) STORED`,
		"cascade":        `CREATE TABLE other (version integer PRIMARY KEY); ALTER TABLE rahasia_schema ADD FOREIGN KEY (version) REFERENCES other ON DELETE CASCADE NOT VALID`,
		"check":          `CREATE FUNCTION spy(bytea) RETURNS boolean LANGUAGE sql AS 'SELECT true'; ALTER TABLE rahasia_keys ADD CHECK (spy(sealed))`,
		"index":          `CREATE FUNCTION spy(bytea) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'; CREATE INDEX ON rahasia_keys (spy(sealed))`,
		"partial index":  `CREATE FUNCTION spy(bytea) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'; CREATE INDEX ON rahasia_keys (tag) WHERE spy(sealed)`,
		"type":           `CREATE DOMAIN spied AS bytea CHECK (true); ALTER TABLE rahasia_keys ALTER sealed TYPE spied`,
		"another schema": `CREATE SCHEMA before_THIS; CREATE TABLE before_THIS.rahasia_keys (LIKE rahasia_keys INCLUDING ALL); SET search_path = before_THIS, THIS`,
		"no table":       `DROP TABLE rahasia_keysets`,
	},
}

// Whatever is planted among the tables is found by New, and, where it came
// after New, by the next erasure, which then does not happen by halves.
func TestAttackPlanted(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		kind := t.Name()[strings.LastIndexByte(t.Name(), '/')+1:]
		for what, statement := range planted[kind] {
			t.Run(what, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				db := fresh(t).open(t)
				db.SetMaxOpenConns(1) // what is temporary is one connection's
				s := storeIn(t, db)
				if kind == "postgres" {
					var schema string
					require.NoError(t, db.QueryRowContext(ctx, `SELECT current_schema()`).Scan(&schema))
					statement = strings.ReplaceAll(statement, "THIS", schema)
				}
				head := keyring.Head{Ring: "r", Seq: 1}
				_, err := s.CreateKeys(ctx, []keyring.KeyRecord{live(1)})
				require.NoError(t, err)
				require.NoError(t, s.Commit(ctx, keyring.Change{Head: head}))
				_, err = db.ExecContext(ctx, statement)
				require.NoError(t, err)

				dead := keyring.KeyRecord{Tag: live(1).Tag, Compartment: "c", State: keyring.Destroyed, Wrapped: []byte("gone")}
				next := keyring.Change{Prev: head, Head: keyring.Head{Ring: "r", Seq: 2}, Keys: []keyring.KeyRecord{dead}}
				require.Error(t, s.Commit(ctx, next))
				_, err = sqlstore.New(ctx, db)
				require.ErrorIs(t, err, keyring.ErrCorrupt)
				require.NoError(t, ctx.Err(), "New waited for the database")
			})
		}
	})
}

// What waits in a database that has no ring yet is not taken for its tables.
func TestAttackPlantedBefore(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		for _, statement := range []string{
			`CREATE VIEW rahasia_keys AS SELECT 1 AS tag`,
			`CREATE VIEW rahasia_schema AS SELECT 1 AS version`,
			`CREATE TABLE rahasia_schema (version integer); INSERT INTO rahasia_schema VALUES (1)`,
		} {
			db := fresh(t).open(t)
			_, err := db.ExecContext(t.Context(), statement)
			require.NoError(t, err)
			_, err = sqlstore.New(t.Context(), db)
			require.ErrorIs(t, err, keyring.ErrCorrupt, statement)
		}
	})
}

// Tables that an application has beside the ring's are its own business.
func TestOtherTables(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		db := fresh(t).open(t)
		_, err := db.ExecContext(t.Context(), `CREATE TABLE visits (n integer PRIMARY KEY, ring text); CREATE VIEW rahasia_report AS SELECT * FROM visits`)
		require.NoError(t, err)
		storeIn(t, db)
		storeIn(t, db)
	})
}

// A view that took a table's place after New gives rows without end: no more
// than was asked for is taken in.
func TestAttackRowsWithoutEnd(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		db := fresh(t).open(t)
		s := storeIn(t, db)
		_, err := s.CreateKeys(ctx, []keyring.KeyRecord{live(1)})
		require.NoError(t, err)
		rec := keyring.KeysetRecord{Name: "k", Revision: 1, Wrapped: []byte("w")}
		require.NoError(t, s.StageKeyset(ctx, rec))
		require.NoError(t, s.Commit(ctx, keyring.Change{Head: keyring.Head{Ring: "r", Seq: 1}, Activate: rec}))
		for _, table := range []string{"head", "keysets", "keys"} {
			endless := `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT 1 FROM c) SELECT kept_%[1]s.* FROM c, kept_%[1]s`
			if strings.HasSuffix(t.Name(), "postgres") {
				endless = `SELECT *, generate_series(1, 1000000000000) FROM kept_%[1]s`
			}
			_, err := db.ExecContext(ctx, fmt.Sprintf(`ALTER TABLE rahasia_%[1]s RENAME TO kept_%[1]s; CREATE VIEW rahasia_%[1]s AS `+endless, table))
			require.NoError(t, err)
		}
		_, err = s.Head(ctx)
		require.ErrorIs(t, err, keyring.ErrCorrupt)
		_, err = s.Keyset(ctx, "k")
		require.ErrorIs(t, err, keyring.ErrCorrupt)
		_, err = s.Keys(ctx, []keyring.Tag{live(1).Tag})
		require.ErrorIs(t, err, keyring.ErrCorrupt)
		require.NoError(t, ctx.Err())
	})
}

// More keysets than any ring has, and larger ones, stay out of memory.
func TestAttackKeysets(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		ctx := t.Context()
		db := fresh(t).open(t)
		s := storeIn(t, db)
		add := func(n int) {
			blob, size := "zeroblob(32)", "length"
			if strings.HasSuffix(t.Name(), "postgres") {
				blob, size = `decode(repeat('00', 32), 'hex')`, "octet_length"
			}
			_, err := db.ExecContext(ctx, fmt.Sprintf(`INSERT INTO rahasia_keysets (name, active, revision, digest, wrapped)
				WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %d) SELECT 'k' || n, 1, 1, %s, %[2]s FROM c WHERE %s('k' || n) < 99`, n, blob, size))
			require.NoError(t, err)
		}
		add(1 << 14)
		recs, err := s.Keysets(ctx)
		require.NoError(t, err)
		require.Len(t, recs, 1<<14)
		require.NoError(t, s.StageKeyset(ctx, keyring.KeysetRecord{Name: "l", Revision: 1, Wrapped: make([]byte, 65537)}))
		head := keyring.Head{Ring: "r", Seq: 1}
		require.NoError(t, s.Commit(ctx, keyring.Change{Head: head, Activate: keyring.KeysetRecord{Name: "l", Revision: 1}}))
		_, err = s.Keyset(ctx, "l")
		require.ErrorIs(t, err, keyring.ErrCorrupt)
		_, err = db.ExecContext(ctx, `UPDATE rahasia_keysets SET wrapped = digest`)
		require.NoError(t, err)
		_, err = s.Keysets(ctx)
		require.ErrorIs(t, err, keyring.ErrCorrupt)
	})
}

func live(n byte) keyring.KeyRecord {
	return keyring.KeyRecord{Tag: keyring.Tag{n}, Compartment: "c", Generation: 1, Version: 1, State: keyring.Active, Wrapped: []byte{n, 1, 2}}
}
