package envelope

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/sqlite"
)

func anyRow(t testing.TB) Sealed {
	b, id, sections, _ := vectorInput(t)
	row, _ := refSeal(t, b, id, sections)
	return row
}

func TestSealedForms(t *testing.T) {
	row := anyRow(t)

	v, err := row.Value()
	require.NoError(t, err)
	var scanned Sealed
	require.NoError(t, scanned.Scan(v))
	require.Equal(t, row, scanned)
	driverOwns := append([]byte(nil), v.([]byte)...)
	require.NoError(t, scanned.Scan(driverOwns))
	first := driverOwns[0]
	driverOwns[0] = 0
	require.Equal(t, first, scanned[0], "a scanned row is a copy")
	driverOwns[0] = first

	text, err := row.MarshalText()
	require.NoError(t, err)
	require.Equal(t, base64.RawURLEncoding.EncodeToString(row), string(text))
	var parsed Sealed
	require.NoError(t, parsed.UnmarshalText(text))
	require.Equal(t, row, parsed)

	type doc struct{ A, B Sealed }
	b, err := json.Marshal(doc{A: row})
	require.NoError(t, err)
	require.Equal(t, `{"A":"`+string(text)+`","B":null}`, string(b))
	d := doc{B: row}
	require.NoError(t, json.Unmarshal(b, &d))
	require.Equal(t, row, d.A)
	require.Nil(t, d.B)
}

func TestSealedNull(t *testing.T) {
	var null Sealed
	v, err := null.Value()
	require.NoError(t, err)
	require.Nil(t, v)
	s := anyRow(t)
	require.NoError(t, s.Scan(nil))
	require.Nil(t, s)
	_, err = null.MarshalText()
	require.ErrorIs(t, err, ErrFormat)
}

// TestSealedStrict: no second spelling of a row, and no row from something else.
func TestSealedStrict(t *testing.T) {
	row := anyRow(t)
	text, err := row.MarshalText()
	require.NoError(t, err)
	for name, s := range map[string]string{
		"empty":         "",
		"line break":    string(text[:4]) + "\n" + string(text[4:]),
		"carriage":      string(text) + "\r\n",
		"space":         " " + string(text),
		"padding":       string(text) + "==",
		"one too many":  string(text) + "A",
		"one too few":   string(text[:len(text)-1]),
		"not base64url": "+" + string(text[1:]),
		"standard":      strings.ReplaceAll(base64.StdEncoding.EncodeToString(row), "=", "") + "/",
		"cut":           string(text[:40]),
		"other version": base64.RawURLEncoding.EncodeToString(append([]byte{0x12}, row[1:]...)),
	} {
		keep := Sealed{1}
		require.ErrorIs(t, keep.UnmarshalText([]byte(s)), ErrOpen, name)
		require.Equal(t, Sealed{1}, keep, name)
		quoted, err := json.Marshal(s)
		require.NoError(t, err)
		require.Error(t, json.Unmarshal(quoted, &keep), name)
		require.Error(t, keep.Scan([]byte(s)), name)
		require.Equal(t, Sealed{1}, keep, name)
	}
	for _, b := range []string{`{}`, `[17]`, `17`, `""`, `"`, `x`, `"` + string(text) + `\u0041"`, ` "` + string(text) + `"`} {
		var s Sealed
		require.Error(t, s.UnmarshalJSON([]byte(b)), b)
	}
	for _, v := range []any{string(row), int64(1), 1.5, true, []byte{}, []byte("x")} {
		var s Sealed
		require.ErrorIs(t, s.Scan(v), ErrFormat)
	}
	for _, s := range []Sealed{{}, {0x11}, row[:len(row)-1]} {
		_, err := s.Value()
		require.ErrorIs(t, err, ErrFormat)
		_, err = s.MarshalJSON()
		require.ErrorIs(t, err, ErrFormat)
	}
	require.ErrorIs(t, new(Sealed).UnmarshalText(make([]byte, textEncoding().EncodedLen(maxRow)+1)), ErrFormat)
}

// TestSealedColumn stores a row in a real database and updates it only if
// nobody else has: the row is its own revision.
func TestSealedColumn(t *testing.T) {
	db, err := sqlite.Open(t.TempDir() + "/app.db")
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec("CREATE TABLE visits (id TEXT PRIMARY KEY, sealed BLOB, later BLOB)")
	require.NoError(t, err)
	row, other := anyRow(t), anyRow(t)
	other[1] ^= 1
	_, err = db.Exec("INSERT INTO visits VALUES ('v1', ?, ?)", row, Sealed(nil))
	require.NoError(t, err)
	var got, later Sealed
	require.NoError(t, db.QueryRow("SELECT sealed, later FROM visits").Scan(&got, &later))
	require.Equal(t, row, got)
	require.Nil(t, later)

	update := func(to, from Sealed) int64 {
		r, err := db.Exec("UPDATE visits SET sealed = ? WHERE id = 'v1' AND sealed = ?", to, from)
		require.NoError(t, err)
		n, err := r.RowsAffected()
		require.NoError(t, err)
		return n
	}
	require.EqualValues(t, 1, update(other, row))
	require.EqualValues(t, 0, update(row, row), "the second of two writers")

	_, err = db.Exec("UPDATE visits SET sealed = 'text'")
	require.NoError(t, err)
	err = db.QueryRow("SELECT sealed FROM visits").Scan(&got)
	require.ErrorIs(t, err, ErrFormat)
}

func TestInspect(t *testing.T) {
	h, err := Inspect(anyRow(t))
	require.NoError(t, err)
	_, id, _, _ := vectorInput(t)
	require.Equal(t, Header{Version: 1, SealID: id, Sections: []Section{
		{"clinical", 1, 192}, {"identity", 2, 128},
	}}, h)
	_, err = Inspect(nil)
	require.ErrorIs(t, err, ErrFormat)
}
