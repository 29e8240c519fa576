package envelope_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

type Patient struct {
	ID        string  `phi:"subject"`
	NIK       string  `phi:"nik"`
	Nickname  *string `phi:"name"`
	Allergies []string
	Serology  sql.NullString `phi:"sensitive,label=HIV"`
	Clinic    string         `phi:"clear"`
}

// exampleRing makes a ring in memory. A service opens one that was created
// once, with its key-encryption key in a KMS.
func exampleRing(ctx context.Context) *keyring.Ring {
	dir, err := os.MkdirTemp("", "rahasia")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	kek, err := keyring.CreateKeyFile(filepath.Join(dir, "key"))
	if err != nil {
		log.Fatal(err)
	}
	ring, err := keyring.Create(ctx, "clinic", keyring.Config{
		Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, compartment := range []string{"clinical", "identity", "sensitive"} {
		if err := ring.CreateKeyset(ctx, compartment); err != nil {
			log.Fatal(err)
		}
	}
	return ring
}

func Example() {
	ctx := context.Background()
	patients, err := envelope.NewCodec[Patient]("patient", exampleRing(ctx))
	if err != nil {
		log.Fatal(err)
	}
	p := Patient{ID: envelope.NewID(), NIK: "9271060312000001", Allergies: []string{}}
	row, err := patients.Seal(ctx, &p, nil)
	if err != nil {
		log.Fatal(err)
	}

	out := Patient{ID: p.ID} // whom you ask for
	if err := patients.Open(ctx, &out, row); err != nil {
		log.Fatal(err)
	}
	fmt.Println(out.NIK)
	fmt.Println("nickname is NULL:", out.Nickname == nil)
	fmt.Println("allergies are known to be none:", out.Allergies != nil && len(out.Allergies) == 0)

	err = patients.Open(ctx, &Patient{ID: envelope.NewID()}, row)
	fmt.Println("another patient:", errors.Is(err, envelope.ErrOpen))
	// Output:
	// 9271060312000001
	// nickname is NULL: true
	// allergies are known to be none: true
	// another patient: true
}

func ExampleCodec_Open() {
	ctx := context.Background()
	patients, err := envelope.NewCodec[Patient]("patient", exampleRing(ctx))
	if err != nil {
		log.Fatal(err)
	}
	row, err := patients.Seal(ctx, &Patient{ID: "p1", NIK: "9271060312000001", Allergies: []string{"penisilin"}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	out := Patient{ID: "p1", Clinic: "Solo"}
	if err := patients.Open(ctx, &out, row, "Allergies"); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q %q %q\n", out.Allergies, out.NIK, out.Clinic)
	// Output: ["penisilin"] "" "Solo"
}

// Begin tells what is in a row before a value is opened.
func ExampleCodec_Begin() {
	ctx := context.Background()
	patients, err := envelope.NewCodec[Patient]("patient", exampleRing(ctx))
	if err != nil {
		log.Fatal(err)
	}
	p := Patient{ID: "p1", NIK: "9271060312000001", Serology: sql.NullString{String: "nonreaktif", Valid: true}}
	row, err := patients.Seal(ctx, &p, map[string][]byte{"sensitive": []byte("HIV")})
	if err != nil {
		log.Fatal(err)
	}

	reading, err := patients.Begin(ctx, &Patient{ID: "p1"}, row)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reading.Compartments())
	fmt.Printf("%s\n", reading.Tag("sensitive"))
	fmt.Println(reading.Has("Serology"), reading.Has("Nickname"))

	out := Patient{ID: "p1"}
	if err := patients.OpenFields(reading, &out, "Serology"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(out.Serology.String, out.NIK == "")
	// Output:
	// [clinical identity sensitive]
	// HIV
	// true false
	// nonreaktif true
}

// Reseal changes the named fields and carries the others.
func ExampleCodec_Reseal() {
	ctx := context.Background()
	patients, err := envelope.NewCodec[Patient]("patient", exampleRing(ctx))
	if err != nil {
		log.Fatal(err)
	}
	row, err := patients.Seal(ctx, &Patient{ID: "p1", NIK: "9271060312000001"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	reading, err := patients.Begin(ctx, &Patient{ID: "p1"}, row)
	if err != nil {
		log.Fatal(err)
	}
	change := Patient{ID: "p1", Allergies: []string{"penisilin"}}
	newer, err := patients.Reseal(ctx, reading, &change, []string{"Allergies"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	// UPDATE patients SET sealed = $newer WHERE id = 'p1' AND sealed = $row

	out := Patient{ID: "p1"}
	if err := patients.Open(ctx, &out, newer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(out.NIK, out.Allergies)
	// Output: 9271060312000001 [penisilin]
}

func ExampleInspect() {
	ctx := context.Background()
	patients, err := envelope.NewCodec[Patient]("patient", exampleRing(ctx))
	if err != nil {
		log.Fatal(err)
	}
	row, err := patients.Seal(ctx, &Patient{ID: "p1", NIK: "9271060312000001"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	header, err := envelope.Inspect(row) // what a thief sees
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range header.Sections {
		fmt.Println(s.Compartment, s.Generation, s.Length)
	}
	// Output:
	// clinical 1 64
	// identity 1 128
	// sensitive 1 64
}

// A golden file of the schema shows in review that a change of the type is one
// that stored rows will notice.
func ExampleCodec_Schema() {
	patients, err := envelope.NewCodec[Patient]("patient", exampleRing(context.Background()))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(patients.Schema())
	// Output:
	// patient
	// clinical	Allergies	list(text)
	// identity	NIK	text
	// identity	Nickname	text
	// sensitive	Serology	text
}

// Generated code has no tags: a plan says what they would.
func ExampleNewCodecWith() {
	type LabResult struct { // as generated
		PatientId, Nik, Value string
	}
	labs, err := envelope.NewCodecWith[LabResult]("lab", exampleRing(context.Background()), envelope.Plan{
		"PatientId": "subject",
		"Nik":       "nik",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(labs.Schema())
	// Output:
	// lab
	// clinical	Value	text
	// identity	Nik	text
}

// A service that seals many records reuses one buffer.
func ExampleCodec_AppendSeal() {
	ctx := context.Background()
	patients, err := envelope.NewCodec[Patient]("patient", exampleRing(ctx))
	if err != nil {
		log.Fatal(err)
	}
	var buffer []byte
	for range 3 {
		p := Patient{ID: envelope.NewID(), NIK: "9271060312000001"}
		if buffer, err = patients.AppendSeal(ctx, buffer[:0], &p, nil); err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(buffer)) // write it somewhere before the next one
	}
	// Output:
	// 322
	// 322
	// 322
}
