package journal

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/name"
)

// ErrCorrupt is an entry that was changed, or is out of place, or is not one.
var ErrCorrupt = errors.New("record changed or damaged")

// The journal is text, one entry a line, so that a person can read it and a
// torn write can be told from a change:
//
//	rahasia/journal/v1 SEQ TIME PREV KIND ARGUMENT... MAC
//
// PREV is the SHA-256 of the line before without its newline (zeros in the
// first); MAC is HMAC-SHA256 of everything before it and its space. Hex is
// lower case, numbers are decimal without leading zeros, times are UTC with
// nine decimals, and fields are separated by one space: each entry has one spelling.
const (
	format     = "rahasia/journal/v1"
	timeLayout = "2006-01-02T15:04:05.000000000Z"

	untilLayout = "2006-01-02T15:04:05Z"
	macHex      = 2 * sha256.Size

	maxLine = 64 << 10 // bytes, newline included
)

// MaxCompartments is how many compartments a shred can name in one line.
const MaxCompartments = 512

// Kind is what an entry tells.
type Kind string

// The kinds and their arguments.
const (
	Create Kind = "create" // RING DIGEST, of the control keyset at revision 1
	Keyset Kind = "keyset" // NAME REVISION DIGEST
	Shred  Kind = "shred"  // ERASURE-TAG AUTHORITY [+-]COMPARTMENT:TAG ... by ascending compartment; + if a key was there
	Retain Kind = "retain" // ERASURE-TAG UNTIL BASIS DIGEST [+-]COMPARTMENT:TAG ...: the same; the digest is of the custody row
	Resume Kind = "resume" // ERASURE-TAG: the retention is over, and the keys are back
	Rekey  Kind = "rekey"  // ERASURE-TAG COMPARTMENT:TAG:NEWEST:FLOOR ... by ascending compartment
	Anchor Kind = "anchor" // NAME PLACE DIGEST: how far a record kept elsewhere has grown
	Reseed Kind = "reseed" // RING SEQ HASH COUNT: the store's head, and how many entries tell its state
)

// none stands for no authority.
const none = "-"

// Tag names a row, or a subject's erasure.
type Tag = [16]byte

// Head names an entry, or none.
type Head struct {
	Ring string
	Seq  uint64
	Hash [32]byte
}

// Mark is what the journal knows of a keyset, or of an anchored record.
type Mark struct {
	Name     string
	Revision uint64
	Digest   [32]byte
}

// Wipe is one row that a shred turns into a tombstone, or a retention into a
// stub. The custody row has the control keyset's name as its compartment.
type Wipe struct {
	Compartment string
	Tag         Tag
	Had         bool // a key was there when the entry was written
}

// Span is the generations of the key in one row that may be used.
type Span struct{ Newest, Floor uint32 }

// Respan gives a row its span.
type Respan struct {
	Compartment string
	Tag         Tag
	Span
}

// Retention is why and until when a subject's keys are with the custodian.
type Retention struct {
	Until  time.Time // UTC, whole seconds
	Basis  string    // see Phrase
	Digest [32]byte  // SHA-256 of the custody row
}

// Entry is one line of the journal.
type Entry struct {
	Seq  uint64
	At   time.Time
	Prev [32]byte
	Kind Kind

	Ring      string    // create, reseed
	Keyset    Mark      // create, keyset
	Anchor    Mark      // anchor; the revision is the place
	Erasure   Tag       // shred, retain, resume, rekey
	Authority string    // shred: a phrase, or empty
	Retention Retention // retain
	Wipes     []Wipe    // shred, retain
	Spans     []Respan  // rekey
	Base      Head      // reseed
	Count     uint64    // reseed
}

