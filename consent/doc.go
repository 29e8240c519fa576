// Package consent opens sealed records only for a reason, and keeps the proof.
//
// [Records] seals a tagged struct as package envelope does and finds it again
// as package pseudo does, over the very same bytes, and puts two things before
// every plaintext: a decision ([Policy.Decide]) over the patient's consents in the
// [Ledger], and an entry in the audit [Log] that is durable before the first
// field is opened. A decision that is missing, unknown or undecidable is a
// refusal; so is an audit entry that could not be written.
//
// What is withheld never reads as empty: [Records.Open] returns a
// [*WithheldError] that names each field it did not set. What a purpose may see
// only as a pseudonym, [Records.Open] refuses and [Records.Export] gives.
//
// Records come in from where nobody may read them by an [Intake], and go out to
// others through a [Gate]. A patient who leaves is erased, or retained where a
// law says so ([Config.Erase], [Config.Retain]); one who has two ids is merged
// ([Records.Rebind]). What an emergency opened waits for a [Review], and a service
// whose patients have not been asked yet may [Observe] for a while.
//
// # Tags
//
//	tag    = role | "clear" | kind { "," option }
//	role   = "subject" | "record"
//	option = "lookup" | "unique" | "label=" code | "in=" compartment | "name=" stored-name
//
// subject marks the patient's id, record the id of one of several records of a
// type that a patient has. Without record there is one record of the type per
// patient; forget it on a type of which there are several, such as visits, and
// one visit's row can be put in another's place unnoticed. Both ids are opaque
// strings that stay clear: assign them before sealing (envelope.NewID makes
// one), and never use a NIK.
//
// A kind says what a field is; from it follow the compartment whose key seals
// it and what an export makes of it:
//
//	identity   bpjs, email, mrn, name, nik, passport, phone   dropped; may be looked up
//	identity   contact-phone, kk, nik-ibu    the same; another's, so they never join the patient's
//	identity   address, region               dropped
//	identity   birthdate                     its year; a time.Time, or a text as YYYY-MM-DD, YYYY-MM or YYYY
//	identity   sex                           kept
//	clinical   clinical                      kept, unless its type has a time.Time in it
//	clinical   date                          its year; likewise
//	clinical   text                          dropped
//	sensitive  sensitive                     dropped
//	clinical   no tag at all                 dropped
//
// label= names the sensitivity of a field (label=HIV): it opens only under a
// consent that names that label. in= puts a field into another compartment,
// name= fixes its stored name when the Go field is renamed. unique, beside
// lookup, says that no two rows may have its value: it then has two UNIQUE
// columns ([Row].Unique) in the place of one. A struct without a tag is walked.
//
// # A configuration by hand
//
// [OpenDir] keeps all in one folder. A service with its own key service and
// databases fills a [Config] itself. Once, for each ring:
//
//	ring, err := keyring.Create(ctx, "clinic", keyring.Config{Store: store, Journal: journal, KEK: kek})
//	for _, name := range []string{"audit", "consent/ledger", "consent/log", "identity", "clinical", "lookup/patient/NIK"} {
//		err = ring.CreateKeyset(ctx, name)
//	}
//
// that is the three that every configuration needs, each compartment of its
// types, and pseudo.LookupDomain for each lookup field; and at every start:
//
//	ring, err := keyring.Open(ctx, keyring.Config{Store: store, Journal: journal, KEK: kek})
//	ledger, err := consent.OpenLedger(ctx, ring, db)
//	audit, err := consent.OpenLog(ctx, ring, db)
//	cfg := &consent.Config{Ring: ring, Ledger: ledger, Log: audit}
//
// db is a PostgreSQL database, whose tables are in the first schema of the
// connection's search_path, or a SQLite database opened with journal_mode=WAL,
// synchronous=FULL and a busy_timeout; the key store wants secure_delete=ON as
// well. One that forgets what it has committed is refused. The example ByHand has
// it whole.
//
// Without a database, [OpenLedgerDir] and [OpenLogDir] keep both in files, as
// package keyring/dirstore keeps the keys.
//
// In PostgreSQL whoever opens ledger and log first needs CREATE on the schema.
// Where the tables are, a service's role needs no more than
//
//	GRANT USAGE ON SCHEMA … TO clinic;
//	GRANT SELECT, INSERT ON consent_ledger TO clinic;
//	GRANT SELECT, INSERT, UPDATE (seq) ON consent_log TO clinic;
//	GRANT SELECT, INSERT, UPDATE (hashes) ON consent_log_hash TO clinic;
//	GRANT SELECT, UPDATE (size, epoch, until, note) ON consent_log_head TO clinic;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON consent_guard, consent_guard_count TO clinic;
//
// which lets it delete no event and no entry, and change none; what the keys need
// is in package keyring/sqlstore; docs/DEPLOY.md has the grants of several services.
//
// A service for one compartment opens with
// ring.Only("clinical", "audit", "consent/ledger", "consent/log"), the same
// record type name, and a struct of its own that has only those fields. It
// cannot look up or update, and must not seal a record that the other fields
// belong to.
//
// # What it does not protect
//
// Encryption gates release, not reuse: a process that may open a record can
// also copy it, and a T that has been opened is a plain Go value that fmt and
// any logger will print; [Redact] keeps it out of slog. A host that owns keys, ledger, log and code owns the
// decision too; what it cannot do unseen is rewrite a log of which a
// [Log.Checkpoint] has left the house.
package consent
