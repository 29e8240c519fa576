package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/rahasia/rahasia/internal/sqldb"
	"github.com/rahasia/rahasia/keyring"
)

// postgres is the dialect of PostgreSQL.
//
// Writers run under READ COMMITTED whatever the connection's default is: there
// a statement that waited for another's row goes on with what the other
// committed, so that the loser of a race finds its winner, and not an error.
//
// A subject key costs a table row and an index entry for each patient and
// compartment, so its row is spelt narrowly: the tag is a uuid, which is
// sixteen bytes and no length; wrapped key and commitment, which is 32 bytes, are
// one value; unsigned numbers are kept as the signed ones of the same bits. What
// nearly every row has costs nothing: NULL stands for the first generation and
// for the active state, and a version has two bytes where it fits, which those
// made here do, and four where it is one of Tink's random ones. The checks leave
// each row one spelling. Columns go by falling alignment.
func postgres() dialect {
	return dialect{
		begin: func(ctx context.Context, conn *sql.Conn) (*sql.Tx, error) {
			return conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		},
		// From pg_class, whose lock makes a session look again.
		present:     `SELECT count(*) FROM pg_class WHERE oid = to_regclass('rahasia_schema')`,
		lockSchema:  []string{`SELECT pg_advisory_xact_lock(hashtext('rahasia_schema'))`},
		migrations:  [][]string{postgresTables()},
		lockKeysets: []string{`LOCK TABLE rahasia_keysets IN SHARE ROW EXCLUSIVE MODE`},
		keyReplace: `compartment = excluded.compartment, generation = excluded.generation, version = excluded.version,
			long_version = excluded.long_version, state = excluded.state, sealed = excluded.sealed`,
		keyRead: `uuid_send(tag), ` + upTo(`compartment`, maxCompartment) + `, coalesce(generation::bigint & 4294967295, 1),
			` + postgresVersion + `, coalesce(state::integer & 255, 1),
			CASE WHEN octet_length(sealed) <= ` + fmt.Sprint(maxWrapped+32) + ` THEN substr(sealed, 1, octet_length(sealed) - 32) END,
			CASE WHEN octet_length(sealed) <= ` + fmt.Sprint(maxWrapped+32) + ` THEN substr(sealed, octet_length(sealed) - 31) END`,
		tag:      `encode($::bytea, 'hex')::uuid`,
		inactive: `state IS NOT NULL`,
		stale:    `state IS NULL AND compartment = $ AND ` + postgresVersion + ` <> $::bigint`,
		put:      putPostgres,
		pick:     pickPostgres,
		written:  200, // of at most 64 KiB each
		read:     1000,
		check:    checkPostgres,
		intact:   intact(sqldb.Postgres, postgresTables()),
		objects:  sqldb.Postgres.Objects(postgresTables()),
		scrub:    func(context.Context, *sql.DB) error { return nil }, // no statement of a plain role can
	}
}

const postgresVersion = `coalesce(version, long_version::bigint & 4294967295)`

// putPostgres gives a statement arrays and not a parameter for each value: so it
// is the same for any number of rows, and is planned once. They are texts, for
// no two drivers pass arrays alike.
func putPostgres(recs []keyring.KeyRecord) (string, []any) {
	var tags, compartments, generations, versions, states, sealed arrayText
	for i := range recs {
		r := &recs[i]
		tags.hex(``, r.Tag[:])
		compartments.quote(r.Compartment)
		generations.number(r.Generation)
		versions.number(r.Version)
		states.number(uint32(r.State))
		sealed.hex(`\\x`, r.Wrapped, r.Commitment[:])
	}
	return `INSERT INTO rahasia_keys (tag, compartment, generation, version, long_version, state, sealed)
		SELECT tag, compartment, nullif(generation, 1)::bit(32)::integer,
			CASE WHEN version <= 32767 THEN version::smallint END,
			CASE WHEN version > 32767 THEN version::bit(32)::integer END,
			((nullif(state, 1) + 128) % 256 - 128)::"char", sealed
		FROM unnest($1::text::uuid[], $2::text::text[], $3::text::bigint[], $4::text::bigint[], $5::text::integer[], $6::text::bytea[])
			AS rows (tag, compartment, generation, version, state, sealed)`,
		[]any{tags.text(), compartments.text(), generations.text(), versions.text(), states.text(), sealed.text()}
}

func pickPostgres(tags []keyring.Tag) (string, []any) {
	var all arrayText
	for i := range tags {
		all.hex(``, tags[i][:])
	}
	return `tag = ANY ($1::text::uuid[])`, []any{all.text()}
}

// arrayText writes PostgreSQL's text form of an array.
type arrayText []byte

func (a *arrayText) next() { *a = append(*a, ',') }

func (a *arrayText) number(n uint32) { a.next(); *a = strconv.AppendUint(*a, uint64(n), 10) }

func (a *arrayText) hex(prefix string, parts ...[]byte) {
	a.next()
	*a = append(*a, prefix...)
	for _, part := range parts {
		*a = hex.AppendEncode(*a, part)
	}
}

func (a *arrayText) quote(text string) {
	a.next()
	*a = append(*a, '"')
	for i := range len(text) {
		if text[i] == '"' || text[i] == '\\' {
			*a = append(*a, '\\')
		}
		*a = append(*a, text[i])
	}
	*a = append(*a, '"')
}

func (a arrayText) text() string {
	if len(a) == 0 {
		return "{}"
	}
	return "{" + string(a[1:]) + "}"
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
			generation   integer  CHECK (generation <> 1),
			long_version integer  CHECK (long_version NOT BETWEEN 0 AND 32767),
			version      smallint CHECK (version >= 0),
			state        "char"   CHECK (state <> 1::"char"),
			tag          uuid     PRIMARY KEY,
			compartment  text     NOT NULL,
			sealed       bytea    NOT NULL CHECK (length(sealed) >= 32),
			CHECK ((version IS NULL) <> (long_version IS NULL))
		)`,
		`CREATE INDEX rahasia_inactive ON rahasia_keys (tag) WHERE state IS NOT NULL`,
	}
}

func checkPostgres(ctx context.Context, db *sql.DB) error {
	return failed(ctx, sqldb.Postgres.Durable(ctx, db, mustSurvive))
}
