// Command memory is the least program that seals a record, with its keys in
// memory. It stands for the size and start-up of whoever uses keyring and
// envelope alone.
package main

import (
	"context"
	"log"
	"os"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

type patient struct {
	ID   string `phi:"subject"`
	Name string `phi:"name"`
}

func main() {
	ctx := context.Background()
	kek, err := keyring.Passphrase(os.Args[0])
	check(err)
	ring, err := keyring.Create(ctx, "clinic", keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek})
	check(err)
	check(ring.CreateKeyset(ctx, "identity"))
	patients, err := envelope.NewCodec[patient]("patient", ring)
	check(err)
	_, err = patients.Seal(ctx, &patient{ID: "p", Name: "Ayu"}, nil)
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
