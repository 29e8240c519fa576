package pseudo_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"

	"github.com/rahasia/rahasia/pseudo"
)

// An ethicsBoard allows re-identification of a few patients at a time and
// writes down that it did.
type ethicsBoard struct{ minutes []string }

func (b *ethicsBoard) Authorize(_ context.Context, r pseudo.Reversal) error {
	if r.To == "" && r.Count > 10 {
		return errors.New("more than ten patients at once")
	}
	b.minutes = append(b.minutes, fmt.Sprintf("%d of %s from %s to %q", r.Count, r.Kind, r.Domain, r.To)) // a real one makes this durable first
	return nil
}

// An incidental finding comes back from a study under the study's token, and
// somebody who answers for it allows the patient to be called.
func ExampleReversible_Reverse() {
	ctx := context.Background()
	ring := newRing(ctx, "research/ui-2026")
	board := &ethicsBoard{}
	study, err := pseudo.OpenReversible(ctx, ring, "research/ui-2026", board)
	if err != nil {
		log.Fatal(err)
	}
	token, err := study.Token(ctx, pseudo.NIK, "9271 0603 1200 0001")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(token.Bytes()), "bytes in a column,", len(token.String()), "characters on paper")

	found, err := study.Reverse(ctx, pseudo.NIK, []pseudo.ReversibleToken{token})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(found[0].Value, found[0].Err)
	fmt.Println(board.minutes[0])

	_, err = study.Reverse(ctx, pseudo.NIK, slices.Repeat([]pseudo.ReversibleToken{token}, 11))
	fmt.Println(err)
	// Output:
	// 37 bytes in a column, 61 characters on paper
	// 9271060312000001 <nil>
	// 1 of nik from research/ui-2026 to ""
	// pseudo: domain "research/ui-2026": the authority refuses: more than ten patients at once
}

// A service that only makes tokens is given no authority.
func ExampleOpenReversible() {
	ctx := context.Background()
	maker, err := pseudo.OpenReversible(ctx, newRing(ctx, "research/ui-2026"), "research/ui-2026", nil)
	if err != nil {
		log.Fatal(err)
	}
	token, err := maker.Token(ctx, pseudo.NIK, "9271060312000001")
	if err != nil {
		log.Fatal(err)
	}
	_, err = maker.Reverse(ctx, pseudo.NIK, []pseudo.ReversibleToken{token})
	fmt.Println(err)
	// Output:
	// pseudo: no authority to turn tokens back: domain "research/ui-2026"
}

// Two recipients' tables are joined without anybody seeing an identifier.
func ExampleReversible_Translate() {
	ctx := context.Background()
	ring := newRing(ctx, "insurer/x", "research/ui-2026")
	insurer, err := pseudo.OpenReversible(ctx, ring, "insurer/x", &ethicsBoard{})
	if err != nil {
		log.Fatal(err)
	}
	study, err := pseudo.Open(ctx, ring, "research/ui-2026")
	if err != nil {
		log.Fatal(err)
	}
	claim, err := insurer.Token(ctx, pseudo.NIK, "9271060312000001")
	if err != nil {
		log.Fatal(err)
	}
	translated, err := insurer.Translate(ctx, study, pseudo.NIK, []pseudo.ReversibleToken{claim})
	if err != nil {
		log.Fatal(err)
	}
	own, err := study.Token(ctx, pseudo.NIK, "9271060312000001")
	fmt.Println("the study's own token:", translated[0].Token == own, err)
	// Output:
	// the study's own token: true <nil>
}

// A partner whose column takes sixteen digits gets sixteen digits that are
// nobody's number.
func ExampleReversible_Digits() {
	ctx := context.Background()
	partner, err := pseudo.OpenReversible(ctx, newRing(ctx, "insurer/x"), "insurer/x", &ethicsBoard{})
	if err != nil {
		log.Fatal(err)
	}
	digits, err := partner.Digits(ctx, pseudo.NIK, "9271060312000001")
	if err != nil {
		log.Fatal(err)
	}
	_, err = pseudo.NIK.Normalize(digits)
	fmt.Println(len(digits), "digits, a NIK:", err == nil)

	back, err := partner.ReverseDigits(ctx, pseudo.NIK, []string{digits})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(back[0].Value)
	// Output:
	// 16 digits, a NIK: false
	// 9271060312000001
}

