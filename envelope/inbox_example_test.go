package envelope_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
)

// exampleTopic returns a topic and its ring.
func exampleTopic(ctx context.Context) (*keyring.Ring, *envelope.Topic) {
	ring := exampleRing(ctx)
	if err := ring.CreateKeyset(ctx, "topic/results"); err != nil {
		log.Fatal(err)
	}
	topic, err := envelope.NewTopic("results", ring)
	if err != nil {
		log.Fatal(err)
	}
	return ring, topic
}

// A result goes through a queue to the service that tells the patient.
func ExampleTopic() {
	ctx := context.Background()
	ring, topic := exampleTopic(ctx)
	payload, err := json.Marshal(map[string]any{"test": "Hb", "value": 13.4})
	if err != nil {
		log.Fatal(err)
	}
	message, err := topic.Seal(ctx, "p1", payload)
	if err != nil {
		log.Fatal(err)
	}

	subject, got, err := topic.Open(ctx, message)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s\n", subject, got)

	if _, err := ring.CreateSubject(ctx, "p1", "clinical"); err != nil { // a patient with records
		log.Fatal(err)
	}
	if _, err := ring.Shred(ctx, "p1"); err != nil {
		log.Fatal(err)
	}
	_, _, err = topic.Open(ctx, message) // a copy that the broker has kept
	fmt.Println("of an erased patient:", errors.Is(err, keyring.ErrShredded))
	// Output:
	// p1 {"test":"Hb","value":13.4}
	// of an erased patient: true
}

// Messages end with the version of their topic's keyset, wherever copies are.
func ExampleTopic_Open() {
	ctx := context.Background()
	ring, topic := exampleTopic(ctx)
	old, err := topic.Seal(ctx, "p1", []byte("Hb 13.4"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := ring.Rotate(ctx, "topic/results"); err != nil { // say, every week
		log.Fatal(err)
	}
	_, _, err = topic.Open(ctx, old)
	fmt.Println("after the rotation:", err)

	// When the messages' stated life is over: suspended first, then keyring.Destroyed.
	if err := ring.SetState(ctx, "topic/results", 1, keyring.Suspended); err != nil {
		log.Fatal(err)
	}
	_, _, err = topic.Open(ctx, old)
	fmt.Println("after its life:", errors.Is(err, envelope.ErrOpen))
	// Output:
	// after the rotation: <nil>
	// after its life: true
}

// exampleInbox returns an inbox, and the credential of a branch.
func exampleInbox(ctx context.Context, dir string) (*envelope.Inbox, string) {
	ring := exampleRing(ctx)
	if err := ring.CreateKeyset(ctx, "inbox/branches"); err != nil {
		log.Fatal(err)
	}
	inbox, err := envelope.NewInbox("branches", ring)
	if err != nil {
		log.Fatal(err)
	}
	credential := filepath.Join(dir, "solo-1.credential")
	if err := inbox.Enrol(ctx, "solo-1", credential); err != nil {
		log.Fatal(err)
	}
	return inbox, credential
}

// A branch writes what it cannot read.
func ExampleInbox() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "rahasia")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	inbox, credential := exampleInbox(ctx, dir)

	intake, err := envelope.OpenIntake(credential) // on the branch's machine, which has no ring
	if err != nil {
		log.Fatal(err)
	}
	item, err := intake.Seal("p1", []byte(`{"complaint":"batuk"}`))
	if err != nil {
		log.Fatal(err)
	}

	got, err := inbox.Open(ctx, item) // at headquarters
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s says of %s: %s\n", got.Sender, got.Subject, got.Payload)
	// Output: solo-1 says of p1: {"complaint":"batuk"}
}

// Accept belongs into the transaction that stores what was in the item.
func ExampleReceived_Accept() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "rahasia")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	inbox, credential := exampleInbox(ctx, dir)
	intake, err := envelope.OpenIntake(credential)
	if err != nil {
		log.Fatal(err)
	}
	db, err := sqlite.Open(filepath.Join(dir, "app.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	for _, table := range []string{
		"CREATE TABLE rahasia_accepted (inbox TEXT NOT NULL, version BIGINT NOT NULL, id BYTEA PRIMARY KEY)",
		"CREATE TABLE visits (patient TEXT NOT NULL, sealed BYTEA NOT NULL)",
	} {
		if _, err := db.ExecContext(ctx, table); err != nil {
			log.Fatal(err)
		}
	}

	item, err := intake.Seal("p1", []byte(`{"complaint":"batuk"}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receive(ctx, db, inbox, item))
	err = receive(ctx, db, inbox, item) // the queue delivers it again
	fmt.Println(errors.Is(err, envelope.ErrReplayed))
	// Output:
	// <nil>
	// true
}

func receive(ctx context.Context, db *sql.DB, inbox *envelope.Inbox, item envelope.Item) error {
	got, err := inbox.Open(ctx, item)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := got.Accept(ctx, tx); err != nil {
		return err
	}
	sealed := []byte("the record, sealed by a Codec")
	if _, err := tx.ExecContext(ctx, "INSERT INTO visits (patient, sealed) VALUES ($1, $2)", got.Subject, sealed); err != nil {
		return err
	}
	return tx.Commit()
}
