package consent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

const (
	labelReceiptSign    = "rahasia/receipt-signer/v1"
	labelReceiptSubject = "rahasia/receipt-subject/v1"
	receiptSchema       = "rahasia/consent-receipt/v1"
	consentArticle      = "UU 27/2022 art. 20(2)(a)"
)

// ErrNotice is the error of a receipt whose notice does not say all that it must.
var ErrNotice = errors.New("the notice lacks what a receipt must state")

// ErrReceipt is the error of a receipt that none of the keys has signed, or of another form.
var ErrReceipt = errors.New("not a receipt that one of these keys signed")

// Party is a controller or a recipient, as a receipt names it.
type Party struct {
	ID      string `json:"party_id"`
	Name    string `json:"party_name"`
	Address string `json:"party_address"`
	Contact string `json:"party_contact"` // for questions, and for the rights of the patient
	Type    string `json:"party_type"`    // such as hospital, laboratory, insurer
}

// Notice is what the patient was told before deciding, and what the ledger does
// not know: the same for all patients who saw it (UU PDP 27/2022, article 21).
// Everything but Recipients is required.
type Notice struct {
	URI          string
	Text         string // exactly as shown; a receipt holds its SHA-256
	Language     Language
	Controllers  []Party
	Recipients   []Party  // third parties that receive data
	Information  []string // the kinds of data, such as "diagnoses"
	Storage      []string // where data lies, such as a country or a data centre
	Retention    string   // how long, such as "25 years from the last visit"
	Withdrawal   string   // how to withdraw
	Jurisdiction string   // ISO 3166-1: ID
}

// Receipt is what a patient is given as proof of a consent, or of a refusal,
// and what a controller shows as such (UU PDP 27/2022, article 24).
//
// Its fields cover those that the guide of W3C's DPV community group lists as
// mandatory for a record under ISO/IEC TS 27560:2023. The standard itself was
// not read, and no conformity is claimed.
type Receipt struct {
	SchemaVersion string `json:"schema_version"`
	RecordID      string `json:"record_id"` // the consent's id
	ReceiptID     string `json:"receipt_id"`

	// PrincipalID stands for the patient: a keyed token of 16 bytes in hex,
	// which the house can make again from the id, and nobody else.
	PrincipalID string `json:"pii_principal_id"`

	PrivacyNotice string        `json:"privacy_notice"`
	NoticeSHA256  string        `json:"privacy_notice_sha256"`
	Language      Language      `json:"language"`
	LawfulBasis   string        `json:"lawful_basis"`
	Rules         []ReceiptRule `json:"rules"` // the consent, and then its exceptions, of which the last that matches decides
	Information   []string      `json:"pii_information"`
	Controllers   []Party       `json:"pii_controllers"`
	Recipients    []Party       `json:"recipient_third_parties,omitempty"`
	Storage       []string      `json:"storage_locations"`
	Retention     string        `json:"retention_period"`
	Withdrawal    string        `json:"withdrawal_method"`
	Jurisdiction  string        `json:"jurisdiction"`

	EventType  string     `json:"event_type"`      // consent or refusal
	EventState string     `json:"event_state"`     // given, withdrawn, superseded, expired, representation-ended: at Issued
	EventTime  time.Time  `json:"event_time"`      // when it was recorded
	EventBy    string     `json:"event_entity_id"` // PrincipalID, or a token for the representative
	Relation   string     `json:"event_entity_relation,omitempty"`
	From       *time.Time `json:"valid_from,omitempty"`
	Until      *time.Time `json:"valid_until,omitempty"`
	EventEnded *time.Time `json:"event_ended,omitempty"`
	Issued     time.Time  `json:"issued"`
}

