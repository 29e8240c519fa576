package pseudo

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sandboxNIK is a number of the government's sandbox; see testdata.
const sandboxNIK = "9271060312000001"

// TestNormalize states what each kind accepts and makes of it.
func TestNormalize(t *testing.T) {
	for _, c := range []struct {
		kind     Kind
		in, want string
	}{
		{NIK, sandboxNIK, sandboxNIK},
		{NIK, " 9271 0603 1200 0001\n", sandboxNIK},
		{NIK, "92.71.06.031200.0001", sandboxNIK},
		{NIK, "927106-031200-0001", sandboxNIK},
		{NIK, "\ufeff927106\u2013031200\u00a00001\u200e", sandboxNIK}, // from a spreadsheet
		{NIK, "9271067112000001", "9271067112000001"},                 // a woman, born on the 31st
		{NIK, "9271064112000001", "9271064112000001"},                 // a woman, born on the 1st
		{NIK, "9271062902000001", "9271062902000001"},                 // 29 February 2000
		{NIK, "9271063002000001", "9271063002000001"},                 // 30 February: a warning at most
		{NIK, "0000003112990000", "0000003112990000"},                 // no such region, serial 0000

		{Phone, "081000000001", "+6281000000001"},
		{Phone, "0810-0000-0001", "+6281000000001"},
		{Phone, "0810.0000.0001", "+6281000000001"},
		{Phone, "(0810) 0000 0001", "+6281000000001"},
		{Phone, "6281000000001", "+6281000000001"},
		{Phone, "62 810-0000-0001", "+6281000000001"},
		{Phone, "+62 810 0000 0001", "+6281000000001"},
		{Phone, "(+62) 810-0000-0001", "+6281000000001"},
		{Phone, "+62 (0)810 0000 0001", "+6281000000001"},
		{Phone, "\u202a+62 810\u20110000\u20110001\u202c", "+6281000000001"}, // from an address book
		{Phone, "0811000000", "+62811000000"},                                // 9 digits, the shortest
		{Phone, "0899000000001", "+62899000000001"},                          // 12 digits, the longest
		{Phone, "(021) 5550-0001", "+622155500001"},
		{Phone, "0651 55001", "+6265155001"},
		{Phone, "+62 21 5550 0001", "+622155500001"},
		{Phone, "+65 6555 0001", "+6565550001"},
		{Phone, "+1 (202) 555-0100", "+12025550100"},
		{Phone, "+670 7700 0001", "+67077000001"},
		{Phone, "+39 06 5550 0001", "+390655500001"},
		{Phone, "+12345678", "+12345678"},
		{Phone, "+123456789012345", "+123456789012345"},

		{Subject, "P02478375538", "P02478375538"},
		{Subject, " Kept as it is ", " Kept as it is "},
		{Subject, strings.Repeat("x", 255), strings.Repeat("x", 255)},
	} {
		got, err := c.kind.Normalize(c.in)
		require.NoError(t, err, "%s %q", c.kind, c.in)
		require.Equal(t, c.want, got, "%s %q", c.kind, c.in)
		again, err := c.kind.Normalize(got)
		require.NoError(t, err)
		require.Equal(t, got, again, "%s %q is not its own canonical form", c.kind, c.in)
	}
}

