package consent

import (
	"context"
	"expvar"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

// opens collects what OpenAll yields.
func opens(ctx context.Context, r *Records[person], rows iter.Seq2[*person, envelope.Sealed], req Request) (out []person, errs []error) {
	for p, err := range r.OpenAll(ctx, rows, req) {
		if p == nil {
			p = new(person)
		}
		out, errs = append(out, *p), append(errs, err)
	}
	return out, errs
}

func TestOpenAll(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	named := func(id string) person { p := ayu; p.ID, p.Notes = id, "of "+id; return p }
	whole := sealed(t, r, named("p-1"))
	_, err := r.cfg.Give(ctx, Consent{Subject: "p-1", Purposes: []Purpose{Treatment}, Sensitivity: []Label{"HIV"}})
	require.NoError(t, err)
	part := sealed(t, r, named("p-2"), Treatment)
	silent := sealed(t, r, named("p-3"))
	gone := sealed(t, r, named("p-4"), Treatment)
	_, err = r.cfg.Erase(ctx, "p-4", "clerk")
	require.NoError(t, err)
	rows := func(yield func(*person, envelope.Sealed) bool) {
		_ = yield(&person{ID: "p-1", Name: "another's"}, whole.Sealed) && yield(&person{ID: "p-2", Name: "another's"}, part.Sealed) &&
			yield(&person{ID: "p-3", Name: "another's"}, silent.Sealed) && yield(&person{ID: "p-4", Name: "another's"}, gone.Sealed) &&
			yield(&person{ID: "p-2"}, whole.Sealed) && yield(nil, whole.Sealed) && yield(&person{ID: "nobody"}, whole.Sealed) && yield(&person{ID: "p-1"}, whole.Sealed)
	}
	logged := len(entries(t, r.cfg.Log))
	got, errs := opens(ctx, r, rows, care)
	require.Len(t, errs, 8)
	require.NoError(t, errs[0])
	require.Equal(t, "of p-1", got[0].Notes)
	require.Equal(t, ayu.Serology, got[0].Serology)
	var withheld *WithheldError
	require.ErrorAs(t, errs[1], &withheld)
	require.Equal(t, "of p-2", got[1].Notes)
	require.Empty(t, got[1].Serology)
	require.ErrorIs(t, errs[2], ErrDenied)
	require.ErrorIs(t, errs[3], keyring.ErrShredded)
	require.ErrorIs(t, errs[4], envelope.ErrOpen, "another's row")
	require.ErrorIs(t, errs[5], ErrSubject)
	require.ErrorIs(t, errs[6], ErrDenied)
	for i := 2; i < 7; i++ {
		require.Empty(t, got[i].Name, "what stood in it before is not this patient's")
	}
	require.NoError(t, errs[7])

	// One at a time they say the same, and write the same entries.
	after := entries(t, r.cfg.Log)
	i := 0
	for p, row := range rows {
		if p != nil {
			err := r.Open(ctx, p, row, care)
			if errs[i] == nil {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, errs[i].Error())
			}
			require.Equal(t, got[i], *p)
		}
		i++
	}
	single := entries(t, r.cfg.Log)[len(after):]
	require.Len(t, after[logged:], len(single))
	for i := range single {
		a, b := after[logged+i], single[i]
		require.Equal(t, []any{b.Action, b.Outcome, b.Reason, b.Fields, b.Withheld}, []any{a.Action, a.Outcome, a.Reason, a.Fields, a.Withheld})
	}

	_, errs = opens(ctx, r, rows, Request{Purpose: Treatment})
	for _, err := range errs {
		require.ErrorIs(t, err, ErrRequest)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, errs = opens(ended, r, rows, care)
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], context.Canceled)
}

// TestOpenAllEconomy: a page of patients that memory does not have costs the
// key store one question, and a loop that stops opens no second page.
func TestOpenAllEconomy(t *testing.T) {
	ctx := context.Background()
	cfg, keys := memoryHouse(t)
	r := people(t, cfg)
	var rows []stored
	for i := range pageSize + 50 {
		p := ayu
		p.ID = fmt.Sprintf("p-%03d", i)
		rows = append(rows, stored{p.ID, sealed(t, r, p, Treatment).Sealed})
	}
	calls := new(expvar.Map)
	keys.Metrics = calls
	again, err := keyring.Open(ctx, keys)
	require.NoError(t, err)
	defer again.Close()
	fresh := *cfg
	fresh.Ring = again
	r = people(t, &fresh)
	count := func() (n int64) {
		if v, ok := calls.Get("store.calls").(*expvar.Int); ok {
			n = v.Value()
		}
		return n
	}
	_, err = open(r, rows[pageSize+1].id, rows[pageSize+1].row, care) // a process loads each keyset once
	require.Error(t, err)
	before, logged := count(), len(entries(t, r.cfg.Log))
	n := 0
	for _, err := range r.OpenAll(ctx, each(rows), care) {
		var withheld *WithheldError
		require.ErrorAs(t, err, &withheld)
		if n++; n == 10 {
			break
		}
	}
	require.Equal(t, logged+pageSize, len(entries(t, r.cfg.Log)), "the second page was never asked for")
	require.LessOrEqual(t, count()-before, int64(2))
}

// TestOpenAllTooLate: who withdraws or is erased after the page's entries were
// written is asked for anew, and nothing of them is opened.
func TestOpenAllTooLate(t *testing.T) {
	ctx := context.Background()
	for name, late := range map[string]func(c *Config, id string) error{
		"withdrawn": func(c *Config, id string) error { return c.WithdrawAll(ctx, id, "clerk") },
		"erased":    func(c *Config, id string) error { _, err := c.Erase(ctx, id, "clerk"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			r := people(t, memoryConfig(t))
			var rows []stored
			for i := range 3 {
				p := ayu
				p.ID = fmt.Sprintf("p-%d", i)
				rows = append(rows, stored{p.ID, sealed(t, r, p, Treatment).Sealed})
			}
			n := 0
			for p, err := range r.OpenAll(ctx, each(rows), care) {
				if n++; n == 1 {
					require.NoError(t, late(r.cfg, rows[1].id))
				}
				if n != 2 {
					require.NotEmpty(t, p.Name)
					continue
				}
				require.Error(t, err)
				require.NotErrorIs(t, err, ErrAudit)
				require.Equal(t, person{ID: p.ID}, *p)
			}
			require.Equal(t, 3, n)
		})
	}
}

// TestOpenAllUnaudited: a page whose entries were not written opens nothing.
func TestOpenAllUnaudited(t *testing.T) {
	cfg, db := sqlConfig(t)
	r := people(t, cfg)
	rows := []stored{{ayu.ID, sealed(t, r, ayu, Treatment).Sealed}}
	_, err := db.Exec(`DROP TABLE consent_log_head`)
	require.NoError(t, err)
	got, errs := opens(context.Background(), r, each(rows), care)
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], ErrAudit)
	require.Equal(t, person{ID: ayu.ID}, got[0])
}
