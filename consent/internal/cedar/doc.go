// Package cedar compares the decision of package consent with Cedar's on the
// same consents, written as Cedar policies. It holds a benchmark and the test
// that both decide alike; a module of its own, so that the library does not
// depend on Cedar.
package cedar
