package consent

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

var study = Request{Purpose: Research, Actor: "irb-12", Recipient: "ui-2026", Gate: Gate{Ungated: "a test of what a row shows"}}

type stored struct {
	id  string
	row envelope.Sealed
}

func each(rows []stored) iter.Seq2[*person, envelope.Sealed] {
	return func(yield func(*person, envelope.Sealed) bool) {
		for _, s := range rows {
			if !yield(&person{ID: s.id}, s.row) {
				return
			}
		}
	}
}

func readAll(t *testing.T, table *Table) [][]any {
	t.Helper()
	var out [][]any
	for row, err := range table.Rows() {
		require.NoError(t, err)
		out = append(out, row)
	}
	return out
}

func TestExport(t *testing.T) {
	r := people(t, memoryConfig(t))
	ctx := context.Background()
	require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
	require.NoError(t, r.cfg.AddRecipient(ctx, "ugm-2026"))
	budi, oma, citra := ayu, ayu, ayu
	budi.ID, budi.NIK, budi.Diagnosis = "p-budi", "9271060312000001", nil
	oma.ID, oma.Born = "p-oma", time.Date(1931, 2, 3, 0, 0, 0, 0, time.UTC)
	citra.ID = "p-citra"
	rows := []stored{
		{ayu.ID, sealed(t, r, ayu, Research, Treatment).Sealed}, {budi.ID, sealed(t, r, budi, Research).Sealed},
		{oma.ID, sealed(t, r, oma, Research).Sealed}, {citra.ID, sealed(t, r, citra, Treatment).Sealed},
	}
	table, err := r.Export(ctx, each(rows), study)
	require.NoError(t, err)
	require.Equal(t, []string{"pseudonym", "Born", "Sex", "Diagnosis", "Serology"}, table.Columns)
	got := readAll(t, table)
	require.Equal(t, 1, table.Suppressed(), "who did not agree to research is left out")
	require.Len(t, got, 3)
	hidden := Withheld{"Serology", NoConsent}
	require.Equal(t, []any{"1989", "female", []string{"J45 Asthma"}, hidden}, got[0][1:])
	require.Equal(t, []any{"1989", "female", nil, hidden}, got[1][1:], "no value is nil and not withheld")
	require.Equal(t, "1936 or earlier", got[2][1])

	e := last(t, r.cfg.Log)
	require.Equal(t, "export", e.Action)
	require.Equal(t, "refused", e.Outcome)
	require.Equal(t, "ui-2026", e.Recipient)
	require.Len(t, slices.DeleteFunc(entries(t, r.cfg.Log), func(e Entry) bool { return e.Action != "export" }), 4)

	domain, err := pseudo.Open(ctx, r.cfg.Ring, "recipient/ui-2026") // on which the pseudonyms of earlier tables depend
	require.NoError(t, err)
	token, err := domain.Token(ctx, pseudo.Subject, ayu.ID)
	require.NoError(t, err)
	require.Equal(t, token.String(), got[0][0])

	other := study
	other.Recipient = "ugm-2026"
	table, err = r.Export(ctx, each(rows), other)
	require.NoError(t, err)
	again := readAll(t, table)
	mine := map[any]bool{}
	for _, row := range got {
		mine[row[0]] = true
	}
	require.Len(t, mine, 3)
	for _, row := range again {
		require.NotContains(t, mine, row[0], "two recipients' tables join by pseudonym")
	}
	table, err = r.Export(ctx, each(rows), study)
	require.NoError(t, err)
	require.Equal(t, got, readAll(t, table), "a recipient's pseudonyms stay")
}

func TestExportIsTheOnlyWayForResearch(t *testing.T) {
	r := people(t, memoryConfig(t))
	row := sealed(t, r, ayu, Research)
	_, err := open(r, ayu.ID, row.Sealed, Request{Purpose: Research, Actor: "irb-12"})
	var denied *DeniedError
	require.ErrorAs(t, err, &denied)
	require.Equal(t, ExportOnly, denied.Reason)
}

