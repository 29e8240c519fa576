package pseudo

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// chart has a field of every sort that a policy knows.
type chart struct {
	ID        string              `phi:"subject"`
	Visit     string              `phi:"record"`
	NIK       string              `phi:"nik"`
	Mother    *string             `phi:"nik,name=mother_nik"`
	Name      string              `phi:"name"`
	Phone     sql.NullString      `phi:"phone"`
	Address   string              `phi:"address"`
	Born      time.Time           `phi:"birthdate"`
	BornText  *string             `phi:"birthdate"`
	Admitted  sql.Null[time.Time] `phi:"date"`
	Left      *time.Time          `phi:"date"`
	Region    string              `phi:"region"`
	Sex       string              `phi:"sex"`
	Diagnosis []string            `phi:"clinical"`
	Systolic  *int                `phi:"clinical"`
	Serology  string              `phi:"sensitive"`
	Letter    string              `phi:"text"`
	Notes     string
	Clinic    string `phi:"clear"`
}

func tableDay() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }

func sampleChart() *chart {
	mother, systolic, born := motherNIK, 120, "1984-03"
	left := time.Date(2026, 6, 3, 17, 5, 0, 0, time.UTC)
	return &chart{
		ID: "P-1", Visit: "V-1", NIK: sandboxNIK, Mother: &mother, Name: "dr. Ardianto Putra", Phone: sql.NullString{String: "0810-0000-0001", Valid: true},
		Address: "Jalan Contoh 1", Born: time.Date(1984, 3, 10, 0, 0, 0, 0, time.UTC), BornText: &born,
		Admitted: sql.Null[time.Time]{V: time.Date(2026, 6, 1, 8, 30, 0, 0, time.UTC), Valid: true}, Left: &left,
		Region: "31.71.01.1001", Sex: "female", Diagnosis: []string{"J45"}, Systolic: &systolic, Serology: "reactive",
		Letter: "a letter", Notes: "a note", Clinic: "Clinic A",
	}
}

// rowOf makes one row as a map by column.
func rowOf(t testing.TB, policy Policy, src *chart) map[string]any {
	t.Helper()
	ctx := context.Background()
	x, err := NewDeidentifier[chart](ctx, open(t, newRing(t, study), study), policy)
	require.NoError(t, err)
	row, err := x.Row(ctx, src)
	require.NoError(t, err)
	columns := x.Columns()
	require.Len(t, row, len(columns))
	cells := map[string]any{}
	for i, c := range columns {
		cells[c] = row[i]
	}
	_, err = ParseToken(cells["pseudonym"].(string))
	require.NoError(t, err)
	delete(cells, "pseudonym")
	return cells
}

func TestDeidentifySafeHarbor(t *testing.T) {
	got := rowOf(t, SafeHarbor(tableDay()), sampleChart())
	require.Equal(t, map[string]any{
		"Born": "1984", "BornText": "1984", "Admitted": "2026", "Left": "2026", "Region": "31", "Sex": "female", "Diagnosis": []string{"J45"}, "Systolic": 120,
	}, got)
	old := sampleChart()
	old.Born = time.Date(1936, 12, 31, 0, 0, 0, 0, time.UTC)
	text := "1930"
	old.BornText = &text
	old.Admitted.V = time.Date(1935, 1, 1, 0, 0, 0, 0, time.UTC) // a date that tells the age too
	got = rowOf(t, SafeHarbor(tableDay()), old)
	for _, name := range []string{"Born", "BornText", "Admitted"} {
		require.Equal(t, "1936 or earlier", got[name], name)
	}
}

func TestDeidentifyStrict(t *testing.T) {
	src := sampleChart()
	text := "1947-05-01"
	src.BornText = &text
	require.Equal(t, map[string]any{
		"Born": "40-49", "BornText": "70-79", "Region": "31", "Sex": "female", "Diagnosis": []string{"J45"}, "Systolic": 120,
	}, rowOf(t, Strict(tableDay()), src))
}