// body returns the line without its MAC.
func (e *Entry) body() []byte {
	b := fmt.Appendf(nil, "%s %d %s %x %s", format, e.Seq, e.At.UTC().Format(timeLayout), e.Prev, e.Kind)
	switch e.Kind {
	case Create:
		b = fmt.Appendf(b, " %s %x", e.Ring, e.Keyset.Digest)
	case Keyset:
		b = fmt.Appendf(b, " %s %d %x", e.Keyset.Name, e.Keyset.Revision, e.Keyset.Digest)
	case Anchor:
		b = fmt.Appendf(b, " %s %d %x", e.Anchor.Name, e.Anchor.Revision, e.Anchor.Digest)
	case Reseed:
		b = fmt.Appendf(b, " %s %d %x %d", e.Ring, e.Base.Seq, e.Base.Hash, e.Count)
	case Shred:
		b = appendWipes(fmt.Appendf(b, " %x %s", e.Erasure, word(cmp.Or(e.Authority, none))), e.Wipes)
	case Retain:
		r := &e.Retention
		b = fmt.Appendf(b, " %x %s %s %x", e.Erasure, r.Until.UTC().Format(untilLayout), word(r.Basis), r.Digest)
		b = appendWipes(b, e.Wipes)
	case Resume:
		b = fmt.Appendf(b, " %x", e.Erasure)
	case Rekey:
		b = fmt.Appendf(b, " %x", e.Erasure)
		for _, s := range e.Spans {
			b = fmt.Appendf(b, " %s:%x:%d:%d", s.Compartment, s.Tag, s.Newest, s.Floor)
		}
	}
	return b
}

func appendWipes(b []byte, wipes []Wipe) []byte {
	for _, w := range wipes {
		sign := '-'
		if w.Had {
			sign = '+'
		}
		b = fmt.Appendf(b, " %c%s:%x", sign, w.Compartment, w.Tag)
	}
	return b
}

// Phrase reports whether s can stand in an entry as a basis or an authority: 1
// to 128 printable ASCII characters without the underscore, of which the first is
// a letter or a digit, so that no other argument passes for one.
func Phrase(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '_' {
			return false
		}
	}
	c := s[0] | 0x20 // lower case
	return 'a' <= c && c <= 'z' || '0' <= s[0] && s[0] <= '9'
}

// word is a phrase as one field of a line; phrase is the way back.
func word(s string) string   { return strings.ReplaceAll(s, " ", "_") }
func phrase(s string) string { return strings.ReplaceAll(s, "_", " ") }

// Line returns the whole line, without its newline.
func (e *Entry) Line(key secret.MAC) []byte {
	b := e.body()
	return fmt.Appendf(b, " %x", secret.Sum(key, b))
}

// parse parses a line without its newline. It checks the one spelling, not the
// MAC, which it returns. Its errors quote nothing of the line.
func parse(line []byte) (*Entry, []byte, error) {
	f := strings.Split(string(line), " ")
	if len(f) < 7 || f[0] != format {
		return nil, nil, fmt.Errorf("unknown format: %w", ErrCorrupt)
	}
	e := &Entry{Kind: Kind(f[4])}
	mac := make([]byte, sha256.Size)
	ok := parseUint(f[1], &e.Seq) && parseTime(timeLayout, f[2], &e.At) && parseHex(f[3], e.Prev[:]) &&
		parseHex(f[len(f)-1], mac) && e.parseArguments(f[5:len(f)-1])
	if !ok || e.Seq == 0 || string(e.body())+" "+hex.EncodeToString(mac) != string(line) {
		return nil, nil, fmt.Errorf("malformed: %w", ErrCorrupt)
	}
	return e, mac, nil
}

func (e *Entry) parseArguments(args []string) bool {
	switch e.Kind {
	case Create:
		return len(args) == 2 && e.parseRing(args[0]) && parseHex(args[1], e.Keyset.Digest[:])
	case Keyset:
		return e.Keyset.parse(args) && (args[0] == name.Control || name.Keyset(args[0]))
	case Anchor:
		return e.Anchor.parse(args) && name.Keyset(args[0])
	case Reseed:
		return e.parseReseed(args)
	}
	return len(args) > 0 && parseHex(args[0], e.Erasure[:]) && e.parseSubject(args[1:])
}

