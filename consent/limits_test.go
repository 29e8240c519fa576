package consent

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

func year(y int) time.Time { return time.Date(y, 12, 31, 0, 0, 0, 0, time.UTC) }

// TestFarAwayPeriods: a period whose ends do not fit into nanoseconds since
// 1970, or lie where a zero would, means what it says.
func TestFarAwayPeriods(t *testing.T) {
	for name, tt := range map[string]struct {
		refused     bool
		from, until time.Time
		want        Reason
	}{
		"permit until 9999":        {until: year(9999), want: Permitted},
		"permit until 2300":        {until: year(2300), want: Permitted},
		"permit from 1900":         {from: year(1900), want: Permitted},
		"permit from Unix 0":       {from: time.Unix(0, 0), want: Permitted},
		"permit from 2300":         {from: year(2300), want: NotYet},
		"permit from 9999":         {from: year(9999), want: NotYet},
		"permit until Unix 0":      {until: time.Unix(0, 0), want: Expired},
		"permit until 1900":        {until: year(1900), want: Expired},
		"refusal until 9999":       {refused: true, until: year(9999), want: Refused},
		"refusal until 2300":       {refused: true, from: year(1900), until: year(2300), want: Refused},
		"refusal until Unix 0":     {refused: true, until: time.Unix(0, 0), want: Permitted},
		"refusal from 2300":        {refused: true, from: year(2300), want: Permitted},
		"refusal a nanosecond off": {refused: true, from: noon.Add(1), want: Permitted},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			r := people(t, memoryConfig(t))
			row := sealed(t, r, ayu)
			if tt.refused {
				_, err := r.cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
				require.NoError(t, err)
			}
			_, err := r.cfg.Give(ctx, Consent{ID: "c", Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: tt.refused, From: tt.from, Until: tt.until})
			require.NoError(t, err)
			all, err := r.cfg.Ledger.Of(ctx, ayu.ID)
			require.NoError(t, err)
			c := all[indexOf(all, "c")]
			require.True(t, c.From.Equal(tt.from) && c.From.IsZero() == tt.from.IsZero())
			require.True(t, c.Until.Equal(tt.until) && c.Until.IsZero() == tt.until.IsZero())
			got, err := open(r, ayu.ID, row.Sealed, care)
			if tt.want == Permitted {
				require.IsType(t, &WithheldError{}, err)
				require.Equal(t, ayu.Name, got.Name)
				return
			}
			var denied *DeniedError
			require.ErrorAs(t, err, &denied)
			require.Equal(t, tt.want, denied.Reason)
			require.Equal(t, person{ID: ayu.ID}, got)
		})
	}
}