// TestDeidentifyPresets states the form of every kind that there is. A kind that
// is added is dropped until somebody decides otherwise here.
func TestDeidentifyPresets(t *testing.T) {
	safe := map[string]Form{"birthdate": FormYear, "date": FormYear, "region": FormProvince, "sex": FormKeep, "clinical": FormKeep}
	strict := map[string]Form{"birthdate": FormAgeBand, "region": FormProvince, "sex": FormKeep, "clinical": FormKeep}
	for _, kind := range append(phi.Kinds(), phi.Untagged()) {
		for _, c := range []struct {
			policy Policy
			want   map[string]Form
		}{{SafeHarbor(tableDay()), safe}, {Strict(tableDay()), strict}} {
			want, listed := c.want[kind.Name]
			if !listed {
				want = FormDrop
			}
			got, err := c.policy.form(&phi.Field{Name: "X", Kind: kind, Type: map[bool]any{true: timeField, false: textField}[want == FormYear || want == FormAgeBand].(phi.Field).Type})
			require.NoError(t, err, kind.Name)
			require.Equal(t, want, got, kind.Name)
		}
	}
}

var textField, timeField = fieldOf("Sex"), fieldOf("Born")

func fieldOf(name string) phi.Field {
	plan, err := phi.For(reflect.TypeFor[chart]())
	if err != nil {
		panic(err)
	}
	f, _ := plan.Field(name)
	return *f
}

// TestDeidentifyAttackKeptIdentifier: no policy gets an identifier, a free text or
// an untagged field through as it is, nor a form that does not fit.
func TestDeidentifyAttackKeptIdentifier(t *testing.T) {
	ctx := context.Background()
	domain := open(t, newRing(t, study), study)
	refused := func(policy Policy, names ...string) {
		t.Helper()
		x, err := NewDeidentifier[chart](ctx, domain, policy)
		require.ErrorIs(t, err, ErrPolicy)
		require.Nil(t, x)
		for _, name := range names {
			require.ErrorContains(t, err, name)
		}
	}
	with := func(field string, form Form) Policy {
		p := SafeHarbor(tableDay())
		p.Fields = map[string]Form{field: form}
		p.Band, p.Within = 5, 365
		return p
	}
	for _, field := range []string{"NIK", "mother_nik", "Name", "Phone", "Address", "Letter", "Notes"} {
		for _, form := range []Form{FormKeep, FormYear, FormMonth, FormAgeBand, FormShifted, FormProvince, FormRegency} {
			refused(with(field, form), "chart.", string(form))
		}
	}
	for field, forms := range map[string][]Form{
		"Address":   {FormToken},
		"Letter":    {FormToken},
		"Notes":     {FormToken},
		"Born":      {FormToken, FormProvince, FormRegency, "", "copy"},
		"Admitted":  {FormAgeBand, FormToken, FormProvince},
		"Region":    {FormToken, FormYear, FormShifted},
		"Sex":       {FormToken, FormYear, FormProvince},
		"Diagnosis": {FormToken, FormYear, FormAgeBand, FormProvince},
		"Clinic":    {FormToken, FormYear, FormProvince, FormShifted},
	} {
		for _, form := range forms {
			refused(with(field, form), "chart."+field)
		}
	}
	refused(with("ID", FormKeep), `"ID"`)
	refused(with("Visit", FormKeep), `"Visit"`)
	refused(with("Nik", FormDrop), `"Nik"`)
	refused(Policy{Kinds: SafeHarbor(tableDay()).Kinds}, "At")
	refused(Policy{At: tableDay(), Kinds: map[Kind]Form{"brithdate": FormYear}}, `"brithdate"`)
	refused(Policy{At: tableDay(), Kinds: map[Kind]Form{"nik": FormKeep}}, "chart.NIK")
	refused(Policy{At: tableDay(), Kinds: map[Kind]Form{NIK: FormToken}}, "chart.Mother") // would join the mother to her own records
	for _, band := range []int{-1, 0, 91} {
		p := Strict(tableDay())
		p.Band = band
		refused(p, "Band")
	}
	for _, within := range []int{-1, 0, 3651} {
		p := with("Left", FormShifted)
		p.Within = within
		refused(p, "Within")
	}
}

