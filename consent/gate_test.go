package consent

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/pseudo/risk"
)

// cohort seals n patients of one year and sex who consent to research, and one
// who is like nobody.
func cohort(t testing.TB, r *Records[person], n int) []stored {
	t.Helper()
	var out []stored
	for i := range n + 1 {
		p := ayu
		p.ID = fmt.Sprintf("p-%d", i)
		if i == n {
			p.ID, p.Born, p.Sex = "p-alone", time.Date(1951, 1, 1, 0, 0, 0, 0, time.UTC), "male"
		}
		out = append(out, stored{p.ID, sealed(t, r, p, Research).Sealed})
	}
	return out
}

func gated(g Gate) Request { req := study; req.Gate = g; return req }

// exporting reads a table to its end.
func exporting(t testing.TB, r *Records[person], rows []stored, req Request) ([][]any, *Table, error) {
	t.Helper()
	table, err := r.Export(context.Background(), each(rows), req)
	require.NoError(t, err)
	var out [][]any
	for row, err := range table.Rows() {
		if err != nil {
			require.Nil(t, row)
			return out, table, err
		}
		out = append(out, row)
	}
	return out, table, nil
}

func TestGate(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
	rows := cohort(t, r, 11)

	t.Run("who is alone is not alone in what leaves", func(t *testing.T) {
		got, table, err := exporting(t, r, rows, gated(Gate{}))
		require.NoError(t, err)
		require.Len(t, got, 12)
		require.Zero(t, table.Suppressed())
		classes := map[string]int{}
		for _, row := range got {
			require.Len(t, row, len(table.Columns))
			classes[fmt.Sprint(row[1:3]...)]++
		}
		for _, n := range classes {
			require.GreaterOrEqual(t, n, 11)
		}
		e := last(t, r.cfg.Log)
		require.Equal(t, []any{"export", "done", 11, "ui-2026"}, []any{e.Action, e.Outcome, e.K, e.Recipient}, "what the table obeys is in the log")
	})
	t.Run("or is left out, and the log says so", func(t *testing.T) {
		got, table, err := exporting(t, r, rows, gated(Gate{Suppress: 0.1}))
		require.NoError(t, err)
		require.Len(t, got, 11)
		require.Equal(t, 1, table.Suppressed())
		require.Equal(t, []any{"1989", "female"}, got[0][1:3])
		e := lastOf(t, r.cfg, "p-alone")
		require.Equal(t, []any{"export", "failed"}, []any{e.Action, e.Outcome})
		e = lastOf(t, r.cfg, "p-3")
		require.Equal(t, []any{"export", "done"}, []any{e.Action, e.Outcome})
	})
	t.Run("or no row leaves", func(t *testing.T) {
		got, _, err := exporting(t, r, rows, gated(Gate{K: 13}))
		require.ErrorIs(t, err, risk.ErrRefused)
		require.Empty(t, got)
		all := entries(t, r.cfg.Log)
		i := slices.IndexFunc(all, func(e Entry) bool { return e.K == 13 && e.Outcome == "refused" })
		require.Positive(t, i)
		require.Equal(t, TooFew, all[i].Reason)
		e := lastOf(t, r.cfg, "p-3")
		require.Equal(t, "failed", e.Outcome, "nothing was given of anybody")
	})
	t.Run("unless the caller says why", func(t *testing.T) {
		got, _, err := exporting(t, r, rows, gated(Gate{Ungated: "ethics board 12/2026: the trial's own patients"}))
		require.NoError(t, err)
		require.Len(t, got, 12)
		e := lastOf(t, r.cfg, "p-alone")
		require.Equal(t, "ethics board 12/2026: the trial's own patients", e.Justification)
		require.Zero(t, e.K)
	})
	t.Run("a diagnosis may be a column too", func(t *testing.T) {
		_, err := r.Export(ctx, each(rows), gated(Gate{Quasi: []risk.Quasi{{Column: "Sex", Required: true}}}))
		require.NoError(t, err)
		_, _, err = exporting(t, r, rows, gated(Gate{Quasi: []risk.Quasi{{Column: "Sex", Required: true}}}))
		require.ErrorIs(t, err, risk.ErrRefused, "the sex must stay, and one patient is alone with it")
	})
}

