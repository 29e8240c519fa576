package envelope_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/rahasia/rahasia/envelope"
)

// A type as it was, as it is, and the field between: a pointer, where it was.
type (
	patientBefore struct {
		ID   string `phi:"subject"`
		Name string `phi:"name"`
		HIV  string `phi:"clinical"`
	}
	patientNow struct {
		ID   string `phi:"subject"`
		Name string `phi:"name"`
		HIV  string `phi:"sensitive"`
	}
	patientHIV struct {
		ID  string  `phi:"subject"`
		HIV *string `phi:"clinical"`
	}
)

// A field moves to another compartment. A row that has it where it was is
// refused until the field is taken out there and put in here; everything else is
// carried, tags and fields that neither type knows among it.
func Example_movedField() {
	ctx := context.Background()
	ring := exampleRing(ctx)
	before, err := envelope.NewCodec[patientBefore]("patient", ring)
	if err != nil {
		log.Fatal(err)
	}
	hiv, err := envelope.NewCodec[patientHIV]("patient", ring)
	if err != nil {
		log.Fatal(err)
	}
	now, err := envelope.NewCodec[patientNow]("patient", ring)
	if err != nil {
		log.Fatal(err)
	}
	old, err := before.Seal(ctx, &patientBefore{"p1", "Siti", "nonreaktif"}, nil)
	if err != nil {
		log.Fatal(err)
	}

	p := patientNow{ID: "p1"}
	err = now.Open(ctx, &p, old)
	fmt.Println(err)
	if errors.Is(err, envelope.ErrCompartment) {
		row, err := moveHIV(ctx, hiv, now, "p1", old)
		if err != nil {
			log.Fatal(err)
		}
		// UPDATE patients SET sealed = $row WHERE id = 'p1' AND sealed = $old
		if err := now.Open(ctx, &p, row); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(p.Name, p.HIV)
	// Output:
	// envelope: wrong compartment: type "patient" field "HIV": stored in "clinical", and the type has it in "sensitive"
	// Siti nonreaktif
}

func moveHIV(ctx context.Context, hiv *envelope.Codec[patientHIV], now *envelope.Codec[patientNow], id string, row envelope.Sealed) (envelope.Sealed, error) {
	was, is := patientHIV{ID: id}, patientNow{ID: id}
	reading, err := hiv.Begin(ctx, &was, row)
	if err != nil {
		return nil, err
	}
	if err := hiv.OpenFields(reading, &was, "HIV"); err != nil {
		return nil, err
	}
	if was.HIV != nil {
		is.HIV, was.HIV = *was.HIV, nil
	}
	if row, err = hiv.Reseal(ctx, reading, &was, []string{"HIV"}, nil); err != nil {
		return nil, err
	}
	if reading, err = now.Begin(ctx, &is, row); err != nil {
		return nil, err
	}
	return now.Reseal(ctx, reading, &is, []string{"HIV"}, nil)
}