func TestExportRefuses(t *testing.T) {
	r := people(t, memoryConfig(t))
	ctx := context.Background()
	row := sealed(t, r, ayu, Research)
	_, err := r.Export(ctx, each(nil), Request{Purpose: Research, Actor: "a"})
	require.ErrorIs(t, err, ErrRequest)
	_, err = r.Export(ctx, each(nil), study)
	require.ErrorIs(t, err, keyring.ErrNoKeyset, "a recipient that nobody added")
	require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
	require.ErrorIs(t, r.cfg.AddRecipient(ctx, "ui-2026"), keyring.ErrExists)

	stranger := study
	stranger.Role = "nobody"
	_, err = r.Export(ctx, each(nil), stranger)
	require.ErrorIs(t, err, ErrDenied, "an unknown role must not look like a study without patients")
	require.Equal(t, "refused", last(t, r.cfg.Log).Outcome)

	table, err := r.Export(ctx, each([]stored{{"p-budi", row.Sealed}}), study)
	require.NoError(t, err)
	require.Empty(t, readAll(t, table))
	require.Equal(t, 1, table.Suppressed())

	sealed(t, r, func() person { p := ayu; p.ID = "p-budi"; return p }(), Research)
	table, err = r.Export(ctx, each([]stored{{"p-budi", row.Sealed}}), study)
	require.NoError(t, err)
	for _, err := range table.Rows() {
		require.ErrorIs(t, err, envelope.ErrOpen, "a row filed under another patient stops the table")
	}
	require.Equal(t, NotAuthentic, last(t, r.cfg.Log).Reason)
}

// TestExportCountsByItsClock: who the oldest are is for the configuration's clock to say.
func TestExportCountsByItsClock(t *testing.T) {
	cfg := memoryConfig(t)
	cfg.Now = func() time.Time { return noon.AddDate(100, 0, 0) }
	r := people(t, cfg)
	require.NoError(t, cfg.AddRecipient(context.Background(), "ui-2026"))
	p := ayu
	p.Born = time.Date(2030, 5, 6, 0, 0, 0, 0, time.UTC)
	row := sealed(t, r, p, Research)
	table, err := r.Export(context.Background(), each([]stored{{p.ID, row.Sealed}}), study)
	require.NoError(t, err)
	require.Equal(t, "2036 or earlier", readAll(t, table)[0][1])
}

// TestExportWhileRotated: a rotation while the table is read gives no patient two
// pseudonyms in it.
func TestExportWhileRotated(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
	row := sealed(t, r, ayu, Research).Sealed
	table, err := r.Export(ctx, each([]stored{{ayu.ID, row}, {ayu.ID, row}}), study)
	require.NoError(t, err)
	var pseudonyms []any
	for row, err := range table.Rows() {
		require.NoError(t, err)
		if pseudonyms = append(pseudonyms, row[0]); len(pseudonyms) == 1 {
			_, err := r.cfg.Ring.Rotate(ctx, recipientDomain("ui-2026"))
			require.NoError(t, err)
		}
	}
	require.Len(t, pseudonyms, 2)
	require.Equal(t, pseudonyms[0], pseudonyms[1])
	table, err = r.Export(ctx, each([]stored{{ayu.ID, row}}), study)
	require.NoError(t, err)
	require.NotEqual(t, pseudonyms[0], readAll(t, table)[0][0], "the next table has the new ones")
}

// TestExportPages reads more than a page, and stops early without losing track.
func TestExportPages(t *testing.T) {
	r := people(t, memoryConfig(t))
	ctx := context.Background()
	require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
	var rows []stored
	for i := range 2*pageSize + 1 {
		p := ayu
		p.ID = "p-" + strings.Repeat("x", i+1)
		rows = append(rows, stored{p.ID, sealed(t, r, p, Research).Sealed})
	}
	r.cfg.Guard.People.Hour = len(rows)
	logged := len(entries(t, r.cfg.Log))
	table, err := r.Export(ctx, each(rows), study)
	require.NoError(t, err)
	n := 0
	for _, err := range table.Rows() {
		require.NoError(t, err)
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, logged+pageSize, len(entries(t, r.cfg.Log)), "a page is logged before its first row is yielded, and the next one is not")
	table, err = r.Export(ctx, each(rows), study)
	require.NoError(t, err)
	require.Len(t, readAll(t, table), len(rows))
}