// TestAttackUnreadableText gives every text and list that a caller may have
// written down a value that could never be read again. Each is refused, and
// ledger, log and rows go on as before.
func TestAttackUnreadableText(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	r := people(t, cfg)
	require.NoError(t, cfg.AddRecipient(ctx, "ui-2026"))
	row := sealed(t, r, ayu, Treatment)
	type ask = func(change func(*Request)) error
	with := func(req Request, change func(*Request)) Request { change(&req); return req }
	asks := map[string]ask{
		"open":   func(c func(*Request)) error { _, err := open(r, ayu.ID, row.Sealed, with(care, c)); return err },
		"lookup": func(c func(*Request)) error { _, err := r.Lookup(ctx, "NIK", ayu.NIK, with(care, c)); return err },
		"update": func(c func(*Request)) error {
			_, err := r.Update(ctx, row.Sealed, &ayu, with(care, c), "Name")
			return err
		},
		"export": func(c func(*Request)) error { _, err := r.Export(ctx, each(nil), with(study, c)); return err },
	}
	give := func(change func(*Consent)) error {
		c := Consent{Subject: ayu.ID, Purposes: []Purpose{Payment}}
		change(&c)
		_, err := cfg.Give(ctx, c)
		return err
	}
	seal := func(change func(*Tag)) error {
		tag := careTag
		change(&tag)
		_, err := r.Seal(ctx, &ayu, tag)
		return err
	}
	before := len(entries(t, cfg.Log))
	for kind, s := range map[string]string{"not UTF-8": "a\xff", "too long": strings.Repeat("a", maxText+1)} {
		for name, do := range asks {
			for field, change := range map[string]func(*Request){
				"purpose":   func(q *Request) { q.Purpose = Purpose(s) },
				"actor":     func(q *Request) { q.Actor = s },
				"role":      func(q *Request) { q.Role = s },
				"recipient": func(q *Request) { q.Recipient = s },
			} {
				require.ErrorIs(t, do(change), ErrLimit, "%s %s %s", name, field, kind)
			}
		}
		for name, tt := range map[string]struct {
			err  error
			want error
		}{
			"consent id":          {give(func(c *Consent) { c.ID = s }), ErrLimit},
			"consent actor":       {give(func(c *Consent) { c.Actors = []string{"a", s} }), ErrLimit},
			"consent role":        {give(func(c *Consent) { c.Roles = []string{"a", s} }), ErrLimit},
			"consent purpose":     {give(func(c *Consent) { c.Purposes = []Purpose{Payment, Purpose(s)} }), ErrCode},
			"consent label":       {give(func(c *Consent) { c.Sensitivity = []Label{Label(s)} }), ErrCode},
			"consent obligation":  {give(func(c *Consent) { c.Obligations = []Obligation{Obligation(s)} }), ErrCode},
			"consent level":       {give(func(c *Consent) { c.Confidentiality = Confidentiality(s) }), ErrCode},
			"tag consent":         {seal(func(g *Tag) { g.Consent = s }), ErrLimit},
			"tag policy":          {seal(func(g *Tag) { g.Policy = s }), ErrLimit},
			"tag actor":           {seal(func(g *Tag) { g.Actor = s }), ErrLimit},
			"tag purpose":         {seal(func(g *Tag) { g.Purpose = Purpose(s) }), ErrCode},
			"tag basis":           {seal(func(g *Tag) { g.Basis = Basis(s) }), ErrNoBasis},
			"tag label":           {seal(func(g *Tag) { g.Sensitivity = []Label{Label(s)} }), ErrCode},
			"tag confidentiality": {seal(func(g *Tag) { g.Confidentiality = Confidentiality(s) }), ErrCode},
		} {
			require.ErrorIs(t, tt.err, tt.want, "%s %s", name, kind)
			require.NotContains(t, tt.err.Error(), s)
		}
	}
	for name, err := range map[string]error{
		"purposes":    give(func(c *Consent) { c.Purposes = slices.Repeat([]Purpose{Payment}, maxList+1) }),
		"actors":      give(func(c *Consent) { c.Actors = slices.Repeat([]string{"a"}, maxList+1) }),
		"roles":       give(func(c *Consent) { c.Roles = slices.Repeat([]string{"a"}, maxList+1) }),
		"labels":      give(func(c *Consent) { c.Sensitivity = slices.Repeat([]Label{"HIV"}, maxList+1) }),
		"obligations": give(func(c *Consent) { c.Obligations = slices.Repeat([]Obligation{"AUDIT"}, maxList+1) }),
		"tag labels":  seal(func(g *Tag) { g.Sensitivity = slices.Repeat([]Label{"HIV"}, maxList+1) }),
	} {
		require.ErrorIs(t, err, ErrLimit, name)
	}
	require.Len(t, entries(t, cfg.Log), before, "what is refused for its form leaves no entry")

	full := strings.Repeat("é", maxText/2)
	require.NoError(t, give(func(c *Consent) {
		c.ID, c.Actors, c.Roles = full, slices.Repeat([]string{full}, maxList), slices.Repeat([]string{full}, maxList)
	}), "the limits themselves are allowed")
	require.NoError(t, seal(func(g *Tag) {
		g.Consent, g.Policy, g.Actor, g.Sensitivity = full, full, full, slices.Repeat([]Label{"HIV"}, maxList)
	}))
	_, err := open(r, ayu.ID, row.Sealed, care)
	require.IsType(t, &WithheldError{}, err)
	_, err = cfg.Log.Verify(ctx)
	require.NoError(t, err)
	_, err = cfg.Log.History(ctx, ayu.ID)
	require.NoError(t, err)
}