// One number that is refused does not hold up the others.
func ExampleReversible_Tokens() {
	ctx := context.Background()
	partner, err := pseudo.OpenReversible(ctx, newRing(ctx, "insurer/x"), "insurer/x", nil)
	if err != nil {
		log.Fatal(err)
	}
	niks := []string{"9271060312000001", "927106131200"}
	for i, r := range partner.Tokens(ctx, pseudo.NIK, niks) {
		digits := partner.DigitsAll(ctx, pseudo.NIK, niks)[i]
		fmt.Println(!r.Token.IsZero(), r.Err, len(digits.Token), digits.Err)
	}
	// Output:
	// true <nil> 16 <nil>
	// false nik: want 16 digits 0 nik: want 16 digits
}

// A token read from paper or a message is checked before it is used.
func ExampleParseReversibleToken() {
	t, err := pseudo.ParseReversibleToken("o8000001v4nh1f7qenst7qv80yd8s1jqeeggthe1nb6n7j2w1h06gwq2e3x0p")
	fmt.Println(t, t.Version(), err)
	_, err = pseudo.ParseReversibleToken("08000001V4NH1F7QENST7QV80YD8S1JQEEGGTHE1NB6N7J2W1H06GWQ2E30XP") // two symbols exchanged
	fmt.Println(err)
	// Output:
	// 08000001V4NH1F7QENST7QV80YD8S1JQEEGGTHE1NB6N7J2W1H06GWQ2E3X0P 1 <nil>
	// pseudo: not a token: the check symbol does not fit
}

// Tokens turn up where they should not be: for whom were they made?
func ExampleAttribute() {
	ctx := context.Background()
	ring := newRing(ctx, "insurer/x", "insurer/y", "research/ui-2026")
	var domains []*pseudo.Domain
	for _, name := range []string{"insurer/x", "insurer/y", "research/ui-2026"} {
		d, err := pseudo.Open(ctx, ring, name)
		if err != nil {
			log.Fatal(err)
		}
		domains = append(domains, d)
	}
	patients := []string{"9271060312000001", "9204014804000002", "9104224509000003", "9271060312000004"}
	var leaked []pseudo.Token
	for _, nik := range patients[:3] {
		t, err := domains[1].Token(ctx, pseudo.NIK, nik)
		if err != nil {
			log.Fatal(err)
		}
		leaked = append(leaked, t)
	}

	a, err := pseudo.Attribute(ctx, domains, pseudo.NIK, leaked, slices.Values(patients))
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range a.Evidence {
		fmt.Printf("%s, version %d: %d of %d, by chance: %.0e\n", e.Domain, e.Version, e.Explained, e.Leaked, e.Chance)
	}
	// Output:
	// insurer/y, version 1: 3 of 3, by chance: 7e-114
	// insurer/x, version 1: 0 of 3, by chance: 1e+00
	// research/ui-2026, version 1: 0 of 3, by chance: 1e+00
}

// Reversible tokens say by themselves whose they are.
func ExampleAttributeReversible() {
	ctx := context.Background()
	ring := newRing(ctx, "insurer/x", "insurer/y")
	var domains []*pseudo.Reversible
	for _, name := range []string{"insurer/x", "insurer/y"} {
		d, err := pseudo.OpenReversible(ctx, ring, name, nil)
		if err != nil {
			log.Fatal(err)
		}
		domains = append(domains, d)
	}
	leaked, err := domains[1].Token(ctx, pseudo.NIK, "9271060312000001")
	if err != nil {
		log.Fatal(err)
	}
	a, err := pseudo.AttributeReversible(ctx, domains, pseudo.NIK, []pseudo.ReversibleToken{leaked})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(a.Evidence[0].Domain, a.Explained, "of", a.Leaked)
	// Output:
	// insurer/y 1 of 1
}
