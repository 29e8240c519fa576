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

// The columns of all fields of a record that are tagged unique.
func ExampleIndex_Columns() {
	type patient struct {
		ID  string `phi:"subject"`
		NIK string `phi:"nik,lookup,unique"`
	}
	ctx := context.Background()
	ring := newRing(ctx, pseudo.LookupDomain("patient", "NIK"))
	index, err := pseudo.NewIndex[patient](ctx, "patient", ring)
	if err != nil {
		log.Fatal(err)
	}
	columns, err := index.Columns(ctx, &patient{ID: "p-1", NIK: "9271060312000001"})
	if err != nil {
		log.Fatal(err)
	}
	nik := columns["NIK"] // INSERT INTO patient (id, nik_a, nik_b) VALUES ($1, $2, $3), with nik[0] and nik[1]
	fmt.Println("a:", nik[0].Valid, "b:", nik[1].Valid)
	// Output:
	// a: true b: false
}
