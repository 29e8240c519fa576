package pseudo

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Columns returns what the two columns of a lookup field hold now whose values
// must be unique. A token of an odd key version is in column a, one of an even
// version in column b; a column that no readable version belongs to is NULL.
// Both columns are UNIQUE, and the statements never change:
//
//	INSERT INTO patient (…, nik_a, nik_b) VALUES (…, $1, $2)
//	UPDATE patient SET nik_a = $1, nik_b = $2 WHERE id = $3
//	SELECT … FROM patient WHERE nik_a IN (…) OR nik_b IN (…)   -- the tokens of Lookup
//
// because the state of the domain says what is written:
//
//	one version, n             its column alone
//	Rotate: n and n+1          both; then backfill
//	SetState(n, Suspended)     the column of n+1; the other is NULL
//	SetState(n, Destroyed)     the same; n is gone for good
//
// While processes see different states, any two neighbours share a column, which
// is what keeps a value from being stored twice. For that, between Rotate and
// SetState, at least 90 seconds after Rotate, every row must have been backfilled:
// the UPDATE above, with what Columns now returns for the row's value. A row that
// was missed can be entered a second time later, and no constraint will say so;
// count the rows whose column of the new version is NULL or has a token of another
// version, here of version 2, which [Token.Bytes] explains:
//
//	SELECT count(*) FROM patient WHERE nik_b IS NULL OR substr(nik_b, 1, 5) <> x'0100000002'   -- SQLite
//	… OR substring(nik_b FROM 1 FOR 5) <> '\x0100000002'                                        -- PostgreSQL
//
// docs/SPEC.md, "Rotation of tokens", has the whole recipe and why it holds.
//
// The domain must be a lookup domain ([LookupDomain]), because of those alone does
// the ring refuse to suspend a version too early: another is [ErrNoDomain]. More
// than two readable versions, or two of one column, which only an imported keyset
// can have, are [ErrColumns]: nothing is written until a version is suspended,
// and that one's column must not be needed, see there. The other errors are those
// of [Domain.Token].
//
// Call it in the transaction that writes, and keep that shorter than 20 seconds.
func (d *Domain) Columns(ctx context.Context, kind Kind, value string) (a, b sql.Null[Token], err error) {
	var none sql.Null[Token]
	normal, place, err := kind.normalize(value)
	if err != nil {
		return none, none, err
	}
	p, err := d.current(ctx)
	if err != nil {
		return none, none, err
	}
	if !strings.HasPrefix(d.name, lookupPrefix) {
		return none, none, fmt.Errorf("%w: %q is no lookup domain", ErrNoDomain, d.name)
	}
	for i, version := range p.versions {
		column := &a
		if version%2 == 0 {
			column = &b
		}
		if column.Valid {
			return none, none, fmt.Errorf("%w: domain %q has %d readable versions", ErrColumns, d.name, len(p.versions))
		}
		*column = sql.Null[Token]{V: p.keys[i].token(place, normal), Valid: true}
	}
	return a, b, nil
}