// TestDeidentifyAttackKeptTime: a date under a kind that a preset keeps would leave
// to the second. Who wants that names the field.
func TestDeidentifyAttackKeptTime(t *testing.T) {
	ctx := context.Background()
	domain := open(t, newRing(t, study), study)
	type instant struct{ time.Time }
	type reading struct {
		Value int
		At    instant
	}
	at := func(err error) {
		t.Helper()
		require.ErrorIs(t, err, ErrPolicy)
		require.ErrorContains(t, err, "Onset")
	}
	_, err := NewDeidentifier[struct {
		ID    string    `phi:"subject"`
		Onset time.Time `phi:"clinical"`
	}](ctx, domain, SafeHarbor(tableDay()))
	at(err)
	_, err = NewDeidentifier[struct {
		ID    string              `phi:"subject"`
		Onset sql.Null[time.Time] `phi:"clinical,label=HIV"`
	}](ctx, domain, Strict(tableDay()))
	at(err)
	_, err = NewDeidentifier[struct {
		ID    string              `phi:"subject"`
		Onset map[string]*reading `phi:"sex"`
	}](ctx, domain, SafeHarbor(tableDay()))
	at(err)
	type record struct {
		ID    string       `phi:"subject"`
		Onset []*time.Time `phi:"sensitive"`
	}
	p := SafeHarbor(tableDay())
	p.Kinds["sensitive"] = FormKeep
	_, err = NewDeidentifier[record](ctx, domain, p)
	at(err)
	for _, form := range []Form{FormKeep, FormDrop} {
		p.Fields = map[string]Form{"Onset": form}
		_, err = NewDeidentifier[record](ctx, domain, p)
		require.NoError(t, err, form)
	}
	p = SafeHarbor(tableDay())
	p.Kinds["date"], p.Kinds["birthdate"] = FormKeep, FormKeep
	_, err = NewDeidentifier[chart](ctx, domain, p)
	require.NoError(t, err, "who says that dates are kept has said it")
}

func TestDeidentifyOverrides(t *testing.T) {
	p := SafeHarbor(tableDay())
	p.Within = 365
	p.Kinds["sex"] = FormDrop
	p.Fields = map[string]Form{
		"NIK": FormToken, "Name": FormToken, "Phone": FormToken, "Clinic": FormKeep, "Serology": FormKeep, "Diagnosis": FormDrop,
		"Region": FormRegency, "Born": FormMonth, "BornText": FormMonth, "Left": FormKeep, "Admitted": FormMonth,
	}
	src := sampleChart()
	got := rowOf(t, p, src)
	for _, name := range []string{"NIK", "Name", "Phone"} {
		_, err := ParseToken(got[name].(string))
		require.NoError(t, err, name)
		delete(got, name)
	}
	require.Equal(t, map[string]any{
		"Clinic": "Clinic A", "Serology": "reactive", "Region": "3171", "Born": "1984-03", "BornText": "1984-03", "Left": *src.Left, "Admitted": "2026-06", "Systolic": 120,
	}, got)
}

// TestDeidentifyAbsent: NULL in each shape is nil in every form; so are the empty
// text and the zero time where they are not kept.
func TestDeidentifyAbsent(t *testing.T) {
	p := SafeHarbor(tableDay())
	p.Fields = map[string]Form{"Phone": FormToken, "Clinic": FormKeep}
	got := rowOf(t, p, &chart{ID: "P-1"})
	for name, cell := range got {
		if name == "Sex" || name == "Clinic" {
			require.Equal(t, "", cell, "kept as it is")
			continue
		}
		require.Nil(t, cell, name)
	}
	empty := ""
	got = rowOf(t, p, &chart{ID: "P-1", BornText: &empty, Phone: sql.NullString{Valid: true}, Left: &time.Time{}, Admitted: sql.Null[time.Time]{Valid: true}, Diagnosis: []string{}})
	for _, name := range []string{"BornText", "Phone", "Left", "Admitted"} {
		require.Nil(t, got[name], name)
	}
	require.Equal(t, []string{}, got["Diagnosis"], "an empty list is not none")
}

