-- Run by the tables' owner, once the tables are there.
CREATE ROLE intake LOGIN;
CREATE ROLE clinic LOGIN;
CREATE ROLE laboratory LOGIN;
CREATE ROLE research LOGIN;
CREATE ROLE privacy LOGIN;

-- The key store. Only its owner makes, rotates and rewraps keysets.
GRANT USAGE ON SCHEMA keys TO clinic, laboratory, research, privacy;
GRANT SELECT ON keys.rahasia_schema, keys.rahasia_head, keys.rahasia_keysets, keys.rahasia_keys TO clinic, laboratory, research, privacy;
GRANT UPDATE (ring, seq, hash) ON keys.rahasia_head TO clinic, laboratory, research, privacy;
GRANT INSERT ON keys.rahasia_keys TO clinic, privacy;
GRANT UPDATE ON keys.rahasia_keys TO privacy;

-- The ledger. Who only decides reads it; nobody changes or deletes an event.
GRANT USAGE ON SCHEMA consent TO clinic, laboratory, research, privacy;
GRANT SELECT ON consent.consent_ledger TO clinic, laboratory, research, privacy;
GRANT INSERT ON consent.consent_ledger TO privacy;

-- The audit log. Who opens writes it; an entry's place is given once, and what it says never changes.
GRANT SELECT, INSERT, UPDATE (seq) ON consent.consent_log TO clinic, laboratory, research, privacy;
GRANT SELECT, INSERT, UPDATE (hashes) ON consent.consent_log_hash TO clinic, laboratory, research, privacy;
GRANT SELECT, UPDATE (size, epoch, until, note) ON consent.consent_log_head TO clinic, laboratory, research, privacy;

-- The guard's counts, which are swept after a day. Privacy opens no record.
GRANT SELECT, INSERT, UPDATE, DELETE ON consent.consent_guard, consent.consent_guard_count TO clinic, laboratory, research;

-- The application's own tables.
GRANT USAGE ON SCHEMA app TO intake, clinic, laboratory, research, privacy;
GRANT INSERT ON app.arrivals TO intake;
GRANT SELECT, DELETE ON app.arrivals TO clinic;
GRANT INSERT, SELECT (id) ON app.rahasia_accepted TO clinic;
GRANT SELECT, INSERT, UPDATE ON app.patients TO clinic;
GRANT SELECT (id, sealed) ON app.patients TO laboratory, research;
GRANT SELECT (id), UPDATE (nik_token), DELETE ON app.patients TO privacy;
GRANT INSERT ON app.results TO laboratory;
GRANT SELECT, DELETE ON app.results TO clinic;
