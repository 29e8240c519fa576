package envelope

import (
	"context"
	"crypto/hmac"
	"crypto/hpke"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// The labels of the keys of a version of an inbox's keyset.
const (
	inboxKeyLabel    = "rahasia/inbox-key/v1"    // seed of the private key: inbox
	inboxSenderLabel = "rahasia/inbox-sender/v1" // a sender's MAC key: inbox, sender
)

// inboxPrefix makes a keyset's name of an inbox's.
const inboxPrefix = "inbox/"

// Inbox opens what branches and vendors have sealed without being able to open
// it. It is safe for concurrent use and prints as its name. The zero Inbox is
// not valid; make one with [NewInbox].
type Inbox struct {
	_    [0]func()
	name string
	ring func() *keyring.Ring // a closure: printing an Inbox must not walk a ring
	keys func() *inboxKeys
}

// inboxKeys are the private keys of the versions that were used, of one keyset.
type inboxKeys struct {
	mu        sync.Mutex
	keyset    *keyring.Keyset
	byVersion map[uint32]hpke.PrivateKey
}

// NewInbox returns the inbox of a name, 1 to 122 bytes, whose keyset is the
// domain "inbox/" and the name: [keyring.Ring.CreateKeyset] makes it, and only
// a service that opens must be granted it. One that is not there is
// keyring.ErrNoKeyset when the inbox is used.
//
// No ring or an empty name is ErrEmpty, a longer name ErrLimit.
func NewInbox(name string, ring *keyring.Ring) (*Inbox, error) {
	if err := checkDomain(name, ring); err != nil {
		return nil, err
	}
	keys := new(inboxKeys)
	return &Inbox{name: name, ring: func() *keyring.Ring { return ring }, keys: func() *inboxKeys { return keys }}, nil
}

// Enrol writes a sender's credential to a new file at path, readable by its
// owner alone (mode 0600), durable when it returns: what [OpenIntake] reads on
// the sender's machine. The sender is 1 to 64 of [A-Za-z0-9._-] and stands in
// clear in each of its items; another is keyring.ErrName. A path that is there
// already is keyring.ErrExists. Carry the file over a channel that keeps it
// secret, and delete it here.
//
// A stolen credential opens nothing, its own sender's past items included; the
// thief can send in the sender's name. To stop that at once refuse
// [Received.Sender] with that [Received.Version]; for good call
// [keyring.Ring.Rotate] on the inbox's keyset, enrol the others again, and when
// what they had sealed is in, suspend and destroy the old version. Without a
// rotation the same sender gets the same credential again.
//
// Other errors are those of [keyring.Ring.Keyset] and of the file system.
func (b *Inbox) Enrol(ctx context.Context, sender, path string) error {
	if !validSender(sender) {
		return b.failed("enrol", fmt.Errorf("sender is not 1 to %d of [A-Za-z0-9._-]: %w", maxSender, keyring.ErrName))
	}
	ks, err := b.ring().Keyset(ctx, inboxPrefix+b.name)
	if err != nil {
		return b.failed("enrol", err)
	}
	c := credential{itemPlace: itemPlace{b.ring().ID(), b.name, sender, ks.Primary()}}
	private, err := b.private(ks, c.version)
	if err != nil {
		return b.failed("enrol", err)
	}
	if c.key, err = ks.Derive(c.version, inboxSenderLabel, b.name, sender); err != nil {
		return b.failed("enrol", err)
	}
	c.public = private.PublicKey().Bytes()
	if err := writeCredential(path, &c); err != nil {
		return b.failed("enrol", err)
	}
	return nil
}

// Received is what an item held. It is plain data, and the caller's to guard.
type Received struct {
	Inbox   string
	Version uint32   // of the inbox's keyset
	Sender  string   // whose credential sealed it
	Subject string   // whom it is about, as the sender says
	ID      [32]byte // the item's; only its sender could make another with it
	Payload []byte   // up to 16 MiB
}

// Open returns what is in an item.
//
// An item of another inbox or ring, one that was changed, or that no enrolled
// sender made, is ErrOpen, and so is one under a keyset version that is
// destroyed, suspended or not known, which is keyring.ErrUnknownVersion too.
// One about an erased subject is keyring.ErrShredded, about a retained one
// keyring.ErrRetained, in all processes within 5 seconds. Other errors are those
// of [keyring.Ring.Keyset]: the item is to be tried again.
//
// An item opens as often as it comes. Whoever stores what was in it calls
// [Received.Accept] in the same transaction.
func (b *Inbox) Open(ctx context.Context, item Item) (Received, error) {
	var p itemParts
	if err := p.parse(item); err != nil {
		return Received{}, err
	}
	ks, err := b.ring().KeysetAt(ctx, inboxPrefix+b.name, p.version)
	if err != nil {
		return Received{}, b.failed("open", err)
	}
	place := itemPlace{b.ring().ID(), b.name, p.sender, p.version}
	content, err := b.open(ks, &place, &p)
	if err != nil {
		return Received{}, b.failed("open", err)
	}
	subject, payload, ok := parseContent(content)
	if !ok {
		clear(content)
		return Received{}, b.failed("open", ErrOpen)
	}
	if err := b.ring().Serving(ctx, subject); err != nil {
		clear(content)
		return Received{}, b.failed("open", err)
	}
	return Received{Inbox: b.name, Version: p.version, Sender: p.sender, Subject: subject, ID: p.mac, Payload: payload}, nil
}

// open returns the content of an item, once its sender is known to have sealed
// all of it.
func (b *Inbox) open(ks *keyring.Keyset, place *itemPlace, p *itemParts) ([]byte, error) {
	key, err := ks.Derive(place.version, inboxSenderLabel, place.inbox, place.sender)
	if err != nil {
		return nil, err
	}
	mac, err := secret.NewMAC(key)
	if err != nil {
		return nil, err
	}
	if want := place.mac(mac, p.head, p.body); !hmac.Equal(want[:], p.mac[:]) {
		return nil, ErrOpen // before the private key, which costs much more, is used
	}
	private, err := b.private(ks, place.version)
	if err != nil {
		return nil, err
	}
	recipient, err := hpke.NewRecipient(p.enc, private, hpke.HKDFSHA256(), hpke.ExportOnly(), place.info())
	if err != nil {
		return nil, ErrOpen
	}
	input, err := exported(recipient)
	if err != nil {
		return nil, err
	}
	body, err := chunked.Open(input, bodyContext(p.head), p.body)
	if err != nil {
		return nil, ErrOpen
	}
	content, err := body.Open(p.chunks)
	if err != nil {
		return nil, ErrOpen
	}
	return content, nil
}

// exported returns the input key of a body, from either side of HPKE.
func exported(side interface {
	Export(exporterContext string, length int) ([]byte, error)
}) (secret.Expander, error) {
	b, err := side.Export(inboxLabel, secret.KeySize)
	if err != nil {
		return secret.Expander{}, err
	}
	defer clear(b)
	key, err := secret.NewKey(b)
	if err != nil {
		return secret.Expander{}, err
	}
	return secret.NewExpander(key)
}

// private returns the private key of a version, derived once for a keyset.
func (b *Inbox) private(ks *keyring.Keyset, version uint32) (hpke.PrivateKey, error) {
	k := b.keys()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keyset != ks { // a version may have been suspended since
		k.keyset, k.byVersion = ks, map[uint32]hpke.PrivateKey{}
	}
	if key := k.byVersion[version]; key != nil {
		return key, nil
	}
	seed, err := ks.Derive(version, inboxKeyLabel, b.name)
	if err != nil {
		return nil, err
	}
	key, err := kem().NewPrivateKey(secret.Expose(seed))
	if err != nil {
		return nil, err
	}
	k.byVersion[version] = key
	return key, nil
}

func (b *Inbox) failed(stage string, err error) error { return failedIn("inbox", b.name, stage, err) }

// Accept notes in tx, in which the caller stores what was in the item, that it
// was accepted, and returns ErrReplayed if it was before: then roll back. Call it
// first in tx, or a key of the application's own tables may fail before it. With
// GORM tx is that of a db.Transaction: tx.Statement.ConnPool.(*sql.Tx). The table
// is the application's, on SQLite or PostgreSQL:
//
//	CREATE TABLE rahasia_accepted (
//		inbox TEXT NOT NULL, version BIGINT NOT NULL, id BYTEA PRIMARY KEY
//	)
//
// The rows of a version can be deleted when it is destroyed. What a sender has
// sealed twice are two items. A Received that did not come from [Inbox.Open] is
// ErrEmpty; other errors are those of tx.
func (r *Received) Accept(ctx context.Context, tx *sql.Tx) error {
	if r == nil || r.Inbox == "" || r.ID == [32]byte{} {
		return fmt.Errorf("%w: nothing received", ErrEmpty)
	}
	result, err := tx.ExecContext(ctx, "INSERT INTO rahasia_accepted (inbox, version, id) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
		r.Inbox, int64(r.Version), r.ID[:])
	if err != nil {
		return fmt.Errorf("envelope: accept: inbox %q: %w", r.Inbox, err)
	}
	n, err := result.RowsAffected()
	switch {
	case err != nil:
		return fmt.Errorf("envelope: accept: inbox %q: %w", r.Inbox, err)
	case n == 0:
		return fmt.Errorf("%w: inbox %q, sender %q", ErrReplayed, r.Inbox, r.Sender)
	}
	return nil
}

// Format writes the inbox's name, whatever the verb.
func (b *Inbox) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "envelope.Inbox("+b.name+")") }

// LogValue is the inbox's name.
func (b *Inbox) LogValue() slog.Value { return slog.StringValue("envelope.Inbox(" + b.name + ")") }
