package consent

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// observing is a configuration that observes until tomorrow, and what it told.
func observing(t testing.TB) (*Config, *[]DeniedError) {
	t.Helper()
	cfg := memoryConfig(t)
	told := new([]DeniedError)
	cfg.Observe = Observe{Until: noon.Add(24 * time.Hour), Tell: func(e *DeniedError) { *told = append(*told, *e) }}
	return cfg, told
}

func TestObserve(t *testing.T) {
	ctx := context.Background()
	cfg, told := observing(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu)
	got, err := open(r, ayu.ID, row.Sealed, care)
	require.NoError(t, err)
	require.Equal(t, ayu.Name, got.Name)
	e := last(t, cfg.Log)
	require.Equal(t, []any{"done", WouldDeny}, []any{e.Outcome, e.Reason})
	require.Equal(t, []DeniedError{{"open", "person", Treatment, NoConsent, e.Decision}}, *told)
	_, errs := opens(ctx, r, each([]stored{{ayu.ID, row.Sealed}}), care)
	require.NoError(t, errs[0])
	_, err = r.Update(ctx, row.Sealed, &ayu, care, "Notes")
	require.NoError(t, err)
	require.Len(t, *told, 3)

	cfg.Now = func() time.Time { return noon.Add(24 * time.Hour) }
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, ErrDenied, "the day has come")
	require.Len(t, *told, 3)
}

// TestObserveOpensNothingElse: only silence is let through.
func TestObserveOpensNothingElse(t *testing.T) {
	ctx := context.Background()
	for name, tt := range map[string]struct {
		before func(*Config) error
		req    Request
		want   Reason
	}{
		"a refusal": {func(c *Config) error {
			_, err := c.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: true})
			return err
		}, care, Refused},
		"a hold": {func(c *Config) error {
			_, err := c.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: true, Hold: true})
			return err
		}, care, Prohibited},
		"a withdrawal": {func(c *Config) error {
			id, err := c.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
			if err != nil {
				return err
			}
			return c.Withdraw(ctx, ayu.ID, id, "clerk")
		}, care, Ended},
		"a consent to something else": {func(c *Config) error {
			_, err := c.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Payment}})
			return err
		}, care, NoConsent},
		"an unknown purpose": {nil, Request{Purpose: "NOSUCH", Actor: "a"}, Unknown},
		"a role":             {nil, Request{Purpose: Treatment, Actor: "a", Role: "stranger"}, NoRole},
		"research by Open":   {nil, Request{Purpose: Research, Actor: "a"}, ExportOnly},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, told := observing(t)
			r := people(t, cfg)
			row := sealed(t, r, ayu)
			if tt.before != nil {
				require.NoError(t, tt.before(cfg))
			}
			got, err := open(r, ayu.ID, row.Sealed, tt.req)
			var denied *DeniedError
			require.ErrorAs(t, err, &denied)
			require.Equal(t, tt.want, denied.Reason)
			require.Equal(t, person{ID: ayu.ID}, got)
			require.Empty(t, *told)
		})
	}
	t.Run("an export", func(t *testing.T) {
		cfg, _ := observing(t)
		r := people(t, cfg)
		require.NoError(t, cfg.AddRecipient(ctx, "ui-2026"))
		row := sealed(t, r, ayu)
		got, table, err := exporting(t, r, []stored{{ayu.ID, row.Sealed}}, study)
		require.NoError(t, err)
		require.Empty(t, got)
		require.Equal(t, 1, table.Suppressed())
	})
	t.Run("for ever", func(t *testing.T) {
		cfg, _ := observing(t)
		cfg.Observe.Until = noon.AddDate(1, 0, 0)
		_, err := NewRecords[person]("person", cfg)
		require.ErrorIs(t, err, ErrPeriod)
	})
}

// TestObserveIsLoud: nobody has to ask for the warning.
func TestObserveIsLoud(t *testing.T) {
	cfg, _ := observing(t)
	cfg.Observe.Tell = nil
	r := people(t, cfg)
	row := sealed(t, r, ayu)
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(before)
	_, err := open(r, ayu.ID, row.Sealed, care)
	require.NoError(t, err)
	require.Contains(t, out.String(), "will be denied")
	require.NotContains(t, out.String(), ayu.ID)
}
