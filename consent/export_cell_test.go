package consent

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
)

// TestExportDateWithoutYear: what cannot be generalised is withheld, not passed on.
func TestExportDateWithoutYear(t *testing.T) {
	r := people(t, memoryConfig(t))
	require.NoError(t, r.cfg.AddRecipient(context.Background(), "ui-2026"))
	p := ayu
	p.Born = noon.AddDate(1, 0, 0)
	row := sealed(t, r, p, Research)
	table, err := r.Export(context.Background(), each([]stored{{p.ID, row.Sealed}}), study)
	require.NoError(t, err)
	require.Equal(t, Withheld{"Born", NotGeneral}, readAll(t, table)[0][1])
}

type visit struct {
	ID     string          `phi:"subject"`
	Visit  string          `phi:"record"`
	At     *time.Time      `phi:"date"`
	Next   sql.NullTime    `phi:"date"`
	Pulse  *int            `phi:"clinical"`
	Weight sql.NullFloat64 `phi:"clinical"`
	Onset  *fhirDate       `phi:"date"`
	Doctor struct {
		Ward string `phi:"clinical"`
	}
}

type fhirDate string

// TestExportCells: pointers and sql.Null come out as their values, and of a date that is
// a text its year.
func TestExportCells(t *testing.T) {
	cfg := memoryConfig(t)
	ctx := context.Background()
	require.NoError(t, cfg.AddRecipient(ctx, "ui-2026"))
	r, err := NewRecords[visit]("visit", cfg)
	require.NoError(t, err)
	full := visit{ID: "p", Visit: "1", At: &noon, Next: sql.NullTime{Time: noon.AddDate(-1, 0, 0), Valid: true}, Pulse: new(71), Weight: sql.NullFloat64{Float64: 60.5, Valid: true}, Onset: new(fhirDate("2019-05"))}
	full.Doctor.Ward = "B"
	rows, err := r.SealAll(ctx, []*visit{&full, {ID: "p", Visit: "2"}}, careTag)
	require.NoError(t, err)
	_, err = cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Research}})
	require.NoError(t, err)
	table, err := r.Export(ctx, func(yield func(*visit, envelope.Sealed) bool) {
		_ = yield(&visit{ID: "p", Visit: "1"}, rows[0].Sealed) && yield(&visit{ID: "p", Visit: "2"}, rows[1].Sealed)
	}, study)
	require.NoError(t, err)
	var got [][]any
	for row, err := range table.Rows() {
		require.NoError(t, err)
		got = append(got, row[1:])
	}
	require.Equal(t, [][]any{{"2026", "2025", 71, 60.5, "2019", "B"}, {nil, nil, nil, nil, nil, ""}}, got)
}

// TestExportOfAnOlderType: a record that was sealed before its type had a field has
// nothing there, which is not the field's zero.
func TestExportOfAnOlderType(t *testing.T) {
	type older struct {
		ID  string `phi:"subject"`
		Sex string `phi:"sex"`
	}
	type newer struct {
		ID      string `phi:"subject"`
		Sex     string `phi:"sex"`
		Allergy string `phi:"clinical"`
	}
	cfg := memoryConfig(t)
	ctx := context.Background()
	require.NoError(t, cfg.AddRecipient(ctx, "ui-2026"))
	before, err := NewRecords[older]("chart", cfg)
	require.NoError(t, err)
	r, err := NewRecords[newer]("chart", cfg)
	require.NoError(t, err)
	_, err = cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Research}})
	require.NoError(t, err)
	row, err := before.Seal(ctx, &older{ID: "p", Sex: "female"}, careTag)
	require.NoError(t, err)
	table, err := r.Export(ctx, func(yield func(*newer, envelope.Sealed) bool) { yield(&newer{ID: "p"}, row.Sealed) }, study)
	require.NoError(t, err)
	require.Equal(t, []any{"female", nil}, readAll(t, table)[0][1:])
}

// TestExportKeepsNoTime: a date under a kind that is kept is no column, not given to
// the second.
func TestExportKeepsNoTime(t *testing.T) {
	type reading struct{ At time.Time }
	type scan struct {
		ID    string    `phi:"subject"`
		Onset time.Time `phi:"clinical"`
		All   []reading `phi:"clinical"`
		Size  int       `phi:"clinical"`
	}
	cfg := memoryConfig(t)
	ctx := context.Background()
	require.NoError(t, cfg.AddRecipient(ctx, "ui-2026"))
	r, err := NewRecords[scan]("scan", cfg)
	require.NoError(t, err)
	_, err = cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Research}})
	require.NoError(t, err)
	row, err := r.Seal(ctx, &scan{ID: "p", Onset: noon, All: []reading{{noon}}, Size: 3}, careTag)
	require.NoError(t, err)
	table, err := r.Export(ctx, func(yield func(*scan, envelope.Sealed) bool) { yield(&scan{ID: "p"}, row.Sealed) }, study)
	require.NoError(t, err)
	require.Equal(t, []string{"pseudonym", "Size"}, table.Columns)
	require.Equal(t, []any{3}, readAll(t, table)[0][1:])
}
