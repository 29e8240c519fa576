package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/rahasia/rahasia/envelope"
)

// Visit owns an ECG: it holds the reference, and its row seals it.
type Visit struct {
	Patient string          `phi:"subject"`
	ID      string          `phi:"record"`
	Finding string          `phi:"clinical"`
	ECG     envelope.Object `phi:"clinical"`
}

// An ECG is sealed beside the record that owns it, which says which one it is.
func ExampleObjects() {
	ctx := context.Background()
	ring := exampleRing(ctx)
	visits, err := envelope.NewCodec[Visit]("visit", ring)
	if err != nil {
		log.Fatal(err)
	}
	ecgs, err := envelope.NewObjects("ecg", "clinical", ring)
	if err != nil {
		log.Fatal(err)
	}

	var file bytes.Buffer // a file, or a bucket
	w, err := ecgs.Create(ctx, "p1", &file, envelope.ObjectOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(w, strings.NewReader("995 1011 995 1011 995 1011")); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil { // without it there is no object
		log.Fatal(err)
	}
	ecg, err := w.Object()
	if err != nil {
		log.Fatal(err)
	}
	row, err := visits.Seal(ctx, &Visit{Patient: "p1", ID: "v1", Finding: "sinus rhythm", ECG: ecg}, nil)
	if err != nil {
		log.Fatal(err)
	}

	visit := Visit{Patient: "p1", ID: "v1"}
	if err := visits.Open(ctx, &visit, row); err != nil {
		log.Fatal(err)
	}
	r, err := ecgs.Open(ctx, visit.Patient, visit.ECG, bytes.NewReader(file.Bytes()), envelope.ObjectOptions{})
	if err != nil {
		log.Fatal(err)
	}
	signal, err := io.ReadAll(r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", signal)

	file.Truncate(file.Len() - 1)
	r, err = ecgs.Open(ctx, visit.Patient, visit.ECG, &file, envelope.ObjectOptions{})
	if err == nil {
		_, err = io.ReadAll(r)
	}
	fmt.Println(errors.Is(err, envelope.ErrTruncated))
	// Output:
	// 995 1011 995 1011 995 1011
	// true
}

// One film of a series is read without the others.
func ExampleObjects_OpenAt() {
	ctx := context.Background()
	films, err := envelope.NewObjects("film", "clinical", exampleRing(ctx))
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	w, err := films.Create(ctx, "p1", &file, envelope.ObjectOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 100 {
		if _, err := fmt.Fprintf(w, "%-10000s", fmt.Sprintf("film %d", i)); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	series, err := w.Object()
	if err != nil {
		log.Fatal(err)
	}

	r, err := films.OpenAt(ctx, "p1", series, bytes.NewReader(file.Bytes()), envelope.ObjectOptions{})
	if err != nil {
		log.Fatal(err)
	}
	film := make([]byte, 10000)
	if _, err := r.ReadAt(film, 42*10000); err != nil { // one or two chunks of 16 KiB
		log.Fatal(err)
	}
	fmt.Println(strings.TrimSpace(string(film)), "of", r.Size(), "bytes")
	// Output: film 42 of 1000000 bytes
}
