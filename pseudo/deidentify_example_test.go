package pseudo_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/rahasia/rahasia/pseudo"
)

// A table for one recipient: its own pseudonyms, no identifiers, dates moved.
func ExampleDeidentifier() {
	type Stay struct {
		ID        string    `phi:"subject"`
		Number    string    `phi:"record"`
		NIK       string    `phi:"nik"`
		Born      time.Time `phi:"birthdate"`
		Region    string    `phi:"region"`
		Sex       string    `phi:"sex"`
		Admitted  time.Time `phi:"date"`
		Left      time.Time `phi:"date"`
		Diagnosis []string  `phi:"clinical"`
		Letter    string    `phi:"text"`
	}
	ctx := context.Background()
	domain, err := pseudo.Open(ctx, newRing(ctx, "research/ui-2026"), "research/ui-2026")
	if err != nil {
		log.Fatal(err)
	}
	day := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }

	policy := pseudo.Strict(day(2026, 7, 1))
	policy.Kinds["date"], policy.Within = pseudo.FormShifted, 365 // this study needs lengths of stay
	table, err := pseudo.NewDeidentifier[Stay](ctx, domain, policy)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(table.Columns())
	row, err := table.Row(ctx, &Stay{
		ID: "P-1", Number: "1", NIK: "9271060312000001", Born: day(1984, 3, 10), Region: "31.71.01.1001", Sex: "female",
		Admitted: day(2026, 6, 1), Left: day(2026, 6, 4), Diagnosis: []string{"J45"}, Letter: "Dear colleague",
	})
	if err != nil {
		log.Fatal(err)
	}
	admitted, left := row[4].(time.Time), row[5].(time.Time)
	fmt.Println(row[1], row[2], row[3], row[6])
	fmt.Println("days of stay:", left.Sub(admitted).Hours()/24, "on the true days:", admitted.Equal(day(2026, 6, 1)))
	// Output:
	// [pseudonym Born Region Sex Admitted Left Diagnosis]
	// 40-49 31 female [J45]
	// days of stay: 3 on the true days: false
}

// A policy that would let an identifier through is refused before there is a row.
func ExampleNewDeidentifier() {
	type Patient struct {
		ID  string `phi:"subject"`
		NIK string `phi:"nik"`
	}
	ctx := context.Background()
	domain, err := pseudo.Open(ctx, newRing(ctx, "research/ui-2026"), "research/ui-2026")
	if err != nil {
		log.Fatal(err)
	}
	policy := pseudo.SafeHarbor(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC))
	policy.Fields = map[string]pseudo.Form{"NIK": pseudo.FormKeep}
	_, err = pseudo.NewDeidentifier[Patient](ctx, domain, policy)
	fmt.Println(err)
	// Output:
	// pseudo: policy does not fit: Patient.NIK, form "keep": an identifier, a free text or a field without a tag is never kept
}

// All dates of a patient move by the same number of days.
func ExampleDomain_DateShift() {
	ctx := context.Background()
	domain, err := pseudo.Open(ctx, newRing(ctx, "research/ui-2026"), "research/ui-2026")
	if err != nil {
		log.Fatal(err)
	}
	shift, err := domain.DateShift(ctx, "P-1", 365)
	if err != nil {
		log.Fatal(err)
	}
	admitted := time.Date(2026, 6, 1, 8, 30, 0, 0, time.UTC)
	a, err := shift.Apply(admitted)
	if err != nil {
		log.Fatal(err)
	}
	b, err := shift.Apply(admitted.AddDate(0, 0, 3))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(a.Format(time.TimeOnly), b.Sub(a), a.Equal(admitted), shift)
	// Output: 08:30:00 72h0m0s false pseudo.Shift
}
