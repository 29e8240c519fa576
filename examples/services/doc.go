// Package services shows five services of one telemedicine company on one
// PostgreSQL database, each with the keys and the SQL grants that it needs and
// no others: intake, clinic, laboratory, research and privacy. They use pgx as
// a driver of database/sql.
//
// The grants are in grants.sql. TestServices lives through a day of theirs: a
// branch sends what it cannot read, the clinic takes it in, a result comes
// through a queue, the laboratory reads its part, a university gets a table, and
// the privacy office withdraws and erases what it cannot read. Each is refused
// what is not its own, by its keys and by the database. docs/DEPLOY.md says why.
package services
