package pseudo

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/phi"
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

		{MotherNIK, "9271 0603 1200 0001", sandboxNIK},
		{ContactPhone, "0810-0000-0001", "+6281000000001"},

		{BPJS, "0001234567890", "0001234567890"},
		{BPJS, "0001-2345-67890", "0001234567890"},
		{BPJS, " 0000000000000\n", "0000000000000"}, // opaque: no number is known not to exist

		{KK, "3171010312200001", "3171010312200001"},
		{KK, "3171.0103.1220.0001", "3171010312200001"},
		{KK, "3171019912200001", "3171019912200001"}, // no day is known not to occur

		{Email, "budi@example.id", "budi@example.id"},
		{Email, "Budi.Santoso@Example.CO.ID", "budi.santoso@example.co.id"},
		{Email, "\ufeff budi@example.id \u200b", "budi@example.id"},
		{Email, "b@a.id", "b@a.id"},
		{Email, "budi+klinik@example.id", "budi+klinik@example.id"}, // another mailbox, except at some providers
		{Email, "b.u.d.i@example.id", "b.u.d.i@example.id"},
		{Email, "!#$%&'*+-/=?^_`{|}~@example.id", "!#$%&'*+-/=?^_`{|}~@example.id"},
		{Email, "budi@xn--mnchen-3ya.example", "budi@xn--mnchen-3ya.example"},
		{Email, "budi@1.2.x3", "budi@1.2.x3"},
		{Email, strings.Repeat("a", 64) + "@" + strings.Repeat("b", 63) + ".id", strings.Repeat("a", 64) + "@" + strings.Repeat("b", 63) + ".id"},

		{MRN, "3171012|001234", "3171012|001234"},
		{MRN, "3171012|00-12-34", "3171012|001234"},
		{MRN, "3171012|00.12.34", "3171012|001234"},
		{MRN, " 3171012 | 00 12 34 ", "3171012|001234"},
		{MRN, "3171012|00\u201112\u201134\u200e", "3171012|001234"},
		{MRN, "3171012|123-456", "3171012|123456"},
		{MRN, "3171012|1234", "3171012|1234"}, // not 001234: whether zeros count is the facility's to know
		{MRN, "3171012|rm-001234", "3171012|RM-001234"},
		{MRN, "3171012|RM 001234", "3171012|RM-001234"},
		{MRN, "3171012|RM\u200b001234", "3171012|RM001234"},
		{MRN, "3171012|1-2-3-4", "3171012|1-2-3-4"},
		{MRN, "3171012|1234-5678", "3171012|1234-5678"},
		{MRN, "3171012|12-345", "3171012|12-345"},
		{MRN, "3171012|ab-12", "3171012|AB-12"},
		{MRN, "3171012|RM/2020/123", "3171012|RM-2020-123"},
		{MRN, "3171012|2020-1-23", "3171012|2020-1-23"}, // and not 2020-12-3
		{MRN, "3171012|2020-12-3", "3171012|2020-12-3"},
		{MRN, "https://rs.example/mrn|7", "https://rs.example/mrn|7"},
		{MRN, "rs-A|7", "rs-A|7"},

		{Passport, "IDN|X1234567", "IDN|X1234567"},
		{Passport, "idn | x 123 4567", "IDN|X1234567"},
		{Passport, "IDN|X1234567<", "IDN|X1234567"},
		{Passport, "D|C01X00T47", "D|C01X00T47"},
		{Passport, "D<<|C01X00T47", "D|C01X00T47"},
		{Passport, "DEU|C01X00T47", "D|C01X00T47"},
		{Passport, "UTO|L898902C3", "UTO|L898902C3"}, // the specimen of ICAO Doc 9303
		{Passport, "XXA|12345", "XXA|12345"},

		{Date, "1990", "1990"},
		{Date, "1990-12", "1990-12"},
		{Date, "1990-12-03", "1990-12-03"},
		{Date, " 2000-02-29\n", "2000-02-29"},
		{Date, "0001-01-01", "0001-01-01"},
		{Date, "9999", "9999"},

		{Region, "31", "31"},
		{Region, "3171", "3171"},
		{Region, "31.71", "3171"},
		{Region, "31.71.01", "317101"},
		{Region, "31.71.01.1001", "3171011001"},
		{Region, " 3171011001 ", "3171011001"},
		{Region, "9999", "9999"}, // that no list has it is no reason

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

		{MotherNIK, "9271060012000001", ruleNIKDay},
		{ContactPhone, "81000000001", rulePhonePrefix},

		{BPJS, "", ruleBPJS},
		{BPJS, "123456789012", ruleBPJS},
		{BPJS, "12345678901234", ruleBPJS},
		{BPJS, "000123456789O", ruleBPJS},
		{BPJS, "０００１２３４５６７８９０", ruleBPJS},

		{KK, "", ruleKK},
		{KK, "317101031220001", ruleKK},
		{KK, "31710103122000012", ruleKK},
		{KK, "3171/0103/1220/0001", ruleKK},

		{Email, strings.Repeat("a", 64) + "@" + strings.Repeat("b.", 94) + "id", ruleEmailSize},
		{Email, "", ruleEmailShape},
		{Email, "budi", ruleEmailShape},
		{Email, "budi@klinik@example.id", ruleEmailShape},
		{Email, "a@example.id,b@example.id", ruleEmailShape},
		{Email, "Budi <budi@example.id>", ruleEmailLocal},
		{Email, "mailto:budi@example.id", ruleEmailLocal},
		{Email, "@example.id", ruleEmailLocal},
		{Email, ".budi@example.id", ruleEmailLocal},
		{Email, "budi.@example.id", ruleEmailLocal},
		{Email, "bu..di@example.id", ruleEmailLocal},
		{Email, `"budi santoso"@example.id`, ruleEmailLocal},
		{Email, "budi santoso@example.id", ruleEmailLocal},
		{Email, "búdi@example.id", ruleEmailLocal},
		{Email, "bu\u0131di@example.id", ruleEmailLocal},
		{Email, "bu\u200bdi@example.id", ruleEmailLocal},
		{Email, strings.Repeat("a", 65) + "@example.id", ruleEmailLocal},
		{Email, "budi@", ruleEmailDomain},
		{Email, "budi@localhost", ruleEmailDomain},
		{Email, "budi@example.id.", ruleEmailDomain},
		{Email, "budi@example..id", ruleEmailDomain},
		{Email, "budi@-example.id", ruleEmailDomain},
		{Email, "budi@example-.id", ruleEmailDomain},
		{Email, "budi@exa_mple.id", ruleEmailDomain},
		{Email, "budi@192.168.0.1", ruleEmailDomain},
		{Email, "budi@[192.168.0.1]", ruleEmailDomain},
		{Email, "budi@münchen.example", ruleEmailDomain},
		{Email, "budi@" + strings.Repeat("b", 64) + ".id", ruleEmailDomain},

		{MRN, "", ruleMRNFacility},
		{MRN, "001234", ruleMRNFacility}, // whose? every facility has one
		{MRN, "|001234", ruleMRNFacility},
		{MRN, " |001234", ruleMRNFacility},
		{MRN, "RS A|001234", ruleMRNFacility},
		{MRN, "RSÉ|001234", ruleMRNFacility},
		{MRN, strings.Repeat("x", 129) + "|001234", ruleMRNFacility},
		{MRN, "3171012|", ruleMRNNumber},
		{MRN, "3171012|-1234", ruleMRNNumber},
		{MRN, "3171012|1234-", ruleMRNNumber},
		{MRN, "3171012|12|34", ruleMRNNumber},
		{MRN, "3171012|12_34", ruleMRNNumber},
		{MRN, "3171012|１２３４", ruleMRNNumber},
		{MRN, "3171012|ß", ruleMRNNumber},
		{MRN, "3171012|" + strings.Repeat("1", 33), ruleMRNNumber},
		{MRN, "3171012|" + strings.Repeat("1", 1000), ruleMRNNumber},

		{Passport, "", rulePassportState},
		{Passport, "X1234567", rulePassportState},
		{Passport, "|X1234567", rulePassportState},
		{Passport, "ID|X1234567", rulePassportState}, // ISO's two letters
		{Passport, "I1N|X1234567", rulePassportState},
		{Passport, "İDN|X1234567", rulePassportState},
		{Passport, "IDN|", rulePassportNumber},
		{Passport, "IDN|X123", rulePassportNumber},
		{Passport, "IDN|X123456789", rulePassportNumber}, // with its check digit
		{Passport, "IDN|ABCDEFGH", rulePassportNumber},
		{Passport, "IDN|X1234.567/8", rulePassportNumber},
		{Passport, "IDN|X1234567|8", rulePassportNumber},
		{Passport, "IDN|Х1234567", rulePassportNumber}, // a Cyrillic Х

		{Date, "", ruleDate},
		{Date, "90", ruleDate},
		{Date, "0000", ruleDate},
		{Date, "19901", ruleDate},
		{Date, "1990-", ruleDate},
		{Date, "1990-13", ruleDate},
		{Date, "1990-00", ruleDate},
		{Date, "1990-1-3", ruleDate},
		{Date, "1990-02-30", ruleDate},
		{Date, "1900-02-29", ruleDate},
		{Date, "03-12-1990", ruleDate},
		{Date, "03/12/1990", ruleDate},
		{Date, "19901203", ruleDate},
		{Date, "1990-12-03T00:00:00Z", ruleDate},
		{Date, "１９９０", ruleDate},

		{Region, "", ruleRegion},
		{Region, "3", ruleRegion},
		{Region, "317", ruleRegion},
		{Region, "31710", ruleRegion},
		{Region, "31710110", ruleRegion},
		{Region, "31710110011", ruleRegion},
		{Region, "00", ruleRegion},
		{Region, "3100", ruleRegion},
		{Region, "31.71.00", ruleRegion},
		{Region, "31.71.01.0000", ruleRegion},
		{Region, "31.7101", ruleRegion},
		{Region, "3.171", ruleRegion},
		{Region, "31..71", ruleRegion},
		{Region, ".31", ruleRegion},
		{Region, "31.71.01.10.01", ruleRegion},
		{Region, "31 71", ruleRegion},
		{Region, "３１", ruleRegion},
		{Region, "ID-JK", ruleRegion},

		{Subject, "", ruleSubject},
		{Subject, strings.Repeat("x", 256), ruleSubject},
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
	for _, k := range []Kind{"", "NIK", "sex", "birthdate", Kind(sandboxNIK)} {
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

// leaks reports whether five bytes of the value stand in a text. What the
// package's own texts say counts for nothing: a fuzzer finds "want " as well.
func leaks(text, value string) (window string, leaked bool) {
	const size = 5
	for i := 0; i+size <= len(value); i++ {
		if w := value[i : i+size]; strings.TrimSpace(w) != "" && strings.Contains(text, w) && !strings.Contains(ownTexts(), w) {
			return w, true
		}
	}
	return "", false
}

// ownTexts are the string literals of the package's source, a line each.
var ownTexts = sync.OnceValue(func() string {
	var texts strings.Builder
	names, err := filepath.Glob("*.go")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			panic(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				fmt.Fprintln(&texts, lit.Value)
			}
			return true
		})
	}
	return texts.String()
})

