// Package keyring keeps the keys of a system that holds records about people:
// wrapped, versioned, rotated, and destroyed when somebody asks to be forgotten.
//
// # The hierarchy
//
//	KEK           a key service, an HSM, a key file or a passphrase; wraps
//	 keyset       one per compartment or domain: a Tink keyset of HKDF-PRF keys, in versions
//	  subject key 32 random bytes per (compartment, subject), wrapped under the keyset
//	   record key and others, derived from the subject key by label
//
// A [Ring] is the named keysets of one system and the subject keys under them.
// A compartment ("identity", "clinical") divides what is held about a subject; a
// domain ("research/ui-2026") is one recipient or purpose of pseudonyms. A
// [KEK] is called when a keyset is made, once per process to load each, and every
// few minutes while it is used: never for a record.
//
// A [Store] keeps them: package sqlstore in SQLite or PostgreSQL, package dirstore
// in a folder of files, [NewMemoryStore] in a test. Begin with [CreateKeyFile] and
// [Create], then [Ring.CreateKeyset] for each compartment, then
// [Ring.CreateSubject] for each subject, which package envelope calls itself.
//
// [Ring.Rotate] gives a keyset a new version, [Ring.Rewrap] moves subject keys
// under it, or keysets under another KEK, beside readers and writers, and
// [Ring.SetState] suspends and destroys what nothing needs any more. [Ring.Export]
// and [Restore] are for the day on which the KEKs are gone; docs/RESTORE.md is
// the drill.
//
// # Erasure
//
// [Ring.Shred] overwrites a subject's wrapped keys in every compartment by
// tombstones. What was sealed under them stays where it is, and nobody can open
// it. Each erasure is first written to the [Journal], which is kept and backed
// up apart from the [Store]. Every load of a key asks the journal, so that an old
// row put back brings nobody back; a store restored whole from a backup does not
// open ([ErrRolledBack]) until [Replay] has erased again who was erased since.
//
// # Retention and rekeying
//
// Where a law obliges to keep what a subject asks to erase, [Ring.Retain] seals the
// subject's keys to a [Custodian] and takes them out of service; after the end
// date [Ring.Shred] erases, and until then [Ring.EndRetention] brings them back, with
// the custodian's private key. [Ring.Rekey] gives a subject a new key after one has
// leaked, and [Ring.EndRekey] destroys the old one. [Config].Events is told of each.
//
// # What it does not protect
//
// Whoever may use the KEK and has a backup of the store from before an erasure
// can still read what was sealed then. Store and journal restored together, from
// the same time, cannot be noticed from inside. A process that holds keys can
// copy them. Tags in the store reveal how many subjects there are, and in which
// compartments each row is, not whose it is.
//
// docs/SPEC.md has the constructions, step by step.
package keyring