// TestNothingGiven: nil arguments and zero values end in errors, not panics.
func TestNothingGiven(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	r := people(t, cfg)
	require.NoError(t, cfg.AddRecipient(ctx, "ui-2026"))
	row := sealed(t, r, ayu, Treatment)
	for who, c := range map[string]*Config{"nil": nil, "zero": {}, "half": {Ring: cfg.Ring, Ledger: cfg.Ledger}} {
		_, err := c.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}})
		require.ErrorIs(t, err, ErrConfig, who)
		require.ErrorIs(t, c.Withdraw(ctx, "p", "c", "clerk"), ErrConfig, who)
		_, err = c.Erase(ctx, "p", "clerk")
		require.ErrorIs(t, err, ErrConfig, who)
		require.ErrorIs(t, c.AddRecipient(ctx, "x"), ErrConfig, who)
		_, err = NewRecords[person]("person", c)
		require.ErrorIs(t, err, ErrConfig, who)
	}
	_, err := OpenLedger(ctx, nil, nil)
	require.ErrorIs(t, err, ErrConfig)
	_, err = OpenLog(ctx, nil, nil)
	require.ErrorIs(t, err, ErrConfig)
	_, err = OpenLedger(ctx, cfg.Ring.Only("clinical"), nil)
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	_, err = OpenLog(ctx, cfg.Ring.Only("clinical"), nil)
	require.ErrorIs(t, err, keyring.ErrNotGranted)

	_, err = r.Export(ctx, nil, study)
	require.ErrorIs(t, err, ErrRequest)
	require.NoError(t, new(Table).WriteCSV(io.Discard))
	for range new(Table).Rows() {
		t.Error("a table of nothing has a row")
	}
	require.Zero(t, new(Table).Suppressed())
	require.ErrorIs(t, new(Proof).Check(""), ErrTampered)
	table, err := r.Export(ctx, func(yield func(*person, envelope.Sealed) bool) { yield(nil, row.Sealed) }, study)
	require.NoError(t, err)
	for _, err := range table.Rows() {
		require.ErrorIs(t, err, ErrSubject)
	}
	none, err := r.SealAll(ctx, nil, careTag)
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = r.SealAll(ctx, []*person{&ayu, nil}, careTag)
	require.ErrorIs(t, err, ErrSubject)
	_, err = open(r, ayu.ID, nil, care)
	require.Error(t, err)
	require.ErrorIs(t, cfg.Withdraw(ctx, "", "c", "clerk"), ErrSubject)
	_, err = cfg.Erase(ctx, "", "clerk")
	require.Error(t, err)
	_, err = cfg.Log.History(ctx, "")
	require.Error(t, err)
	require.ErrorIs(t, cfg.Log.Extends(ctx, nil), ErrTampered)
}

// TestTypeNames: a record type's name is a part of other names.
func TestTypeNames(t *testing.T) {
	cfg := memoryConfig(t)
	for _, name := range []string{"", "a/b", "a b", "\xff", "é", strings.Repeat("a", 65)} {
		_, err := NewRecords[visit](name, cfg)
		require.ErrorIs(t, err, ErrLimit)
	}
	for _, name := range []string{"A-z_0.9", strings.Repeat("a", 64)} {
		_, err := NewRecords[visit](name, cfg)
		require.NoError(t, err)
	}
}

// TestAttackSwappedArguments: a caller who mixes up arguments must not find
// the value in an error.
func TestAttackSwappedArguments(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	row := sealed(t, r, ayu, Treatment)
	_, lookup := r.Lookup(ctx, ayu.NIK, "NIK", care)
	require.ErrorIs(t, lookup, pseudo.ErrField)
	_, update := r.Update(ctx, row.Sealed, &ayu, care, ayu.Name)
	require.Error(t, update)
	_, give := r.cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Purpose(ayu.NIK)}})
	require.ErrorIs(t, give, ErrCode)
	withdraw := r.cfg.Withdraw(ctx, ayu.ID, ayu.NIK, "clerk")
	require.ErrorIs(t, withdraw, ErrNoConsent)
	for _, err := range []error{lookup, update, give, withdraw} {
		for _, v := range []string{ayu.NIK, ayu.Name, ayu.ID} {
			require.NotContains(t, err.Error(), v)
		}
	}
}
