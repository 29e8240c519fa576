package pseudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/pseudo/region"
)

// TestNIKSandboxPatients: the government's own test patients, whose numbers
// disagree with their dates of birth, are accepted, with that warning.
func TestNIKSandboxPatients(t *testing.T) {
	file, err := os.ReadFile("testdata/satusehat-sandbox.json")
	require.NoError(t, err)
	var sandbox struct {
		Patients []struct{ NIK, Name, BirthDate string }
	}
	require.NoError(t, json.Unmarshal(file, &sandbox))
	require.Len(t, sandbox.Patients, 10)
	for _, p := range sandbox.Patients {
		born, err := time.Parse(time.DateOnly, p.BirthDate)
		require.NoError(t, err)
		warnings, err := InspectNIK(p.NIK, born)
		require.NoError(t, err)
		require.Equal(t, []Warning{WarnBorn}, warnings, p.NIK)
		_, err = Name.Normalize(p.Name)
		require.NoError(t, err)
	}
}

func TestInspectNIK(t *testing.T) {
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		require.NoError(t, err)
		return d
	}
	var unknown time.Time
	for _, c := range []struct {
		nik  string
		born time.Time
		want []Warning
	}{
		{"3171010312900001", day("1990-12-03"), nil},
		{"3171-0103-1290-0001", day("1990-12-03"), nil},
		{"3171014312900001", day("1990-12-03"), nil}, // a woman
		{"3171017112900001", day("1990-12-31"), nil}, // a woman, on the 31st
		{"3171012902000001", day("2000-02-29"), nil},
		{"3171012902000001", unknown, nil},
		{"3171010312900001", time.Date(1990, 12, 3, 0, 30, 0, 0, time.FixedZone("WIB", 7*3600)), nil},
		{"3171010312900001", day("1990-12-04"), []Warning{WarnBorn}},
		{"3171010312900001", day("1990-11-03"), []Warning{WarnBorn}},
		{"3171010312900001", day("1991-12-03"), []Warning{WarnBorn}},
		{"3171010312900001", day("1890-12-03"), nil}, // the century is not in the number
		{"3171013002000001", unknown, []Warning{WarnDay}},
		{"3171012902010001", unknown, []Warning{WarnDay}},
		{"3171017002040001", unknown, []Warning{WarnDay}},
		{"3171013104900001", unknown, []Warning{WarnDay}},
		{"3171013006900001", unknown, nil},
		{"3171010312900000", unknown, []Warning{WarnSerial}},
		{"9101010312900001", unknown, nil},                   // Merauke, until 2022
		{"9301010312900001", unknown, nil},                   // Merauke, since
		{"6473010312900001", unknown, nil},                   // Tarakan, until 2012
		{"3221010312900001", unknown, []Warning{WarnRegion}}, // the province has no such regency
		{"0071010312900001", unknown, []Warning{WarnRegion}},
		{"9771010312900001", unknown, []Warning{WarnRegion}},
		{"3100010312900001", unknown, []Warning{WarnRegion}},
		{"3171000312900001", unknown, []Warning{WarnRegion}},
		{"5471010312900001", unknown, nil}, // East Timor
		{"5400010312900001", unknown, []Warning{WarnRegion}},
		{"0000003002990000", day("1990-12-04"), []Warning{WarnRegion, WarnDay, WarnBorn, WarnSerial}},
	} {
		got, err := InspectNIK(c.nik, c.born)
		require.NoError(t, err)
		require.Equal(t, c.want, got, c.nik)
	}
	_, err := InspectNIK("3171010012900001", unknown)
	var format *FormatError
	require.True(t, errors.As(err, &format))
	require.Equal(t, ruleNIKDay, format.Rule)
}

// TestNIKEveryRegion: a number of every regency and city that a list has, and
// so of every province, has no warning; one of any other code has one, but for
// East Timor and the codes that a province lost.
func TestNIKEveryRegion(t *testing.T) {
	provinces, lost := map[string]bool{}, map[string]bool{}
	for n := range 10_000 {
		code := fmt.Sprintf("%04d", n)
		_, listed := region.Find(code)
		got, err := InspectNIK(code+"010312900001", time.Time{})
		require.NoError(t, err)
		switch {
		case listed:
			require.Empty(t, got, code)
			provinces[code[:2]] = true
		case got == nil && code[:2] != "54":
			lost[code] = true
		case code[:2] != "54":
			require.Equal(t, []Warning{WarnRegion}, got, code)
		}
	}
	require.Len(t, provinces, 38)
	for code := range provinces {
		_, ok := region.Find(code)
		require.True(t, ok, code)
	}
	require.Equal(t, gaps(provinces), lost)
}

// gaps returns the codes that all lists leave out between two that they have,
// regencies (01 to 69) and cities (71 to 99) apart.
func gaps(provinces map[string]bool) map[string]bool {
	missing := map[string]bool{}
	for p := range provinces {
		for _, sequence := range [][2]int{{1, 69}, {71, 99}} {
			last := sequence[0] - 1
			for n := sequence[0]; n <= sequence[1]; n++ {
				if _, ok := region.Find(fmt.Sprintf("%s%02d", p, n)); !ok {
					continue
				}
				for between := last + 1; between < n; between++ {
					missing[fmt.Sprintf("%s%02d", p, between)] = true
				}
				last = n
			}
		}
	}
	return missing
}

// TestNIKWomenAndLeapDays: every day of every month is accepted of a man and of
// a woman, 29 February and the 31st among them, and warned of where the month
// has no such day.
func TestNIKWomenAndLeapDays(t *testing.T) {
	days := 0
	for year := range 100 {
		if testing.Short() && year%4 != 0 && year%10 != 1 {
			continue // still every leap year
		}
		for month := 1; month <= 12; month++ {
			for day := 1; day <= 31; day++ {
				century := 1900
				if year < 30 {
					century = 2000
				}
				born := time.Date(century+year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
				exists := born.Day() == day
				for _, add := range []int{0, 40} {
					nik := fmt.Sprintf("317101%02d%02d%02d0001", day+add, month, year)
					got, err := InspectNIK(nik, time.Time{})
					if err != nil || exists != (len(got) == 0) || !exists && (len(got) != 1 || got[0] != WarnDay) {
						t.Fatalf("%s: %v, %v", nik, got, err)
					}
					if !exists {
						continue
					}
					days++
					if got, err = InspectNIK(nik, born); err != nil || len(got) != 0 {
						t.Fatalf("%s of %v: %v, %v", nik, born, got, err)
					}
				}
			}
		}
	}
	if !testing.Short() {
		require.Equal(t, 2*36525, days)
	}
	for _, nik := range []string{"3171017112900001", "3171012902000001", "3171016902000001"} {
		normal, err := NIK.Normalize(nik)
		require.NoError(t, err)
		require.Equal(t, nik, normal)
	}
}
