package pseudo_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"time"

	"github.com/rahasia/rahasia/pseudo"
	"github.com/rahasia/rahasia/pseudo/risk"
)

// From records to a file for one recipient: rows without identifiers, through the
// k gate, as CSV.
func ExampleWriteCSV() {
	type Patient struct {
		ID     string    `phi:"subject"`
		NIK    string    `phi:"nik"`
		Born   time.Time `phi:"birthdate"`
		Region string    `phi:"region"`
		Sex    string    `phi:"sex"`
		Main   string    `phi:"clinical"` // one diagnosis: a list is no sensitive value
	}
	ctx := context.Background()
	domain, err := pseudo.Open(ctx, newRing(ctx, "research/ui-2026"), "research/ui-2026")
	if err != nil {
		log.Fatal(err)
	}
	day := func(y int) time.Time { return time.Date(y, 7, 1, 0, 0, 0, 0, time.UTC) }
	patients := []Patient{
		{"P-1", "9271060312000001", day(1981), "31.71.01.1001", "female", "J45"},
		{"P-2", "9204014804000002", day(1984), "Jakarta", "female", "A15"},
		{"P-3", "9104224509000003", day(1931), "3578", "male", "J45"},
		{"P-4", "9271060312000004", day(1929), "", "male", "A15"},
	}
	rows, err := pseudo.NewDeidentifier[Patient](ctx, domain, pseudo.SafeHarbor(day(2026)))
	if err != nil {
		log.Fatal(err)
	}
	table := risk.Table{Columns: rows.Columns(), Rows: func(yield func([]any, error) bool) {
		for i := range patients { // the same each time: from one snapshot of the database, ordered by the pseudonym
			if row, err := rows.Row(ctx, &patients[i]); !yield(row, err) {
				return
			}
		}
	}}
	release, err := risk.Gate(ctx, table, risk.Plan{
		Subject: "pseudonym",
		Quasi: []risk.Quasi{
			{Column: "Born", Levels: []risk.Level{risk.Bands(10)}},
			{Column: "Region"},
			{Column: "Sex"},
		},
		Sensitive: []risk.Sensitive{{Column: "Main"}},
	}, risk.Rule{K: 2, L: 2}) // of a true table at least 5
	if err != nil { // errors.Is(err, risk.ErrRefused): such a table does not leave
		log.Fatal(err)
	}
	fmt.Printf("k = %d, was %d; loss %.2f\n", release.Report.After.K, release.Report.Before.K, release.Report.Loss)

	var file bytes.Buffer
	if err := pseudo.WriteCSV(&file, release.Columns, release.Rows()); err != nil {
		log.Fatal(err) // and the file is thrown away
	}
	for line := range bytes.Lines(file.Bytes()) {
		_, cells, _ := bytes.Cut(line, []byte(",")) // without the pseudonym, 35 characters
		fmt.Printf("%s", cells)
	}
	// Output:
	// k = 2, was 1; loss 0.42
	// Born,Region,Sex,Main
	// 1980-1989,*,female,J45
	// 1980-1989,*,female,A15
	// 1936 or earlier,*,male,J45
	// 1936 or earlier,*,male,A15
}