// TestKindsOfThePlan: the struct tags allow a lookup where there are tokens and
// nowhere else, and what the tags call a kind is a kind here.
func TestKindsOfThePlan(t *testing.T) {
	plan := map[string]phi.Kind{}
	for _, k := range phi.Kinds() {
		plan[k.Name] = k
		r, known := Kind(k.Name).rule()
		require.Equal(t, k.Lookup, known && r.place != noToken, k.Name)
	}
	for place, kind := range all() {
		r, known := kind.rule()
		require.True(t, known, kind)
		require.Equal(t, place, r.place, kind)
		require.NotEmpty(t, r.version)
		require.ErrorContains(t, ErrUnknownKind, string(kind))
		require.True(t, plan[string(kind)].Lookup || kind == Subject, kind)
	}
	for _, kind := range []Kind{Date, Region} {
		require.Equal(t, "low entropy", plan[string(kind)].Why)
		require.ErrorContains(t, ErrUnknownKind, string(kind))
	}
}

// TestRelations: one number as the identifier of another person, or of a
// family, has no token in common with the patient's own in one domain.
func TestRelations(t *testing.T) {
	ctx := context.Background()
	d := open(t, newRing(t, study), study)
	for _, c := range []struct {
		value string
		kinds []Kind
	}{
		{sandboxNIK, []Kind{NIK, MotherNIK, KK, Subject}},
		{"+6281000000001", []Kind{Phone, ContactPhone, Subject}},
	} {
		seen := map[[macSize]byte]Kind{}
		for _, kind := range c.kinds {
			tok, err := d.Token(ctx, kind, c.value)
			require.NoError(t, err)
			require.Empty(t, seen[tok.mac], kind)
			seen[tok.mac] = kind
		}
	}
}

