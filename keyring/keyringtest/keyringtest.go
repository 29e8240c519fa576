// Package keyringtest checks that a [keyring.Store] keeps its contract:
//
//	func TestStore(t *testing.T) {
//		keyringtest.TestStore(t, func(t *testing.T) keyring.Store { return open(t) })
//	}
//
// What it cannot see from outside is left to the store's own tests: that what
// was returned survives a power cut, and that what was overwritten has left
// the disk.
package keyringtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/rahasia/rahasia/keyring"
)

// TestStore runs every check of the contract as a subtest of t, each on the
// empty store that open returns.
func TestStore(t *testing.T, open func(t *testing.T) keyring.Store) {
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			if err := c.run(t.Context(), open(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Check runs every check of the contract, each on the empty store that open
// returns, and returns what is wrong, by the check's name; nothing if the store
// keeps its contract. It is for those who test a test.
func Check(ctx context.Context, open func() keyring.Store) []error {
	var wrong []error
	for _, c := range checks() {
		if err := c.run(ctx, open()); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	return wrong
}

type check struct {
	name string
	run  func(context.Context, keyring.Store) error
}

func checks() []check {
	return []check{
		{"Empty", empty},
		{"Staged", staged},
		{"StagedRevision", stagedRevision},
		{"Activate", activate},
		{"ConflictChangesNothing", conflictChangesNothing},
		{"OneOfManyCommits", oneOfManyCommits},
		{"HeadMayStay", headMayStay},
		{"ByteForByte", byteForByte},
		{"CreateKeepsTheFirst", createKeepsTheFirst},
		{"CreateRace", createRace},
		{"TombstoneReplaces", tombstoneReplaces},
		{"TombstoneWins", tombstoneWins},
		{"InactiveInOrder", inactiveInOrder},
		{"Retain", retain},
		{"SwapAnyState", swapAnyState},
		{"LargeWrapped", largeWrapped},
		{"StaleInOrder", staleInOrder},
		{"SwapOnlyWhatWasRead", swapOnlyWhatWasRead},
		{"SwapRace", swapRace},
		{"ManyRows", manyRows},
		{"Copies", copies},
		{"Cancelled", cancelled},
		{"Ring", ring},
	}
}