// ReceiptRule is a [Rule] as a receipt writes it.
type ReceiptRule struct {
	Refused         bool            `json:"refused,omitempty"`
	Hold            bool            `json:"hold,omitempty"`
	Purposes        []Purpose       `json:"purposes,omitempty"`
	Actions         []Action        `json:"actions,omitempty"`
	Actors          []string        `json:"actors,omitempty"`
	Roles           []string        `json:"roles,omitempty"`
	Confidentiality Confidentiality `json:"confidentiality,omitempty"`
	Sensitivity     []Label         `json:"sensitivity,omitempty"`
	Obligations     []Obligation    `json:"obligations,omitempty"`
	Types           []string        `json:"data_types,omitempty"`
	Records         []string        `json:"data_records,omitempty"`
	Authors         []string        `json:"data_authors,omitempty"`
	Related         []string        `json:"data_related,omitempty"`
	DataFrom        *time.Time      `json:"data_from,omitempty"`
	DataUntil       *time.Time      `json:"data_until,omitempty"`
	From            *time.Time      `json:"valid_from,omitempty"`
	Until           *time.Time      `json:"valid_until,omitempty"`
}

// Receipt signs a receipt of a patient's consent as the ledger has it now, for
// the patient to keep: JSON of one line and an Ed25519 signature, in the form
// https://c2sp.org/signed-note, for [CheckReceipt] or any verifier of such notes.
//
// It names the patient by a token only. The ids of actors, records and authors
// that the consent names stand in it as they are, and its labels (HIV) say what the
// patient spoke of. by is who issues it, an id for the audit log, which has the
// entry "receipt" before it is returned. Errors: [ErrNotice], [ErrNoConsent],
// [ErrSubject], [ErrLimit], [ErrAudit], [ErrConfig], [ErrTampered],
// keyring.ErrShredded for an erased patient.
func (c *Config) Receipt(ctx context.Context, subject, id, by string, n Notice) ([]byte, error) {
	err := c.whole()
	if err == nil {
		err = n.check()
	}
	if err == nil && !text(by) {
		err = ErrLimit
	}
	var out []byte
	var of *Consent
	if err == nil {
		out, of, err = c.receipt(ctx, subject, id, n)
	}
	if err == nil {
		err = c.issued(ctx, of, by)
	}
	if err != nil {
		return nil, fmt.Errorf("consent: receipt: %w", err)
	}
	return out, nil
}

// issued writes the entry of a receipt.
func (c *Config) issued(ctx context.Context, of *Consent, by string) error {
	entry, err := c.ledgerEntry(ctx, "receipt", of.Subject, of.ID, of.Purposes[0])
	if err != nil {
		return err
	}
	entry.Actor = by
	return c.Log.append(ctx, entry)
}

// receipt signs a receipt, and returns the consent that it is of.
func (c *Config) receipt(ctx context.Context, subject, id string, n Notice) ([]byte, *Consent, error) {
	all, err := c.Ledger.Of(ctx, subject)
	if err != nil {
		return nil, nil, err
	}
	i := indexOf(all, id)
	if i < 0 {
		return nil, nil, ErrNoConsent
	}
	given, err := c.Ledger.recorded(ctx, subject, id)
	if err != nil {
		return nil, nil, err
	}
	ks, err := c.Ring.Keyset(ctx, evidence.TreeKeyset)
	if err != nil {
		return nil, nil, err
	}
	r := newReceipt(&all[i], n)
	if err := r.name(ks, subject, all[i].GivenBy); err != nil {
		return nil, nil, err
	}
	now := c.now() // Issued has no part of a second, but what was withdrawn in this one is
	r.EventTime, r.Issued, r.EventState = given.UTC(), now.UTC().Truncate(time.Second), all[i].state(now)
	text, err := r.encode()
	if err != nil {
		return nil, nil, ErrLimit // a time that RFC 3339 cannot say
	}
	key, err := newReceiptSigner(c.Ring, ks, ks.Primary())
	if err != nil {
		return nil, nil, err
	}
	signed, err := note.Sign(&note.Note{Text: string(text)}, key)
	return signed, &all[i], err
}

