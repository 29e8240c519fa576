// Command sqlite is the least program that seals a record, with its keys in
// SQLite.
package main

import (
	"context"
	"log"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

type patient struct {
	ID   string `phi:"subject"`
	Name string `phi:"name"`
}

func main() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "size")
	check(err)
	defer os.RemoveAll(dir)
	kek, err := keyring.CreateKeyFile(filepath.Join(dir, "kek"))
	check(err)
	journal, err := keyring.OpenJournal(filepath.Join(dir, "journal"))
	check(err)
	db, err := sqlite.Open(filepath.Join(dir, "keys.db"))
	check(err)
	store, err := sqlstore.New(ctx, db)
	check(err)
	ring, err := keyring.Create(ctx, "clinic", keyring.Config{Store: store, Journal: journal, KEK: kek})
	check(err)
	check(ring.CreateKeyset(ctx, "identity"))
	patients, err := envelope.NewCodec[patient]("patient", ring)
	check(err)
	_, err = patients.Seal(ctx, &patient{ID: "p", Name: "Ayu"}, nil)
	check(err)
	check(db.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
