// Package risk measures how well a table hides the people in it, and lets no
// table out that hides them badly.
//
// [Measure] reports k-anonymity, distinct and entropy l-diversity, t-closeness
// and sample uniqueness. [Gate] is for exports: it generalises the columns by
// which people are known, along hierarchies that the caller gives, leaves out
// the rows that still stand out, or refuses; what it releases obeys the
// [Rule], and its [Report] says what that cost. The package knows neither keys
// nor pseudonyms and imports nothing of this module.
//
// # Terms
//
// A quasi-identifier is a column that others may know of a person: year of
// birth, sex, region. Rows that agree in all of them are a class. A table is
// k-anonymous when each class holds at least k people (Samarati 2001, Sweeney
// 2002). It is l-diverse when each class has at least l different sensitive
// values, or an entropy of them of at least log l (Machanavajjhala et al.
// 2007), and t-close when the sensitive values of no class are distributed
// further than t from those of the table (Li, Li and Venkatasubramanian 2007).
//
// # Whose rows
//
// A patient with ten visits is ten rows and one person. Name the column that
// says whose row it is, such as a pseudonym, as [Plan.Subject]: then k counts
// people. And because that column links the rows of a person, someone who was
// seen in two regions may be the only one with both, however many were seen in
// each: with a subject the rows of a class must agree in their people's other
// rows too, k people of a class are alike in all that is released of them by
// quasi-identifiers, and a person is left out with all rows or not at all.
// Without a subject every row counts as a person of its own. Diversity and
// distances count rows either way.
//
// # NULL, and rows left out
//
// A nil cell is NULL. Among quasi-identifiers NULL is a value of its own that
// equals only NULL, never a wildcard that joins every class. Among sensitive
// values it is one value for t; for l it counts against the class: l is the
// smaller figure of the two that come from counting NULL as a value and from
// leaving it out, and a class of nothing but NULL has l = 1. A row that the gate
// leaves out is in no class, in no count but [Report.Suppressed], and not in
// the output, not even as a row of stars.
//
// # What it does not protect
//
// The measures look at one table and at the columns named: not at a second
// table of the same people, not at what a column kept as it is gives away, not
// at the order of rows, nor at how many rows a person has: who is known to have
// been seen fifty times is found by that alone. l and t take each sensitive
// column by itself. k = 1 over the right columns is a person found; k = 50 over
// the wrong ones is nothing. Which hierarchy level was chosen depends on the data, and who knows
// the rule and nearly all rows may infer from it (Wong et al. 2007).
//
// # Memory
//
// What is kept are the distinct values of the measured columns, the classes,
// and the distinct pairs of class and sensitive value or person: [Plan.Limit]
// bounds their number, rows are never kept. A table above the limit is refused
// with [ErrLimit]; nothing is written to disk.
//
// # Errors
//
// No error contains a cell, whole or in part: they name column, level and row
// number. Errors of a table's own rows pass through.
package risk

import "errors"

var (
	// ErrPlan is returned for a [Plan] or [Rule] that does not fit the table
	// or itself, and for hierarchies that are none.
	ErrPlan = errors.New("risk: plan does not fit")

	// ErrRow is returned for a row of another length than the header and for
	// a cell that cannot be measured.
	ErrRow = errors.New("risk: row cannot be measured")

	// ErrLimit is returned for a table with more distinct content than
	// [Plan.Limit], or too many rows to count.
	ErrLimit = errors.New("risk: table exceeds the limit")

	// ErrRefused is returned by [Gate] when nothing it may do makes the table
	// obey the rule.
	ErrRefused = errors.New("risk: refused")

	// ErrChanged is returned while a [Release] is read, when the table is not
	// the one that was measured: what has been read of it is to be discarded.
	ErrChanged = errors.New("risk: table changed between readings")
)
