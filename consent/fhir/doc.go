// Package fhir turns HL7 FHIR R4 Consent resources into consents of this
// library and back, and projects a patient's consents onto the one switch that
// SATUSEHAT has.
//
// # Dialects
//
// What a FHIR R4 Consent permits cannot be told from the resource alone: three
// ways of reading its provisions live side by side, and one takes for a permit
// what another takes for a refusal. So the caller declares the [Dialect] of the
// system that the resource comes from, and what that dialect leaves ambiguous is
// refused. Nothing is guessed.
//
// # What is not evaluated
//
// An element that the decision does not evaluate (class, code, an actor in
// another role than a recipient's, a code of another system, a reference that
// [Options.Local] does not know, an extension) makes a permit an error, and a
// refusal one that applies in full: [Imported.Widened] names these elements.
// Errors are an [ElementError], which names the element and never its value.
//
// # Labels
//
// A permit without a securityLabel reaches every level and label. One that names a level
// reaches that level and lower, and no sensitivity label; one that names
// sensitivity labels only reaches these up to [Options.LabelLevel], and data without a label
// too. A permit that names both reaches data for which both hold, and a refusal
// data for which either does.
package fhir
