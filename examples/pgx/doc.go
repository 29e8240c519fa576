// Package pgx keeps sealed records in PostgreSQL by pgx's own interface, with
// pgxpool and without database/sql: what is sealed, a token and the two UNIQUE
// columns of a unique field are arguments and results of pgx as they are.
//
// The ring's key store, the ledger and the audit log take a *sql.DB, which pgx
// makes of a pool of its own (stdlib.OpenDBFromPool). Give them another pool than
// the application's: one whose last connection is in a transaction of yours keeps
// an opening waiting for its audit entry.
package pgx