// TestDeidentifyAttackKeptBesideShifted: one date as it is beside a shifted one of
// the same stay tells the shift, and with it all dates of the patient.
func TestDeidentifyAttackKeptBesideShifted(t *testing.T) {
	ctx := context.Background()
	domain := open(t, newRing(t, study), study)
	type stay struct {
		ID       string    `phi:"subject"`
		Admitted time.Time `phi:"date"`
		Left     string    `phi:"date"`
		Scanned  time.Time `phi:"clinical"`
		Entered  time.Time `phi:"clear"`
		Code     string    `phi:"clinical"`
	}
	for name, fits := range map[string]bool{"Left": false, "Scanned": false, "Entered": false, "Code": true} {
		p := Policy{At: tableDay(), Within: 365, Fields: map[string]Form{"Admitted": FormShifted, name: FormKeep}}
		x, err := NewDeidentifier[stay](ctx, domain, p)
		require.Equal(t, fits, err == nil, name)
		if !fits {
			require.ErrorIs(t, err, ErrPolicy)
			require.ErrorContains(t, err, name)
			require.Nil(t, x)
		}
		p.Fields["Admitted"] = FormYear
		_, err = NewDeidentifier[stay](ctx, domain, p)
		require.NoError(t, err, name)
	}
}

// TestDeidentifyAttackSharedName: a form for a name that a sealed and a clear field
// share would be for both.
func TestDeidentifyAttackSharedName(t *testing.T) {
	p := SafeHarbor(tableDay())
	p.Fields = map[string]Form{"Code": FormKeep}
	_, err := NewDeidentifier[struct {
		ID   string `phi:"subject"`
		HIV  string `phi:"sensitive,name=Code"`
		Code string `phi:"clear"`
	}](context.Background(), open(t, newRing(t, study), study), p)
	require.ErrorIs(t, err, ErrPolicy)
	require.ErrorContains(t, err, "2 fields")
}

// TestDeidentifyAttackStaleNull: what is left in a sql.Null that is not valid is NULL
// in every form.
func TestDeidentifyAttackStaleNull(t *testing.T) {
	p := SafeHarbor(tableDay())
	p.Within = 30
	for _, form := range []Form{FormYear, FormMonth, FormShifted, FormKeep} {
		p.Fields = map[string]Form{"Phone": FormToken, "Admitted": form}
		src := sampleChart()
		src.Phone.Valid, src.Admitted.Valid = false, false
		got := rowOf(t, p, src)
		require.Contains(t, got, "Phone")
		require.Nil(t, got["Phone"])
		require.Contains(t, got, "Admitted")
		require.Nil(t, got["Admitted"], form)
	}
}

// TestDeidentifyAttackLookupDomain: a table in a lookup domain would have the tokens
// of the database's own columns, and whoever has both joins them.
func TestDeidentifyAttackLookupDomain(t *testing.T) {
	ctx := context.Background()
	name := LookupDomain("patient", "NIK")
	x, err := NewDeidentifier[chart](ctx, open(t, newRing(t, name), name), SafeHarbor(tableDay()))
	require.ErrorIs(t, err, ErrNoDomain)
	require.ErrorContains(t, err, name)
	require.Nil(t, x)
}