// TestTooLateToExport: the patient withdraws or is erased while the page is
// being read, after its entries were written.
func TestTooLateToExport(t *testing.T) {
	ctx := context.Background()
	for name, stop := range map[string]func(*Config, string) error{
		"withdrawal": func(c *Config, id string) error {
			all, err := c.Ledger.Of(ctx, id)
			if err != nil {
				return err
			}
			return c.Withdraw(ctx, id, all[0].ID, "clerk")
		},
		"refusal": func(c *Config, id string) error {
			_, err := c.Give(ctx, Consent{Subject: id, Purposes: []Purpose{Research}, Refused: true})
			return err
		},
		"erasure": func(c *Config, id string) error { _, err := c.Erase(ctx, id, "clerk"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			r := people(t, memoryConfig(t))
			require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
			var rows []stored
			for _, id := range []string{"p-1", "p-2", "p-3"} {
				p := ayu
				p.ID = id
				rows = append(rows, stored{id, sealed(t, r, p, Research).Sealed})
			}
			table, err := r.Export(ctx, each(rows), study)
			require.NoError(t, err)
			n := 0
			for _, err := range table.Rows() {
				require.NoError(t, err)
				if n++; n == 1 {
					require.NoError(t, stop(r.cfg, "p-2"))
				}
			}
			require.Equal(t, 2, n)
			require.Equal(t, 1, table.Suppressed())
			failed := slices.DeleteFunc(entries(t, r.cfg.Log), func(e Entry) bool { return e.Outcome != "failed" })
			require.Len(t, failed, 1)
			require.Equal(t, "export", failed[0].Action)
			require.Empty(t, failed[0].Fields)
		})
	}
}

// TestExportOfTheErased: who was erased before is left out and counted.
func TestExportOfTheErased(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
	row := sealed(t, r, ayu, Research)
	_, err := r.cfg.Erase(ctx, ayu.ID, "clerk")
	require.NoError(t, err)
	table, err := r.Export(ctx, each([]stored{{ayu.ID, row.Sealed}}), study)
	require.NoError(t, err)
	require.Empty(t, readAll(t, table))
	require.Equal(t, 1, table.Suppressed())
	require.Equal(t, Erased, last(t, r.cfg.Log).Reason)
}

// TestExportOfOneVariable: the sequence may use one variable for all records,
// and clear it afterwards.
func TestExportOfOneVariable(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
	var rows []stored
	for i, id := range []string{"p-1", "p-2", "p-3"} {
		p := ayu
		p.ID, p.Sex = id, []string{"female", "male", "other"}[i]
		rows = append(rows, stored{id, sealed(t, r, p, Research).Sealed})
	}
	table, err := r.Export(ctx, func(yield func(*person, envelope.Sealed) bool) {
		var p person
		for _, s := range rows {
			if p.ID = s.id; !yield(&p, s.row) {
				return
			}
		}
		p.ID = ""
	}, study)
	require.NoError(t, err)
	var sexes []any
	for _, row := range readAll(t, table) {
		sexes = append(sexes, row[2])
	}
	require.Equal(t, []any{"female", "male", "other"}, sexes)
	separate, err := r.Export(ctx, each(rows), study)
	require.NoError(t, err)
	again, err := r.Export(ctx, each(rows), study)
	require.NoError(t, err)
	require.Equal(t, readAll(t, separate), readAll(t, again))
}

// TestExportRole: a role that may see none of the columns is refused, and so is logged.
func TestExportRole(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	cfg.Roles = map[string][]string{"desk": {"sensitive"}}
	r := people(t, cfg)
	require.NoError(t, cfg.AddRecipient(ctx, "ui-2026"))
	req := study
	for role, want := range map[string]Reason{"desk": RoleForbids, "": NoRole} {
		req.Role = role
		_, err := r.Export(ctx, each(nil), req)
		var denied *DeniedError
		require.ErrorAs(t, err, &denied)
		require.Equal(t, want, denied.Reason)
		require.Equal(t, want, last(t, cfg.Log).Reason)
	}
}
