package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Intact returns how many of the tables that the statements make are there, and
// on SQLite of their indexes too; [Dialect.Objects] says how many that should be. A
// view or a foreign table in place of one, or whatever else can make the tables
// lie, lose or copy what is written, is [ErrForeign], with its kind. The
// statements are CREATE TABLE and CREATE INDEX.
func (d Dialect) Intact(ctx context.Context, q Querier, statements []string) (int, error) {
	if d == Postgres {
		return intactPostgres(ctx, q, statements)
	}
	return intactSQLite(ctx, q, statements)
}

// Objects is what [Dialect.Intact] returns if everything is there.
func (d Dialect) Objects(statements []string) int {
	if d == Postgres {
		return len(names(statements, "TABLE"))
	}
	return len(statements)
}

// names of the tables or indexes that the statements make.
func names(statements []string, kind string) (out []string) {
	for _, s := range statements {
		if words := strings.Fields(spelt(s)); words[1] == kind {
			out = append(out, words[2])
		}
	}
	return out
}

// spelt is a statement as SQLite keeps it, however it is broken into lines.
func spelt(statement string) string {
	return strings.Replace(strings.Join(strings.Fields(statement), " "), " IF NOT EXISTS ", " ", 1)
}

// most bounds what is read: the schema is not trusted.
const most = 64

// intactSQLite compares the text of every object that has to do with the
// tables: SQLite keeps it as it was written. A table that is theirs by name
// may have an ON CONFLICT clause or a foreign key that loses what is written.
func intactSQLite(ctx context.Context, q Querier, statements []string) (int, error) {
	tables := quoted(`'%s'`, names(statements, "TABLE"))
	all := quoted(`'%s'`, append(names(statements, "TABLE"), names(statements, "INDEX")...))
	found, err := rows(ctx, q, 3, `SELECT type, substr(name, 1, 64), CASE WHEN octet_length(sql) <= 4096 THEN sql END
		FROM (SELECT * FROM sqlite_master UNION ALL SELECT * FROM sqlite_temp_master)
		WHERE lower(tbl_name) IN (`+tables+`) OR lower(name) IN (`+all+`) LIMIT `+fmt.Sprint(most+1))
	if err != nil {
		return 0, err
	}
	var want []string
	for _, s := range statements {
		want = append(want, spelt(s))
	}
	made := 0
	for _, o := range found {
		if o[0] == "index" && strings.HasPrefix(o[1], "sqlite_autoindex_") {
			continue // a primary key's: the name is SQLite's own
		}
		if !slices.Contains(want, spelt(o[2])) {
			return 0, fmt.Errorf("a %s: %w", o[0], ErrForeign)
		}
		made++
	}
	return made, nil
}

// intactPostgres asks the catalogue for whatever can make the tables lie, lose
// or tell what is in them: a view or a foreign table in place of one, triggers
// (a foreign key from elsewhere is a pair of them), rules, row security, tables
// that inherit, defaults, and a constraint, an index or a column that uses a
// function or a type that is not PostgreSQL's own; those are not in pg_depend.
func intactPostgres(ctx context.Context, q Querier, statements []string) (int, error) {
	found, err := rows(ctx, q, 1, `WITH ours AS (
			SELECT * FROM pg_class WHERE oid IN (`+quoted(`to_regclass('%s')`, names(statements, "TABLE"))+`)
		), parts AS (
			SELECT 'pg_class'::regclass AS class, oid FROM ours
			UNION ALL SELECT 'pg_class'::regclass, indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM ours)
			UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE conrelid IN (SELECT oid FROM ours)
		)
		SELECT CASE
			WHEN relkind <> 'r' OR relispartition THEN 'relation that is no table'
			WHEN relpersistence <> 'p' THEN 'table that is not durable'
			WHEN relnamespace <> (SELECT min(relnamespace) FROM ours) THEN 'table in another schema'
			WHEN relrowsecurity THEN 'policy'
			ELSE 'table' END FROM ours
		UNION ALL SELECT 'trigger' FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM ours)
		UNION ALL SELECT 'rule' FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM ours)
		UNION ALL SELECT 'inheriting table' FROM pg_inherits WHERE inhparent IN (SELECT oid FROM ours) OR inhrelid IN (SELECT oid FROM ours)
		UNION ALL SELECT 'default' FROM pg_attrdef WHERE adrelid IN (SELECT oid FROM ours)
		UNION ALL SELECT 'function or type' FROM pg_depend JOIN parts ON classid = class AND objid = oid
			WHERE refclassid NOT IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_namespace'::regclass)
		LIMIT `+fmt.Sprint(most+1))
	if err != nil {
		return 0, err
	}
	for _, kind := range found {
		if kind[0] != "table" {
			return 0, fmt.Errorf("a %s: %w", kind[0], ErrForeign)
		}
	}
	return len(found), nil
}

func quoted(as string, names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf(as, n)
	}
	return strings.Join(out, ", ")
}

// rows returns what a query finds, as texts. It has closed it when it returns:
// the pool may have no second connection.
func rows(ctx context.Context, q Querier, columns int, query string) (out [][]string, err error) {
	found, err := q.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		if len(out) == most {
			return nil, fmt.Errorf("more than %d objects: %w", most, ErrForeign)
		}
		texts, to := make([]sql.NullString, columns), make([]any, columns)
		for i := range texts {
			to[i] = &texts[i]
		}
		if err := found.Scan(to...); err != nil {
			return nil, err
		}
		row := make([]string, columns)
		for i := range texts {
			row[i] = texts[i].String
		}
		out = append(out, row)
	}
	return out, found.Err()
}
