package consent

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/rahasia/rahasia/internal/phi"
)

// Tag are the facts of collection: why and on what basis a record was made.
// They are sealed into the record's manifests, so nobody reads or changes them
// without the keys, and they never change; what a patient later allows or
// withdraws is the [Ledger]'s and rewrites no record.
type Tag struct {
	Purpose Purpose // required: why the data was collected
	Basis   Basis   // required: there is no processing without a legal basis

	Actor string // who collected it: an id for the audit log; not sealed

	Consent string // reference of the consent given at collection
	Policy  string // version of the privacy notice that the patient saw

	// Confidentiality of the whole record; empty is Normal.
	Confidentiality Confidentiality
	// Sensitivity are labels of this record beyond those of its type. They are
	// sealed with every compartment that holds more than identity: a service
	// that has only names must not learn a diagnosis from a label.
	Sensitivity []Label
	Retain      time.Time // keep at least until; zero: no stated term

	// What consents may select records by ([Selection]); sealed with Sensitivity,
	// so a service that has only names cannot tell, and what is selected by these
	// stays closed to it.
	Author  string    // who made the data
	Related []string  // the encounters and episodes of care that it belongs to
	Time    time.Time // its clinical time, to the second
}

func (t *Tag) check() error {
	switch {
	case !t.Purpose.known():
		return fmt.Errorf("tag: purpose: %w", ErrCode)
	case !t.Basis.known():
		return fmt.Errorf("tag: %w", ErrNoBasis)
	case t.Confidentiality.rank() == 0:
		return fmt.Errorf("tag: confidentiality: %w", ErrCode)
	case slices.ContainsFunc(t.Sensitivity, func(l Label) bool { return !l.known() }):
		return fmt.Errorf("tag: sensitivity: %w", ErrCode)
	case !text(t.Consent, t.Actor, t.Policy, t.Author), !text(t.Related...), max(len(t.Sensitivity), len(t.Related)) > maxList:
		return fmt.Errorf("tag: %w", ErrLimit)
	}
	return nil
}

// sectionTag is a tag as one section carries it: CBOR, a map with small
// integer keys (SPEC.md, "consent tag").
type sectionTag struct {
	Purpose         Purpose            `cbor:"1,keyasint"`
	Basis           Basis              `cbor:"2,keyasint"`
	Consent         string             `cbor:"3,keyasint,omitempty"`
	Policy          string             `cbor:"4,keyasint,omitempty"`
	Confidentiality Confidentiality    `cbor:"5,keyasint"`
	Sensitivity     []Label            `cbor:"6,keyasint,omitempty"`
	Retain          int64              `cbor:"7,keyasint,omitempty"` // seconds since 1970, UTC
	Fields          map[string][]Label `cbor:"8,keyasint,omitempty"` // labels of this section's fields
	Author          string             `cbor:"9,keyasint,omitempty"`
	Related         []string           `cbor:"10,keyasint,omitempty"`
	Time            *int64             `cbor:"11,keyasint,omitempty"` // seconds since 1970, UTC
}

// sections encodes t for each compartment of the plan.
func (t *Tag) sections(plan *phi.Plan) (map[string][]byte, error) {
	out := make(map[string][]byte, len(plan.Compartments))
	labelled, facts := labelledSections(plan), t.facts()
	for _, c := range plan.Compartments {
		s := facts
		s.Sensitivity, s.Author, s.Related, s.Time = nil, "", nil, nil
		if slices.Contains(labelled, c) {
			s.Sensitivity, s.Author, s.Related, s.Time = facts.Sensitivity, facts.Author, facts.Related, facts.Time
		}
		for i := range plan.Fields {
			f := &plan.Fields[i]
			if f.Compartment != c || len(f.Labels) == 0 {
				continue
			}
			if s.Fields == nil {
				s.Fields = map[string][]Label{}
			}
			s.Fields[f.Name] = labelsOf(f)
		}
		b, err := encodeReadable(s)
		if err != nil {
			return nil, fmt.Errorf("tag of %s: %w", c, err)
		}
		out[c] = b
	}
	return out, nil
}

