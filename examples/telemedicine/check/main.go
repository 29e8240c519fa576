// Command check verifies what the clinic gave a patient, without the clinic: the
// receipt of a consent, and the proof of who looked. All it needs are the clinic's
// public keys, which are best had from somewhere else than the clinic.
//
//	go run ./examples/telemedicine/check -keys keys.json proof.json receipt.txt
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

func main() {
	keys := flag.String("keys", "keys.json", "the file of the clinic's public keys")
	flag.Parse()
	if err := run(os.Stdout, *keys, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, keysFile string, names []string) error {
	text, err := os.ReadFile(keysFile)
	if err != nil {
		return err
	}
	var keys clinic.Published
	if err := json.Unmarshal(text, &keys); err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.New("name the files that are to be checked")
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, ".json") {
			err = proof(out, text, keys.Log)
		} else {
			err = receipt(out, text, keys.Receipts)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func proof(out io.Writer, text []byte, keys []string) error {
	entries, err := consent.CheckExtract(text, keys...)
	if err != nil {
		return err
	}
	for _, e := range entries {
		fmt.Fprintf(out, "in the log: %8d  %s  %-10s %-8s %s\n", e.Index, e.Time.UTC().Format(time.DateTime), e.Actor, e.Action, e.Outcome)
	}
	fmt.Fprintf(out, "%d entries, all proved: they stand in the log, say this and are about one patient\n", len(entries))
	return nil
}

func receipt(out io.Writer, text []byte, keys []string) error {
	r, err := consent.CheckReceipt(text, keys...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "signed: %s of %s, %s, recorded %s; stood so on %s\n", r.EventType, r.RecordID, r.EventState, r.EventTime.UTC().Format(time.DateTime), r.Issued.UTC().Format(time.DateTime))
	return nil
}