// TestLowEntropy: no verb makes a token of a date or a region, whatever the
// value, and a struct tag cannot ask for one.
func TestLowEntropy(t *testing.T) {
	ctx := context.Background()
	d := open(t, newRing(t, study), study)
	for kind, values := range map[Kind][]string{Date: {"1990-12-03", "1990", "", "nonsense"}, Region: {"3171", "", "nonsense"}} {
		for _, v := range values {
			tok, err := d.Token(ctx, kind, v)
			require.ErrorIs(t, err, ErrLowEntropy)
			require.True(t, tok.IsZero())
			tok, err = d.TokenAt(ctx, 1, kind, v)
			require.ErrorIs(t, err, ErrLowEntropy)
			require.True(t, tok.IsZero())
			found, err := d.Lookup(ctx, kind, v)
			require.ErrorIs(t, err, ErrLowEntropy)
			require.Empty(t, found)
			requireNoValue(t, err, v)
		}
		for i, r := range d.Tokens(ctx, kind, values) {
			require.ErrorIs(t, r.Err, ErrLowEntropy, values[i])
			require.True(t, r.Token.IsZero())
		}
	}
	_, err := NewIndex[struct {
		ID   string `phi:"subject"`
		Home string `phi:"region,lookup"`
	}](ctx, "patient", newRing(t, "lookup/patient/Home"))
	require.ErrorContains(t, err, "low entropy")
}