// parseSubject parses what follows the erasure tag.
func (e *Entry) parseSubject(args []string) bool {
	switch e.Kind {
	case Shred:
		if len(args) == 0 {
			return false
		}
		if args[0] != none {
			e.Authority = phrase(args[0])
			if !Phrase(e.Authority) {
				return false
			}
		}
		return e.parseWipes(args[1:])
	case Retain:
		r := &e.Retention
		if len(args) < 3 {
			return false
		}
		r.Basis = phrase(args[1])
		return parseTime(untilLayout, args[0], &r.Until) && Phrase(r.Basis) && parseHex(args[2], r.Digest[:]) && e.parseWipes(args[3:])
	case Resume:
		return len(args) == 0
	case Rekey:
		return e.parseSpans(args)
	}
	return false
}

func (e *Entry) parseSpans(args []string) bool {
	if len(args) == 0 || len(args) > MaxCompartments {
		return false
	}
	for _, a := range args {
		f := strings.Split(a, ":")
		if len(f) != 4 || !name.Compartment(f[0]) {
			return false
		}
		s := Respan{Compartment: f[0]}
		if !parseHex(f[1], s.Tag[:]) || !parseGeneration(f[2], &s.Newest) || !parseGeneration(f[3], &s.Floor) || s.Floor > s.Newest {
			return false
		}
		if n := len(e.Spans); n > 0 && e.Spans[n-1].Compartment >= s.Compartment {
			return false
		}
		e.Spans = append(e.Spans, s)
	}
	return true
}

func (m *Mark) parse(args []string) bool {
	if len(args) != 3 {
		return false
	}
	m.Name = args[0]
	return parseUint(args[1], &m.Revision) && parseHex(args[2], m.Digest[:])
}

func (e *Entry) parseReseed(args []string) bool {
	return len(args) == 4 && e.parseRing(args[0]) && parseUint(args[1], &e.Base.Seq) &&
		parseHex(args[2], e.Base.Hash[:]) && parseUint(args[3], &e.Count)
}

func (e *Entry) parseRing(s string) bool {
	e.Ring = s
	switch e.Kind {
	case Create:
		e.Keyset.Name, e.Keyset.Revision = name.Control, 1
	case Reseed:
		e.Base.Ring = s
	}
	return name.Ring(s)
}

func (e *Entry) parseWipes(args []string) bool {
	if len(args) > MaxCompartments+1 { // the custody row is one more
		return false
	}
	for _, a := range args {
		sign, tag, ok := strings.Cut(a, ":")
		if !ok || sign == "" || sign[0] != '+' && sign[0] != '-' || sign[1:] != name.Control && !name.Compartment(sign[1:]) {
			return false
		}
		w := Wipe{Compartment: sign[1:], Had: sign[0] == '+'}
		if !parseHex(tag, w.Tag[:]) {
			return false
		}
		if n := len(e.Wipes); n > 0 && e.Wipes[n-1].Compartment >= w.Compartment {
			return false
		}
		e.Wipes = append(e.Wipes, w)
	}
	return true
}

// AddWipe adds w in its place, unless its compartment is there.
func (e *Entry) AddWipe(w Wipe) {
	i, found := slices.BinarySearchFunc(e.Wipes, w, func(a, b Wipe) int {
		return strings.Compare(a.Compartment, b.Compartment)
	})
	if !found {
		e.Wipes = slices.Insert(e.Wipes, i, w)
	}
}

// The three parsers below accept more spellings than one; comparing the line
// that the parsed entry would write leaves one.

func parseUint(s string, to *uint64) bool {
	n, err := strconv.ParseUint(s, 10, 63) // 63 bits: SQL has no unsigned integers
	*to = n
	return err == nil
}

func parseGeneration(s string, to *uint32) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	*to = uint32(n)
	return err == nil && n > 0
}

func parseTime(layout, s string, to *time.Time) bool {
	t, err := time.Parse(layout, s)
	*to = t
	return err == nil
}

func parseHex(s string, to []byte) bool {
	if len(s) != 2*len(to) {
		return false
	}
	_, err := hex.Decode(to, []byte(s))
	return err == nil
}
