// Command consent is the least program that opens the embedded default: keys,
// consents and audit log in one folder.
package main

import (
	"context"
	"log"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/consent"
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
	cfg, err := consent.OpenDir(ctx, filepath.Join(dir, "clinic"))
	check(err)
	patients, err := consent.NewRecords[patient]("patient", cfg)
	check(err)
	_, err = patients.Seal(ctx, &patient{ID: "p", Name: "Ayu"}, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
