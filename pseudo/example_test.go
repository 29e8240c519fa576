package pseudo_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// newRing makes a ring in memory. A program opens the one that it has created
// once, with keyring.Open.
func newRing(ctx context.Context, domains ...string) *keyring.Ring {
	kek, err := keyring.Passphrase("correct horse battery staple")
	if err != nil {
		log.Fatal(err)
	}
	ring, err := keyring.Create(ctx, "example", keyring.Config{
		Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range domains {
		if err := ring.CreateKeyset(ctx, name); err != nil {
			log.Fatal(err)
		}
	}
	return ring
}

// One person has one token in a domain, however the number is written, and an
// unrelated one in another.
func ExampleDomain_Token() {
	ctx := context.Background()
	ring := newRing(ctx, "research/ui-2026", "insurer/x")
	study, err := pseudo.Open(ctx, ring, "research/ui-2026")
	if err != nil {
		log.Fatal(err)
	}
	insurer, err := pseudo.Open(ctx, ring, "insurer/x")
	if err != nil {
		log.Fatal(err)
	}

	a, err := study.Token(ctx, pseudo.Phone, "0810-0000-0001")
	if err != nil {
		log.Fatal(err)
	}
	b, err := study.Token(ctx, pseudo.Phone, "+62 810 0000 0001")
	if err != nil {
		log.Fatal(err)
	}
	c, err := insurer.Token(ctx, pseudo.Phone, "0810-0000-0001")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("written two ways:", a == b)
	fmt.Println("for two recipients:", a == c)
	fmt.Println(len(a.Bytes()), "bytes in a column,", len(a.String()), "characters on paper")
	// Output:
	// written two ways: true
	// for two recipients: false
	// 21 bytes in a column, 35 characters on paper
}

// A domain is never made by a typing mistake.
func ExampleOpen() {
	ctx := context.Background()
	ring := newRing(ctx, "research/ui-2026")
	_, err := pseudo.Open(ctx, ring, "research/ui-2062")
	fmt.Println(errors.Is(err, keyring.ErrNoKeyset))
	_, err = pseudo.Open(ctx, ring, "")
	fmt.Println(err)
	// Output:
	// true
	// pseudo: no domain: want a name with a slash, such as "research/ui-2026"
}

// One value that is refused does not hold up the others.
func ExampleDomain_Tokens() {
	ctx := context.Background()
	domain, err := pseudo.Open(ctx, newRing(ctx, "research/ui-2026"), "research/ui-2026")
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range domain.Tokens(ctx, pseudo.NIK, []string{"9271060312000001", "9271061312000001", "927106131200"}) {
		fmt.Println(!r.Token.IsZero(), r.Err)
	}
	// Output:
	// true <nil>
	// true <nil>
	// false nik: want 16 digits
}

// After a rotation a column holds tokens of two key versions: search for both.
func ExampleDomain_Lookup() {
	ctx := context.Background()
	ring := newRing(ctx, "lookup/patient/NIK")
	domain, err := pseudo.Open(ctx, ring, "lookup/patient/NIK")
	if err != nil {
		log.Fatal(err)
	}
	stored, err := domain.Token(ctx, pseudo.NIK, "9271060312000001")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := ring.Rotate(ctx, "lookup/patient/NIK"); err != nil {
		log.Fatal(err)
	}
	tokens, err := domain.Lookup(ctx, pseudo.NIK, "9271 0603 1200 0001") // WHERE nik_token = ANY($1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(tokens), "tokens, the stored one among them:", slices.Contains(tokens, stored))

	again, err := domain.TokenAt(ctx, stored.Version(), pseudo.NIK, "9271060312000001")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("made again under its own version:", again == stored)
	// Output:
	// 2 tokens, the stored one among them: true
	// made again under its own version: true
}

// An index makes the lookup tokens that the tags of a struct ask for.
func ExampleIndex() {
	type Patient struct {
		ID     string `phi:"subject"`
		NIK    string `phi:"nik,lookup"`
		Phone  string `phi:"phone,lookup"`
		Mother string `phi:"nik,lookup,name=mother_nik"`
	}
	ctx := context.Background()
	ring := newRing(ctx,
		pseudo.LookupDomain("patient", "NIK"), pseudo.LookupDomain("patient", "Phone"), pseudo.LookupDomain("patient", "mother_nik"))
	index, err := pseudo.NewIndex[Patient](ctx, "patient", ring)
	if err != nil {
		log.Fatal(err)
	}

	p := Patient{ID: "P-1", NIK: "9271060312000001", Phone: "0810-0000-0001"}
	tokens, err := index.Tokens(ctx, &p)
	if err != nil {
		log.Fatal(err)
	}
	_, hasMother := tokens["mother_nik"]
	fmt.Println(len(tokens), "tokens; an empty field has none:", !hasMother)

	found, err := index.Lookup(ctx, "Phone", "+62 810 0000 0001")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("found by telephone:", found[0] == tokens["Phone"])

	field, ok, err := index.Matches(ctx, &p, found[0])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the opened record agrees:", ok, field)
	// Output:
	// 2 tokens; an empty field has none: true
	// found by telephone: true
	// the opened record agrees: true Phone
}

// A token read from paper or a message is checked before it is used.
func ExampleParseToken() {
	t, err := pseudo.ParseToken("o400000lgyzdpdxxe8147wj566h226y8tw*")
	fmt.Println(t, err)
	_, err = pseudo.ParseToken("04000001GYZDPDXXE8147WJ566H22Y68TW*") // two symbols exchanged
	fmt.Println(err)
	// Output:
	// 04000001GYZDPDXXE8147WJ566H226Y8TW* <nil>
	// pseudo: not a token: the check symbol does not fit
}

// An error names the rule and never the value.
func ExampleKind_Normalize() {
	fmt.Println(pseudo.Phone.Normalize("(+62) 810-0000-0001"))
	fmt.Println(pseudo.Email.Normalize("Ardianto@Example.ID"))
	fmt.Println(pseudo.Name.Normalize("dr. Ardianto Putra, Sp.A(K)"))
	_, err := pseudo.Phone.Normalize("2025550100")
	fmt.Println(err)
	// Output:
	// +6281000000001 <nil>
	// ardianto@example.id <nil>
	// ardianto putra <nil>
	// phone: want a number that begins with + and a country code, with 628, or with a single 0 for Indonesia
}

// One number as the identifier of several is several tokens: what is the
// mother's on a newborn's record does not lead to the mother.
func ExampleKind() {
	ctx := context.Background()
	domain, err := pseudo.Open(ctx, newRing(ctx, "research/ui-2026"), "research/ui-2026")
	if err != nil {
		log.Fatal(err)
	}
	mother, err := domain.Token(ctx, pseudo.NIK, "9271060312000001")
	if err != nil {
		log.Fatal(err)
	}
	newborn, err := domain.Token(ctx, pseudo.MotherNIK, "9271060312000001")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("joined by the mother's number:", mother == newborn)

	// every facility has a number 001234, so one without its facility is nobody's
	fmt.Println(pseudo.MRN.Normalize("3171012|00-12-34"))
	_, err = pseudo.MRN.Normalize("00-12-34")
	fmt.Println(err)

	// a date of birth is one of thirty thousand: its token would be as good as it
	_, err = domain.Token(ctx, pseudo.Date, "1992-01-09")
	fmt.Println(err)
	// Output:
	// joined by the mother's number: false
	// 3171012|001234 <nil>
	// mrn: want the facility before the number, as in facility|number: 1 to 128 printable ASCII characters without a space or another |
	// pseudo: no tokens of this kind: low entropy
}

// A column of tokens tells its values if some of them occur far more often than
// others. Measure one before it leaves.
func ExampleLeakageOf() {
	wards := make([]string, 0, 3000) // any column: of tokens, or of values before they have any
	for i := range 3000 {
		wards = append(wards, []string{"A", "A", "A", "B", "B", "C"}[i%6])
	}
	leak := pseudo.LeakageOf(slices.Values(wards))
	fmt.Printf("%d different, %.0f patients each, the commonest %.1f times as common as the next\n", leak.Distinct, leak.Patients, leak.StandsOut)
	fmt.Println(leak.Check())
	// Output:
	// 3 different, 1000 patients each, the commonest 1.5 times as common as the next
	// pseudo: tokens that tell their values: a token stands for 1000 patients on average
}

// What is unusual about a NIK is a warning: numbers with a wrong date are
// real, and their owners must be treated.
func ExampleInspectNIK() {
	warnings, err := pseudo.InspectNIK("9271060312000001", time.Date(1992, 1, 9, 0, 0, 0, 0, time.UTC))
	fmt.Println(warnings, err)
	_, err = pseudo.InspectNIK("9271069912000001", time.Time{})
	fmt.Println(err)
	// Output:
	// [the date in the number differs from the recorded birth] <nil>
	// nik: want digits 7 and 8 from 01 to 31, or from 41 to 71 for a woman
}

func ExampleYear() {
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	fmt.Println(pseudo.Year(time.Date(1947, 3, 10, 0, 0, 0, 0, time.UTC), now))
	fmt.Println(pseudo.Year(time.Date(1931, 3, 10, 0, 0, 0, 0, time.UTC), now))
	// Output:
	// 1947 <nil>
	// 1936 or earlier <nil>
}

func ExampleAgeBand() {
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	fmt.Println(pseudo.AgeBand(time.Date(1984, 1, 9, 0, 0, 0, 0, time.UTC), now, 5))
	fmt.Println(pseudo.AgeBand(time.Date(1931, 3, 10, 0, 0, 0, 0, time.UTC), now, 5))
	// Output:
	// 40-44 <nil>
	// 90+ <nil>
}