// name writes the patient into r, and who spoke in the patient's place.
func (r *Receipt) name(ks *keyring.Keyset, subject string, by *Representative) (err error) {
	if r.PrincipalID, err = receiptToken(ks, subject); err != nil || by == nil {
		r.EventBy = r.PrincipalID
		return err
	}
	r.Relation = by.Relation
	r.EventBy, err = receiptToken(ks, by.ID)
	return err
}

// ReceiptKeys returns the public keys that receipts were signed with, the one in
// use first, in the text form of signed notes. Publish them, and keep them
// published when their version is gone, so that a receipt can be checked without this house.
func (c *Config) ReceiptKeys(ctx context.Context) ([]string, error) {
	if err := c.whole(); err != nil {
		return nil, fmt.Errorf("consent: receipt keys: %w", err)
	}
	ks, err := c.Ring.Keyset(ctx, evidence.TreeKeyset)
	if err != nil {
		return nil, fmt.Errorf("consent: receipt keys: %w", err)
	}
	var keys []string
	for _, v := range ks.Versions() {
		s, err := newReceiptSigner(c.Ring, ks, v)
		if err != nil {
			return nil, fmt.Errorf("consent: receipt keys: %w", err)
		}
		keys = append(keys, s.vkey)
	}
	return keys, nil
}

// CheckReceipt returns what a receipt says that one of the keys has signed; it
// needs no ring. Nothing but the receipt as it was issued passes: [ErrReceipt].
// It was true when it was issued: whether the consent still stands, the ledger knows.
func CheckReceipt(receipt []byte, keys ...string) (*Receipt, error) {
	var all []note.Verifier
	for _, k := range keys {
		v, err := note.NewVerifier(k)
		if err != nil || !strings.HasPrefix(v.Name(), receiptOrigin("")) {
			return nil, fmt.Errorf("consent: check receipt: key: %w", ErrReceipt)
		}
		all = append(all, v)
	}
	n, err := note.Open(receipt, note.VerifierList(all...))
	if err != nil || !evidence.SignedOnce(receipt, n) {
		return nil, fmt.Errorf("consent: check receipt: %w", ErrReceipt)
	}
	r := new(Receipt)
	if err := json.Unmarshal([]byte(n.Text), r); err != nil || r.SchemaVersion != receiptSchema {
		return nil, fmt.Errorf("consent: check receipt: %w", ErrReceipt)
	}
	again, err := r.encode()
	if err != nil || string(again) != n.Text { // unknown, repeated or misspelt names, another order
		return nil, fmt.Errorf("consent: check receipt: %w", ErrReceipt)
	}
	return r, nil
}

// encode writes the one form that r has: the order of the fields above, no
// white space, times in UTC, and a line feed.
func (r *Receipt) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(r)
	return b.Bytes(), err
}

func newReceipt(c *Consent, n Notice) *Receipt {
	sum := sha256.Sum256([]byte(n.Text))
	base := c.base()
	r := &Receipt{
		SchemaVersion: receiptSchema, RecordID: c.ID, ReceiptID: envelope.NewID(),
		PrivacyNotice: n.URI, NoticeSHA256: hex.EncodeToString(sum[:]), Language: n.Language, LawfulBasis: consentArticle,
		Information: n.Information, Controllers: n.Controllers, Recipients: n.Recipients, Storage: n.Storage,
		Retention: n.Retention, Withdrawal: n.Withdrawal, Jurisdiction: n.Jurisdiction,
		EventType: "consent", From: utc(c.From), Until: utc(c.Until), EventEnded: utc(c.Withdrawn),
		Rules: []ReceiptRule{newReceiptRule(&base)},
	}
	r.Rules[0].Hold = c.Hold
	if c.Refused {
		r.EventType = "refusal"
	}
	for i := range c.Except {
		r.Rules = append(r.Rules, newReceiptRule(&c.Except[i]))
	}
	return r
}