func TestGateRefuses(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
	for name, g := range map[string]Gate{
		"k of 1":              {K: 1},
		"k below 0":           {K: -5},
		"a share above 1":     {Suppress: 1.5},
		"a share below 0":     {Suppress: -1},
		"both":                {K: 5, Ungated: "because"},
		"a column twice":      {Quasi: []risk.Quasi{{Column: "Sex"}, {Column: "Sex"}}},
		"a column not there":  {Quasi: []risk.Quasi{{Column: "NIK"}}},
		"the pseudonym":       {Quasi: []risk.Quasi{{Column: "pseudonym"}}},
		"the gate's own":      {Quasi: []risk.Quasi{{Column: placeColumn}}},
		"an unwritable cause": {Ungated: "\xff"},
	} {
		_, err := r.Export(ctx, each(nil), gated(g))
		require.Error(t, err, name)
	}
	got, table, err := exporting(t, r, nil, gated(Gate{}))
	require.NoError(t, err, "an empty table shows nobody")
	require.Empty(t, got)
	require.Zero(t, table.Suppressed())
}

// TestGateWithdrawal: who withdraws when the gate has measured is not given;
// without that row the others might be too few, so the table ends.
func TestGateWithdrawal(t *testing.T) {
	ctx := context.Background()
	for name, leave := range map[string]func(*Config, string) error{
		"withdrawal": func(c *Config, id string) error { return c.WithdrawAll(ctx, id, "clerk") },
		"erasure":    func(c *Config, id string) error { _, err := c.Erase(ctx, id, "clerk"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			r := people(t, memoryConfig(t))
			require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
			table, err := r.Export(ctx, each(cohort(t, r, 11)), gated(Gate{}))
			require.NoError(t, err)
			n := 0
			var last error
			for row, err := range table.Rows() {
				if last = err; err != nil {
					require.Nil(t, row)
					break
				}
				if n++; n == 4 {
					require.NoError(t, leave(r.cfg, "p-7"))
				}
			}
			require.ErrorIs(t, last, risk.ErrChanged)
			require.Equal(t, 7, n)
			e := lastOf(t, r.cfg, "p-9")
			require.Equal(t, "failed", e.Outcome)
			e = lastOf(t, r.cfg, "p-6")
			require.Equal(t, "done", e.Outcome)
		})
	}
}

// TestGateWithoutColumns: a type of which nobody may be known by any column
// still needs k people.
func TestGateWithoutColumns(t *testing.T) {
	type result struct {
		ID   string `phi:"subject"`
		Code string `phi:"clinical"`
	}
	ctx := context.Background()
	cfg := memoryConfig(t)
	r, err := NewRecords[result]("result", cfg)
	require.NoError(t, err)
	require.NoError(t, cfg.AddRecipient(ctx, "ui-2026"))
	read := func(n int) (rows int, last error) {
		table, err := r.Export(ctx, func(yield func(*result, envelope.Sealed) bool) {
			for i := range n {
				p := result{fmt.Sprintf("r-%d", i), "J45"}
				row, err := r.Seal(ctx, &p, careTag)
				require.NoError(t, err)
				_, err = cfg.Give(ctx, Consent{Subject: p.ID, Purposes: []Purpose{Research}})
				require.NoError(t, err)
				if !yield(&p, row.Sealed) {
					return
				}
			}
		}, gated(Gate{K: 3}))
		require.NoError(t, err)
		for _, err := range table.Rows() {
			if last = err; err == nil {
				rows++
			}
		}
		return rows, last
	}
	n, err := read(2)
	require.ErrorIs(t, err, risk.ErrRefused)
	require.Zero(t, n)
	n, err = read(3)
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

// TestGateInAnEmergency: why there is no gate stands beside why it was an emergency.
func TestGateInAnEmergency(t *testing.T) {
	cfg := emergencyConfig(t)
	r := people(t, cfg)
	require.NoError(t, cfg.AddRecipient(context.Background(), "ui-2026"))
	row := sealed(t, r, ayu)
	req := emergency
	req.Recipient, req.Gate = "ui-2026", Gate{Ungated: "one patient's transfer"}
	got, _, err := exporting(t, r, []stored{{ayu.ID, row.Sealed}}, req)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "unconscious; one patient's transfer", lastOf(t, cfg, ayu.ID).Justification)
}