// TestNormalizeRefuses breaks each rule: the error names it, and no part of
// the value.
func TestNormalizeRefuses(t *testing.T) {
	for _, c := range []struct {
		kind     Kind
		in, rule string
	}{
		{NIK, "", ruleNIKDigits},
		{NIK, "   ", ruleNIKDigits},
		{NIK, "927106031200001", ruleNIKDigits},
		{NIK, "92710603120000012", ruleNIKDigits},
		{NIK, "-9271060312000001", ruleNIKDigits},
		{NIK, "9271060312000001-", ruleNIKDigits},
		{NIK, "+9271060312000001", ruleNIKDigits},
		{NIK, "927106031200000O", ruleNIKDigits},
		{NIK, "９２７１０６０３１２０００００１", ruleNIKDigits}, // fullwidth digits
		{NIK, "٩٢٧١٠٦٠٣١٢٠٠٠٠٠١", ruleNIKDigits}, // Arabic-Indic digits
		{NIK, "9271/0603/1200/0001", ruleNIKDigits},
		{NIK, "9271060312000001\x00", ruleNIKDigits},
		{NIK, "9271060312000001\xff", ruleNIKDigits},
		{NIK, "9271060012000001", ruleNIKDay},
		{NIK, "9271063212000001", ruleNIKDay},
		{NIK, "9271064012000001", ruleNIKDay},
		{NIK, "9271067212000001", ruleNIKDay},
		{NIK, "9271069912000001", ruleNIKDay},
		{NIK, "9271060300000001", ruleNIKMonth},
		{NIK, "9271060313000001", ruleNIKMonth},

		{Phone, "", rulePhoneText},
		{Phone, "+", rulePhoneText},
		{Phone, "not known", rulePhoneText},
		{Phone, "0810-0000-0001 ext 2", rulePhoneText},
		{Phone, "0810-0000-0001 / 0810-0000-0002", rulePhoneText},
		{Phone, "62+81000000001", rulePhoneText},
		{Phone, "++6281000000001", rulePhoneText},
		{Phone, "0810-0000-0001-", rulePhoneText},
		{Phone, "12345678901234567", rulePhoneText},
		{Phone, "０８１００００００００１", rulePhoneText},
		{Phone, "+1234567", rulePhoneWorld},
		{Phone, "+1234567890123456", rulePhoneWorld},
		{Phone, "+0812345678", rulePhoneWorld},
		{Phone, "+62", rulePhoneWorld},
		{Phone, "+44 (0)20 7946 0000", rulePhoneTrunk}, // elsewhere a 0 may be part of the number
		{Phone, "+(0)", rulePhoneTrunk},
		{Phone, "81000000001", rulePhonePrefix},   // who lost the 0 is not known
		{Phone, "2025550100", rulePhonePrefix},    // foreign, without its plus sign
		{Phone, "622155500001", rulePhonePrefix},  // may be foreign too
		{Phone, "0062810000001", rulePhonePrefix}, // 00: where the access code ends is not known
		{Phone, "00165655500", rulePhonePrefix},
		{Phone, "112", rulePhonePrefix},
		{Phone, "0", rulePhonePrefix},
		{Phone, "6285550100", rulePhoneLocal}, // ten digits: a number of area 628 abroad
		{Phone, "08110000", rulePhoneLocal},
		{Phone, "08990000000012", rulePhoneLocal},
		{Phone, "+6280123456789", rulePhoneLocal}, // service numbers
		{Phone, "08001234567", rulePhoneLocal},
		{Phone, "+62112", rulePhoneLocal},
		{Phone, "+62 00810000001", rulePhoneLocal},

		{Name, "", ruleNameSize},
		{Name, strings.Repeat("a", maxName+1), ruleNameSize},
		{Name, "Budi\xff", ruleUTF8},
		{Name, "   ", ruleNameEmpty},
		{Name, "dr. H.", ruleNameEmpty},
		{Name, "Ny.", ruleNameEmpty},
		{Name, ", S.Kep., Ns.", ruleNameEmpty},
		{Name, "By. Ny.", ruleNameEmpty},
		{Name, "12345", ruleNameEmpty},
		{Name, "'", ruleNameEmpty},
		{Name, "\u0301", ruleNameEmpty},

		{Subject, "", "want 1 to 255 bytes"},
		{Subject, strings.Repeat("x", 256), "want 1 to 255 bytes"},
		{Subject, "x\xff", ruleUTF8},
	} {
		got, err := c.kind.Normalize(c.in)
		require.Empty(t, got, "%s %q", c.kind, c.in)
		var format *FormatError
		require.ErrorAs(t, err, &format, "%s %q", c.kind, c.in)
		require.Equal(t, FormatError{c.kind, c.rule}, *format, "%s %q", c.kind, c.in)
		requireNoValue(t, err, c.in)
	}
}

func TestNormalizeUnknownKind(t *testing.T) {
	for _, k := range []Kind{"", "NIK", "bpjs", Kind(sandboxNIK)} {
		got, err := k.Normalize("x")
		require.Empty(t, got)
		require.ErrorIs(t, err, ErrUnknownKind)
		requireNoValue(t, err, sandboxNIK)
	}
}

// requireNoValue fails if an error contains five neighbouring characters of a
// value that are not in the fixed texts of this package.
func requireNoValue(t testing.TB, err error, value string) {
	t.Helper()
	if w, leaked := leaks(err.Error(), value); leaked {
		t.Errorf("error %q contains %q of the value", err, w)
	}
}

func leaks(text, value string) (window string, leaked bool) {
	const size = 5
	for i := 0; i+size <= len(value); i++ {
		if w := value[i : i+size]; strings.TrimSpace(w) != "" && strings.Contains(text, w) {
			return w, true
		}
	}
	return "", false
}

// TestSandboxPatients: the government's own test patients, whose numbers
// disagree with their dates of birth, are accepted, with that warning.
func TestSandboxPatients(t *testing.T) {
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
		{"0071010312900001", unknown, []Warning{WarnRegion}},
		{"9771010312900001", unknown, []Warning{WarnRegion}},
		{"3100010312900001", unknown, []Warning{WarnRegion}},
		{"3171000312900001", unknown, []Warning{WarnRegion}},
		{"5471010312900001", unknown, nil}, // East Timor
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
