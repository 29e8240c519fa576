package racetest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What the processes must not see is found where they see it.
func TestRaceJudgeCanFail(t *testing.T) {
	after := int64(bound) + int64(slack) + 2
	all := []event{
		{kind: had, subject: 20, key: "a"}, {kind: sealed, subject: 20, key: "a", process: 1, record: []byte("r")},
		{kind: had, subject: 20, compartment: 1, key: "b"},
	}
	for i := range erased {
		all = append(all, event{kind: shredded, subject: i, ended: 1, key: "hash"})
	}
	require.Len(t, judge(all, true), 1, "nobody asked late")
	all = append(all, event{kind: refused, process: 1, began: after, key: "x"})
	require.Empty(t, judge(all, true))
	require.Empty(t, judge(append(all, event{kind: had, key: "k", process: 1, began: after - 2}), true), "within the bound")
	for what, e := range map[string]event{
		"two keys":           {kind: had, subject: 20, key: "c", process: 2},
		"too late":           {kind: had, key: "k", process: 1, began: after},
		"sealed too late":    {kind: sealed, key: "k", process: 1, began: after},
		"eraser itself":      {kind: had, key: "k", began: 2},
		"two receipts":       {kind: shredded, key: "another", process: 2, ended: 9},
		"one more erased":    {kind: shredded, subject: 21, key: "hash"},
		"living called dead": {kind: refused, subject: 22},
		"an error":           {kind: wrongly, key: "boom"},
	} {
		require.NotEmpty(t, judge(append(all[:len(all):len(all)], e), true), what)
	}
	for _, e := range append(all, event{kind: wrongly, key: "\"quoted\"\nlines"}) {
		got, err := parse(e.String())
		require.NoError(t, err)
		got.process = e.process
		require.Equal(t, e, got)
	}
}
