package consent

import (
	"cmp"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

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

// sectionForm is what a record type fixes of the tag of one of its sections.
type sectionForm struct {
	compartment string
	labelled    bool   // it carries the record's own labels
	fields      []byte // the labels of its fields, encoded; nil for none
}

// sectionForms are those of the plan's compartments, in order.
func sectionForms(plan *phi.Plan) ([]sectionForm, error) {
	labelled := labelledSections(plan)
	out := make([]sectionForm, len(plan.Compartments))
	for i, c := range plan.Compartments {
		out[i] = sectionForm{compartment: c, labelled: slices.Contains(labelled, c)}
		fields := map[string][]Label{}
		for j := range plan.Fields {
			if f := &plan.Fields[j]; f.Compartment == c && len(f.Labels) > 0 {
				fields[f.Name] = labelsOf(f)
			}
		}
		if len(fields) == 0 {
			continue
		}
		var err error
		if out[i].fields, err = encodeReadable(fields); err != nil {
			return nil, fmt.Errorf("labels of %s: %w", c, err)
		}
	}
	return out, nil
}

// sections encodes t for each compartment of the plan.
func (t *Tag) sections(plan *phi.Plan) (map[string][]byte, error) {
	forms, err := sectionForms(plan)
	if err != nil {
		return nil, err
	}
	out, facts := make(map[string][]byte, len(forms)), t.facts()
	for i := range forms {
		out[forms[i].compartment] = facts.appendTo(nil, &forms[i])
	}
	return out, nil
}

// appendTo appends the tag of one section behind dst. What it writes [parseTag]
// reads, for check has passed all that s states.
func (s *sectionTag) appendTo(dst []byte, f *sectionForm) []byte {
	var w mapWriter
	w.begin(dst)
	w.must(1, string(s.Purpose))
	w.must(2, string(s.Basis))
	w.text(3, s.Consent)
	w.text(4, s.Policy)
	w.must(5, string(s.Confidentiality))
	if f.labelled {
		writeTexts(&w, 6, s.Sensitivity)
	}
	if s.Retain != 0 {
		w.int(7, s.Retain)
	}
	if f.fields != nil {
		w.key(8)
		w.b = append(w.b, f.fields...)
	}
	if f.labelled {
		w.text(9, s.Author)
		writeTexts(&w, 10, s.Related)
		if s.Time != nil {
			w.int(11, *s.Time)
		}
	}
	return w.b
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

// sorted is list sorted and without repeats, a copy unless it was so already.
func sorted[S ~string](list []S) []S {
	if ascending(list) {
		return list
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// ascending reports whether list is sorted and without repeats.
func ascending[S ~string](list []S) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1] >= list[i] {
			return false
		}
	}
	return true
}

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
	l := s.Sensitivity
	if more := s.Fields[f.Name]; len(more)+len(f.Labels) > 0 {
		l = slices.Concat(l, more, labelsOf(f))
	}
	return s.Confidentiality, sorted(l)
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
