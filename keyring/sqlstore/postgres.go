package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
)

// postgres is the dialect of PostgreSQL.
//
// Writers run under READ COMMITTED whatever the connection's default is: there
// a statement that waited for another's row goes on with what the other
// committed, so that the loser of a race finds its winner, and not an error.
//
// A subject key costs a table row and an index entry for each patient and
// compartment, so its row is spelt narrowly: the tag is a uuid, which is
// sixteen bytes and no length; wrapped key and commitment, which is 32 bytes, are one value; the
// unsigned numbers are kept as the signed ones of the same bits. Columns go by
// falling alignment.
func postgres() dialect {
	return dialect{
		options: &sql.TxOptions{Isolation: sql.LevelReadCommitted},
		// From pg_class, whose lock makes a session look again.
		present:     `SELECT count(*) FROM pg_class WHERE oid = to_regclass('rahasia_schema')`,
		lockSchema:  []string{`SELECT pg_advisory_xact_lock(hashtext('rahasia_schema'))`},
		migrations:  [][]string{postgresTables()},
		lockKeysets: []string{`LOCK TABLE rahasia_keysets IN SHARE ROW EXCLUSIVE MODE`},
		keyColumns:  `tag, compartment, generation, version, state, sealed`,
		keyValues: `(encode($::bytea, 'hex')::uuid, $, $::bigint::bit(32)::integer, $::bigint::bit(32)::integer,
			(($::integer + 128) % 256 - 128)::"char", $::bytea || $::bytea)`,
		keyReplace: `compartment = excluded.compartment, generation = excluded.generation, version = excluded.version,
			state = excluded.state, sealed = excluded.sealed`,
		keyRead: `uuid_send(tag), compartment, generation::bigint & 4294967295, version::bigint & 4294967295,
			state::integer & 255,
			substr(sealed, 1, length(sealed) - 32), substr(sealed, length(sealed) - 31)`,
		tag:      `encode($::bytea, 'hex')::uuid`,
		inactive: `state <> 1::"char"`,
		stale:    `state = 1::"char" AND compartment = $ AND version <> $::bigint::bit(32)::integer`,
		check:    checkPostgres,
		scrub:    func(context.Context, *sql.DB) error { return nil }, // no statement of a plain role can
	}
}

func postgresTables() []string {
	return []string{
		`CREATE TABLE rahasia_schema (
			version integer PRIMARY KEY
		)`,
		`CREATE TABLE rahasia_head (
			one  integer PRIMARY KEY CHECK (one = 1),
			ring text    NOT NULL,
			seq  bigint  NOT NULL,
			hash bytea   NOT NULL CHECK (length(hash) = 32)
		)`,
		`CREATE TABLE rahasia_keysets (
			name     text    COLLATE "C" NOT NULL,
			active   integer NOT NULL CHECK (active IN (0, 1)),
			revision bigint  NOT NULL,
			digest   bytea   NOT NULL CHECK (length(digest) = 32),
			wrapped  bytea   NOT NULL,
			PRIMARY KEY (name, active)
		)`,
		`CREATE TABLE rahasia_keys (
			generation  integer NOT NULL,
			version     integer NOT NULL,
			state       "char"  NOT NULL,
			tag         uuid    PRIMARY KEY,
			compartment text    NOT NULL,
			sealed      bytea   NOT NULL CHECK (length(sealed) >= 32)
		)`,
		`CREATE INDEX rahasia_inactive ON rahasia_keys (tag) WHERE state <> 1::"char"`,
	}
}

// checkPostgres refuses settings under which what was committed can be gone
// after a crash.
func checkPostgres(ctx context.Context, db *sql.DB) error {
	for _, name := range []string{"synchronous_commit", "fsync", "full_page_writes"} {
		var value string
		if err := db.QueryRowContext(ctx, `SELECT current_setting($1)`, name).Scan(&value); err != nil {
			return failed(ctx, err)
		}
		if value == "off" {
			return fmt.Errorf("sqlstore: PostgreSQL has %s = off: an erasure must survive a power cut", name)
		}
	}
	return nil
}
