package consent

import (
	"context"
	"expvar"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// TestExportEconomy: an export asks the key store once for a page of patients
// whom memory does not have, gated or not.
func TestExportEconomy(t *testing.T) {
	ctx := context.Background()
	cfg, keys := memoryHouse(t)
	require.NoError(t, cfg.AddRecipient(ctx, study.Recipient))
	r := people(t, cfg)
	var rows []stored
	for i := range 2 * pageSize {
		p := ayu
		p.ID = fmt.Sprintf("p-%03d", i)
		rows = append(rows, stored{p.ID, sealed(t, r, p, Research).Sealed})
	}
	rows, stranger := rows[:len(rows)-1], rows[len(rows)-1]
	for name, gate := range map[string]Gate{"ungated": study.Gate, "gated": {K: 2}} {
		t.Run(name, func(t *testing.T) {
			calls := new(expvar.Map)
			keys.Metrics = calls
			ring, err := keyring.Open(ctx, keys)
			require.NoError(t, err)
			defer ring.Close()
			fresh := *cfg
			fresh.Ring = ring
			count := func() int64 { return calls.Get("store.calls").(*expvar.Int).Value() }
			again := people(t, &fresh)
			warm, err := again.Export(ctx, each([]stored{stranger}), study) // a process loads each keyset once
			require.NoError(t, err)
			for range warm.Rows() {
			}
			req := study
			req.Gate = gate
			before, given := count(), 0
			table, err := again.Export(ctx, each(rows), req)
			require.NoError(t, err)
			for _, err := range table.Rows() {
				require.NoError(t, err)
				given++
			}
			require.Equal(t, len(rows), given)
			require.LessOrEqual(t, count()-before, int64(2*2), "two pages")
		})
	}
}
