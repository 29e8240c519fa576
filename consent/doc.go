// Package consent opens sealed records only for a reason, and keeps the proof.
//
// [Records] seals a tagged struct as package envelope does and finds it again
// as package pseudo does, over the very same bytes, and puts two things before
// every plaintext: a decision ([Decide]) over the patient's consents in the
// [Ledger], and an entry in the audit [Log] that is durable before the first
// field is opened. A decision that is missing, unknown or undecidable is a
// refusal; so is an audit entry that could not be written.
//
// What is withheld never reads as empty: [Records.Open] returns a
// [*WithheldError] that names each field it did not set. What a purpose may see
// only as a pseudonym, [Records.Open] refuses and [Records.Export] gives.
//
// # What it does not protect
//
// Encryption gates release, not reuse: a process that may open a record can
// also copy it, and a T that has been opened is a plain Go value that fmt and
// any logger will print. A host that owns keys, ledger, log and code owns the
// decision too; what it cannot do unseen is rewrite a log of which a
// [Log.Checkpoint] has left the house.
package consent
