package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/rahasia/rahasia/internal/sqldb"
	"github.com/rahasia/rahasia/keyring"
)

// dialect is what differs between databases. In its fragments of SQL a lone $
// stands for the next numbered parameter.
type dialect struct {
	// begin begins a transaction that writes.
	begin func(ctx context.Context, conn *sql.Conn) (*sql.Tx, error)
	// present asks for the number of tables named rahasia_schema, 0 or 1.
	present string
	// lockSchema keeps other processes from migrating at the same time.
	lockSchema []string
	// migrations are the statements that lead from each version to the next;
	// the first make the tables.
	migrations [][]string
	// lockKeysets keeps staging and activating apart.
	lockKeysets []string

	// How rahasia_keys spells a row: tag, compartment, generation, version,
	// state, wrapped and commitment, in this order wherever all are named.
	keyRead    string // selected
	keyReplace string // set where the tag is there
	tag        string // a tag as parameter
	inactive   string // the condition that a row is not a live key
	stale      string // that it is a live key: in a compartment, not of a version
	// put inserts at most written records, and pick is the condition that a row
	// has one of at most read tags.
	put           func(recs []keyring.KeyRecord) (insert string, args []any)
	pick          func(tags []keyring.Tag) (where string, args []any)
	written, read int

	// check refuses a database that would not be durable or not forget.
	check func(ctx context.Context, db *sql.DB) error
	// intact returns how many of the tables, and of their indexes where it can
	// tell them, there are: objects, if all. That one, or what hangs on it, is not
	// what the migrations made is ErrCorrupt.
	intact  func(ctx context.Context, q querier) (n int, err error)
	objects int
	// scrub runs after tombstones or a keyset were committed, so that the overwritten
	// bytes leave the disk where the database can do that.
	scrub func(ctx context.Context, db *sql.DB) error
}

// dialectOf asks the database what it is.
func dialectOf(ctx context.Context, db *sql.DB) (dialect, error) {
	kind, err := sqldb.DialectOf(ctx, db)
	switch {
	case err != nil:
		return dialect{}, failed(ctx, err)
	case kind == sqldb.Postgres:
		return postgres(), nil
	}
	return sqlite(), nil
}

// mustSurvive is why a database has to be durable.
const mustSurvive = "an erasure must survive a power cut"

// intact looks at the tables that statements made.
func intact(kind sqldb.Dialect, statements []string) func(context.Context, querier) (int, error) {
	return func(ctx context.Context, q querier) (int, error) {
		n, err := kind.Intact(ctx, q, statements)
		if errors.Is(err, sqldb.ErrForeign) {
			err = fmt.Errorf("among the ring's tables %w: %w", err, keyring.ErrCorrupt)
		}
		return n, err
	}
}

// selectKeys is the query for the rows of rahasia_keys where a condition holds.
func (d *dialect) selectKeys(where string) string {
	return `SELECT ` + d.keyRead + ` FROM rahasia_keys WHERE ` + where
}

// upTo selects a column that is at most so many bytes, and NULL in place of a
// longer one, which the database then need not read: what somebody wrote into
// the tables must not fill this process's memory.
func upTo(column string, bytes int) string {
	return fmt.Sprintf(`CASE WHEN octet_length(%s) <= %d THEN %s END`, column, bytes, column)
}

// numbered gives every $ of a fragment its number, from next on.
func numbered(b *strings.Builder, fragment string, next int) int {
	for {
		before, after, more := strings.Cut(fragment, "$")
		b.WriteString(before)
		if !more {
			return next
		}
		fmt.Fprintf(b, "$%d", next)
		fragment, next = after, next+1
	}
}

// times repeats a fragment n times, separated by commas, with its parameters
// numbered from 1 on.
func times(n int, fragment string) string {
	var b strings.Builder
	next := 1
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		next = numbered(&b, fragment, next)
	}
	return b.String()
}
