package pseudo_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// A lookup field whose values must be unique has two columns, both UNIQUE. The
// statements never change; what they are given follows the domain's state.
func ExampleDomain_Columns() {
	ctx := context.Background()
	name := pseudo.LookupDomain("patient", "NIK")
	ring := newRing(ctx, name)
	domain, err := pseudo.Open(ctx, ring, name)
	if err != nil {
		log.Fatal(err)
	}
	show := func(state string) {
		a, b, err := domain.Columns(ctx, pseudo.NIK, "9271060312000001") // INSERT INTO patient (id, sealed, nik_a, nik_b) VALUES ($1, $2, $3, $4)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%-8s a: %-5v b: %v\n", state, a.Valid, b.Valid)
	}
	show("old")
	if _, err := ring.Rotate(ctx, name); err != nil {
		log.Fatal(err)
	}
	show("both")

	// Now wait until every process has seen it, 90 seconds; write both columns of
	// every row again, with what Columns returns for it; see that none is missing;
	// and only then suspend the old version. Sooner is refused.
	err = ring.SetState(ctx, name, 1, keyring.Suspended)
	fmt.Println("suspended at once:", !errors.Is(err, keyring.ErrState))
	// Output:
	// old      a: true  b: false
	// both     a: true  b: true
	// suspended at once: false
}