// facts are t as one section states all of it, for which they need not be split.
func (t *Tag) facts() sectionTag {
	s := sectionTag{
		Purpose: t.Purpose, Basis: t.Basis, Consent: t.Consent, Policy: t.Policy, Confidentiality: cmp.Or(t.Confidentiality, Normal),
		Sensitivity: sorted(t.Sensitivity), Author: t.Author, Related: sorted(t.Related),
	}
	if !t.Retain.IsZero() {
		s.Retain = t.Retain.Unix()
	}
	if !t.Time.IsZero() {
		at := t.Time.Unix()
		s.Time = &at
	}
	return s
}

// sorted is a sorted copy without repeats, nil where there is nothing.
func sorted[S ~string](list []S) []S { return slices.Compact(slices.Sorted(slices.Values(list))) }

// tag is the tag that s states.
func (s *sectionTag) tag() Tag {
	t := Tag{
		Purpose: s.Purpose, Basis: s.Basis, Consent: s.Consent, Policy: s.Policy, Confidentiality: s.Confidentiality,
		Sensitivity: s.Sensitivity, Author: s.Author, Related: s.Related,
	}
	if s.Retain != 0 {
		t.Retain = time.Unix(s.Retain, 0)
	}
	if s.Time != nil {
		t.Time = time.Unix(*s.Time, 0)
	}
	return t
}

// labelledSections are the compartments that carry a record's own labels: those
// that hold more than identity, or all where there is no other.
func labelledSections(plan *phi.Plan) []string {
	var out []string
	for i := range plan.Fields {
		f := &plan.Fields[i]
		if f.Kind.Compartment != "identity" && !slices.Contains(out, f.Compartment) {
			out = append(out, f.Compartment)
		}
	}
	if len(out) == 0 {
		return plan.Compartments
	}
	return out
}

func parseTag(b []byte) (sectionTag, error) {
	var s sectionTag
	if err := decode(b, &s); err != nil || !s.Basis.known() || !s.Purpose.known() || s.Confidentiality.rank() == 0 {
		return sectionTag{}, ErrTag
	}
	return s, nil
}

func labelsOf(f *phi.Field) []Label {
	out := make([]Label, len(f.Labels))
	for i, l := range f.Labels {
		out[i] = Label(l)
	}
	return out
}

// labels are those of one field of the section: the record's, the ones the
// field was sealed with and the ones its type has now. More labels only ever
// close, so a type that gains one protects the old records too.
func (s *sectionTag) labels(f *phi.Field) (Confidentiality, []Label) {
	l := slices.Concat(s.Sensitivity, s.Fields[f.Name], labelsOf(f))
	slices.Sort(l)
	return s.Confidentiality, slices.Compact(l)
}

// describe adds to d what s says about the whole record.
func (s *sectionTag) describe(d *Data) {
	if s.Author != "" {
		d.Author = s.Author
	}
	if len(s.Related) > 0 {
		d.Related = s.Related
	}
	if s.Time != nil {
		d.Time = time.Unix(*s.Time, 0)
	}
}

// Limits of what a caller may have written down.
const (
	maxText = 256 // bytes
	maxList = 32
)

// text reports whether every s can be written: one that is not UTF-8 would make
// what it stands in unreadable for good.
func text(s ...string) bool {
	return !slices.ContainsFunc(s, func(s string) bool { return len(s) > maxText || !utf8.ValidString(s) })
}

// encMode writes deterministic CBOR (RFC 8949, section 4.2.1), decMode reads
// nothing but it.
var encMode, decMode = func() (cbor.EncMode, cbor.DecMode) {
	e, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // the options are constant
	}
	d, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   8,
		MaxArrayElements:  1 << 16,
		MaxMapPairs:       1 << 12,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return e, d
}()

func encode(v any) ([]byte, error) { return encMode.Marshal(v) }

// encodeReadable is encode for what is written once and must be read for ever:
// it refuses what decode would.
func encodeReadable[T any](v T) ([]byte, error) {
	b, err := encode(v)
	if err == nil {
		err = decode(b, new(T))
	}
	if err != nil {
		return nil, ErrLimit
	}
	return b, nil
}

// decode reads what encode wrote and nothing else: bytes that decode but would
// be written otherwise are refused too.
func decode(b []byte, v any) error {
	if err := decMode.Unmarshal(b, v); err != nil {
		return err
	}
	if again, err := encode(v); err != nil || !bytes.Equal(again, b) {
		return errors.New("not canonical")
	}
	return nil
}