func newReceiptRule(r *Rule) ReceiptRule {
	return ReceiptRule{
		Refused: r.Refused, Purposes: r.Purposes, Actions: r.Actions, Actors: r.Actors, Roles: r.Roles,
		Confidentiality: r.Confidentiality, Sensitivity: r.Sensitivity, Obligations: r.Obligations,
		Types: r.Data.Types, Records: r.Data.Records, Authors: r.Data.Authors, Related: r.Data.Related,
		DataFrom: utc(r.Data.From), DataUntil: utc(r.Data.Until), From: utc(r.From), Until: utc(r.Until),
	}
}

func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// state is what a receipt says of c at a time.
func (c *Consent) state(now time.Time) string {
	switch c.live(now) {
	case Ended:
		return "withdrawn"
	case Superseded:
		return "superseded"
	case NotRepresented:
		return "representation-ended"
	case Expired:
		return "expired"
	}
	return "given"
}

// recorded returns when the ledger was told of a consent.
func (l *Ledger) recorded(ctx context.Context, subject, id string) (time.Time, error) {
	bodies, err := l.bodies(ctx, subject)
	for _, body := range bodies {
		var b eventBody
		if decode(body, &b) == nil && b.Kind == eventGiven && b.ID == id {
			return b.At.time(), nil
		}
	}
	return time.Time{}, errors.Join(err, ErrNoConsent)
}

func (n *Notice) check() error {
	required := []string{n.URI, n.Text, string(n.Language), n.Retention, n.Withdrawal, n.Jurisdiction}
	required = append(append(required, n.Information...), n.Storage...)
	for _, p := range slices.Concat(n.Controllers, n.Recipients) {
		required = append(required, p.ID, p.Name, p.Address, p.Contact, p.Type)
	}
	if len(n.Controllers) == 0 || len(n.Information) == 0 || len(n.Storage) == 0 || slices.Contains(required, "") {
		return ErrNotice
	}
	if len(required) > 16*maxList || !text(slices.DeleteFunc(required, func(s string) bool { return s == n.Text })...) {
		return ErrLimit
	}
	return nil
}

// receiptToken is what a receipt calls a person: the same in all receipts under
// one version of the keyset.
func receiptToken(ks *keyring.Keyset, id string) (string, error) {
	k, err := ks.Derive(ks.Primary(), labelReceiptSubject)
	if err != nil {
		return "", err
	}
	m, err := secret.NewMAC(k)
	if err != nil {
		return "", err
	}
	sum := secret.Sum(m, []byte(id))
	return hex.EncodeToString(sum[:16]), nil
}

// receiptSigner is a note.Signer whose key lives behind a closure.
type receiptSigner struct {
	name, vkey string
	hash       uint32
	sign       func([]byte) []byte
}

func (s *receiptSigner) Name() string                    { return s.name }
func (s *receiptSigner) KeyHash() uint32                 { return s.hash }
func (s *receiptSigner) Sign(msg []byte) ([]byte, error) { return s.sign(msg), nil }

// receiptOrigin is the name of the key: another one than the log's, so that
// neither passes for the other.
func receiptOrigin(ring string) string { return "rahasia-receipt/" + ring }

func newReceiptSigner(ring *keyring.Ring, ks *keyring.Keyset, version uint32) (*receiptSigner, error) {
	k, err := ks.Derive(version, labelReceiptSign)
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(secret.Expose(k))
	s := &receiptSigner{name: receiptOrigin(ring.ID()), sign: func(msg []byte) []byte { return ed25519.Sign(key, msg) }}
	if s.vkey, err = note.NewEd25519VerifierKey(s.name, key.Public().(ed25519.PublicKey)); err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(s.vkey)
	if err != nil {
		return nil, err
	}
	s.hash = v.KeyHash()
	return s, nil
}