// TestDeidentifyUnfit: what cannot take its form is neither given as it is nor
// shown as absent, and does not stop the table.
func TestDeidentifyUnfit(t *testing.T) {
	p := Strict(tableDay())
	p.Within = 30
	p.Fields = map[string]Form{"Phone": FormToken, "BornText": FormShifted}
	half := "1984-03"
	got := rowOf(t, p, &chart{
		ID: "P-1", Phone: sql.NullString{String: "unknown", Valid: true}, Region: "Jakarta", BornText: &half, Born: tableDay().AddDate(0, 0, 1),
	})
	for _, name := range []string{"Phone", "Region", "BornText", "Born"} {
		require.Equal(t, Unfit{}, got[name], name)
	}
	require.Equal(t, "(unfit)", fmt.Sprint(got["Phone"]))
	for _, form := range []Form{FormYear, FormMonth, FormShifted} {
		p.Fields["Born"], p.Fields["BornText"], p.Fields["Left"] = form, form, FormYear
		tomorrow, next := tableDay().AddDate(0, 0, 1), "2026-08"
		got := rowOf(t, p, &chart{ID: "P-1", Born: tomorrow, BornText: &next, Left: &tomorrow})
		require.Equal(t, []any{Unfit{}, Unfit{}, "2026"}, []any{got["Born"], got["BornText"], got["Left"]}, "nobody is born tomorrow; an appointment is")
	}
	delete(p.Fields, "Born")
	p.Fields["BornText"] = FormAgeBand
	for text, want := range map[string]any{
		"1984-03": "40-49", "1984": "40-49", "1986": Unfit{}, "1986-07": Unfit{}, "1986-06": "40-49", "1930": "90+", "2026": "0-9",
		"2026-07": "0-9", "2026-08": Unfit{}, "2027": Unfit{}, "03/1984": Unfit{}, "1984-13": Unfit{}, "1984-02-30": Unfit{}, "0000": Unfit{}, "198": Unfit{},
	} {
		src := &chart{ID: "P-1", BornText: &text}
		require.Equal(t, want, rowOf(t, p, src)["BornText"], text)
	}
}

// TestUnlinkableShiftedTable: dates of a patient, a birth date among them, keep
// their intervals in a table; the oldest have none.
func TestUnlinkableShiftedTable(t *testing.T) {
	p := SafeHarbor(tableDay())
	p.Within = 200
	p.Kinds["date"], p.Kinds["birthdate"] = FormShifted, FormShifted
	src := sampleChart()
	text := "2026-06-01"
	src.BornText = &text
	got := rowOf(t, p, src)
	admitted, left, born := got["Admitted"].(time.Time), got["Left"].(time.Time), got["Born"].(time.Time)
	require.Equal(t, src.Left.Sub(src.Admitted.V), left.Sub(admitted))
	require.Equal(t, src.Admitted.V.Sub(src.Born), admitted.Sub(born))
	require.Equal(t, admitted.Format(time.DateOnly), got["BornText"])
	require.NotEqual(t, src.Admitted.V, admitted)
	src.Born = time.Date(1936, 1, 1, 0, 0, 0, 0, time.UTC)
	require.Equal(t, "1936 or earlier", rowOf(t, p, src)["Born"])
}

// TestDeidentifyShiftIsThePrimarys: of two readable versions a table's dates are
// moved by the one that its pseudonyms are of, which is what DateShift says.
func TestDeidentifyShiftIsThePrimarys(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	domain := open(t, ring, study)
	_, err := ring.Rotate(ctx, study)
	require.NoError(t, err)
	p := SafeHarbor(tableDay())
	p.Kinds["date"], p.Within = FormShifted, 3650
	x, err := NewDeidentifier[chart](ctx, domain, p)
	require.NoError(t, err)
	src := sampleChart()
	row, err := x.Row(ctx, src)
	require.NoError(t, err)
	shift, err := domain.DateShift(ctx, src.ID, p.Within)
	require.NoError(t, err)
	want, err := shift.Apply(*src.Left)
	require.NoError(t, err)
	require.Contains(t, row, want)
	pseudonym, err := ParseToken(row[0].(string))
	require.NoError(t, err)
	require.Equal(t, uint32(2), pseudonym.Version())
}

