// Package golden holds what each tagged version wrote, and tests that this one
// reads it: rows, messages, objects, tokens, ledger, log, keys and journal.
package golden