// TestUnlinkableShiftedPastTheOldest: who is just too young for the class of the
// oldest must not be moved to a year that only that class could have. It would tell
// that the shift goes back, and nearly how far.
func TestUnlinkableShiftedPastTheOldest(t *testing.T) {
	p := SafeHarbor(tableDay())
	p.Within = 30
	p.Kinds["date"], p.Kinds["birthdate"] = FormShifted, FormShifted
	ctx := context.Background()
	x, err := NewDeidentifier[chart](ctx, open(t, newRing(t, study), study), p)
	require.NoError(t, err)
	text, seen := "1937-01-02", map[bool]int{}
	for i := range 40 {
		src := chart{ID: fmt.Sprint("P-", i), Born: time.Date(1937, 1, 2, 0, 0, 0, 0, time.UTC), BornText: &text}
		row, err := x.Row(ctx, &src)
		require.NoError(t, err)
		require.Equal(t, []string{"Born", "BornText"}, x.Columns()[1:3])
		shifted, isTime := row[1].(time.Time)
		seen[isTime]++
		if isTime {
			require.Equal(t, 1937, shifted.Year())
			require.Equal(t, shifted.Format(time.DateOnly), row[2])
			continue
		}
		require.Equal(t, []any{"1936 or earlier", "1936 or earlier"}, row[1:3])
	}
	require.NotZero(t, seen[true])
	require.NotZero(t, seen[false])
}

// TestDeidentifyLeak: of what a preset drops or coarsens nothing is in the rows,
// in their text, or in an error.
func TestDeidentifyLeak(t *testing.T) {
	src := sampleChart()
	for _, policy := range []Policy{SafeHarbor(tableDay()), Strict(tableDay())} {
		text := fmt.Sprintf("%v %#v", rowOf(t, policy, src), rowOf(t, policy, src))
		for _, secret := range []string{
			"P-1", "V-1", sandboxNIK, motherNIK, "rdianto", "0000", "Jalan", "03-10", "1984-03", "08:30", "17:05", "3171", "31.71", "reactive", "letter", "note", "Clinic A",
		} {
			require.NotContains(t, text, secret)
		}
	}
	ctx := context.Background()
	domain := open(t, newRing(t, study), study)
	p := SafeHarbor(tableDay())
	p.Kinds["date"], p.Within = FormShifted, 365
	x, err := NewDeidentifier[chart](ctx, domain, p)
	require.NoError(t, err)
	_, err = x.Row(ctx, src)
	require.NoError(t, err)
	plan := domain.plan.Load()
	var needles []string
	for _, parts := range [][]string{{shiftLabel, study}, {tokenLabel, study, "subject", "1"}} {
		key, err := plan.keyset.Derive(x.version, parts[0], parts[1:]...)
		require.NoError(t, err)
		needles = append(needles, spellings(secret.Expose(key))...)
	}
	for _, v := range []any{x, *x, struct{ x *Deidentifier[chart] }{x}, []Deidentifier[chart]{*x}} {
		for _, out := range printed(v) {
			for _, needle := range needles {
				require.NotContains(t, out, needle)
			}
		}
	}
	require.Equal(t, "pseudo.Deidentifier("+study+")", fmt.Sprintf("%+v", x))
	_, err = x.Row(ctx, &chart{ID: strings.Repeat(sandboxNIK, 20)})
	requireNoValue(t, err, sandboxNIK)
}

func TestDeidentifyErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		ring := newRing(t, study)
		domain := open(t, ring, study)
		var none *Deidentifier[chart]
		for _, x := range []*Deidentifier[chart]{none, {}} {
			_, err := x.Row(ctx, sampleChart())
			require.ErrorIs(t, err, ErrNoDomain)
			require.Nil(t, x.Columns())
			require.Equal(t, "pseudo.Deidentifier()", fmt.Sprint(x))
		}
		_, err := NewDeidentifier[chart](ctx, nil, SafeHarbor(tableDay()))
		require.ErrorIs(t, err, ErrNoDomain)
		_, err = NewDeidentifier[int](ctx, domain, SafeHarbor(tableDay()))
		require.ErrorAs(t, err, new(*phi.TagError))
		_, err = NewDeidentifier[struct {
			ID        string `phi:"subject"`
			Pseudonym string `phi:"sex,name=pseudonym"`
		}](ctx, domain, SafeHarbor(tableDay()))
		require.ErrorIs(t, err, ErrPolicy)

		x, err := NewDeidentifier[chart](ctx, domain, SafeHarbor(tableDay()))
		require.NoError(t, err)
		_, err = x.Row(ctx, nil)
		require.ErrorIs(t, err, ErrField)
		_, err = x.Row(ctx, &chart{})
		require.ErrorAs(t, err, new(*FormatError))

		first, err := x.Row(ctx, sampleChart())
		require.NoError(t, err)
		token, err := domain.Token(ctx, Subject, "P-1")
		require.NoError(t, err)
		require.Equal(t, token.String(), first[0])
		_, err = ring.Rotate(ctx, study)
		require.NoError(t, err)
		again, err := x.Row(ctx, sampleChart())
		require.NoError(t, err)
		require.Equal(t, first, again, "one table, one key version")
		time.Sleep(90 * time.Second)
		require.NoError(t, ring.SetState(ctx, study, 1, keyring.Suspended))
		row, err := x.Row(ctx, sampleChart())
		require.ErrorIs(t, err, keyring.ErrUnknownVersion)
		require.Nil(t, row)
		require.NoError(t, ring.Close())
		_, err = x.Row(ctx, sampleChart())
		require.ErrorIs(t, err, keyring.ErrClosed)
	})
}

// TestDeidentifyPolicyIsCopied: a policy that is changed afterwards changes no
// table.
func TestDeidentifyPolicyIsCopied(t *testing.T) {
	ctx := context.Background()
	p := SafeHarbor(tableDay())
	x, err := NewDeidentifier[chart](ctx, open(t, newRing(t, study), study), p)
	require.NoError(t, err)
	before, err := x.Row(ctx, sampleChart())
	require.NoError(t, err)
	p.Kinds["birthdate"], p.Fields = FormKeep, map[string]Form{"Serology": FormKeep}
	after, err := x.Row(ctx, sampleChart())
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestRegionCode(t *testing.T) {
	for _, c := range []struct{ in, province, regency string }{
		{"31", "31", "31"}, {"3171", "31", "3171"}, {"31.71", "31", "3171"}, {"317101", "31", "3171"}, {"31.71.01", "31", "3171"},
		{"3171011001", "31", "3171"}, {"31.71.01.1001", "31", "3171"},
	} {
		province, err := truncateRegion(c.in, 2)
		require.NoError(t, err)
		regency, err := truncateRegion(c.in, 4)
		require.NoError(t, err)
		require.Equal(t, []string{c.province, c.regency}, []string{province, regency}, c.in)
	}
	for _, bad := range []string{"", "3", "317", "31710", "3.171", "31..71", "31.71.", ".31", "31.7101", "317.1", "31 71", "3171０１", "Jakarta", "31.71.01.100.1", "31710110011"} {
		got, err := truncateRegion(bad, 2)
		var format *FormatError
		require.ErrorAs(t, err, &format, bad)
		require.Empty(t, got)
		requireNoValue(t, err, bad)
	}
}

// FuzzGeneralise: what is read of a date or a region is a prefix of what was
// written, invisible characters around it aside, and an error has none of it.
func FuzzGeneralise(f *testing.F) {
	for _, s := range []string{"1984", "1984-03", "1984-03-10", "1984-02-30", "0000", "31.71.01.1001", "3171", "", "31.71.", " 01", "\u200b1984-03\ufeff", sandboxNIK} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		seen := strings.TrimFunc(s, invisible)
		if d, err := parseDate(s); err != nil {
			requireNoValue(t, err, s)
		} else {
			require.True(t, strings.HasPrefix(seen, d.month7()), "%q", s)
			require.False(t, d.last().Before(d.first()))
			if _, err := d.ageBand(tableDay(), 10); err != nil {
				requireNoValue(t, err, s)
			}
		}
		if code, err := truncateRegion(s, 4); err != nil {
			requireNoValue(t, err, s)
		} else {
			require.True(t, strings.HasPrefix(strings.ReplaceAll(seen, ".", ""), code), "%q", s)
			again, err := truncateRegion(code, 4)
			require.NoError(t, err)
			require.Equal(t, code, again)
		}
	})
}
