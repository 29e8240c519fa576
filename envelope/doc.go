// Package envelope seals a record, field by field, into one row of bytes, and
// opens of it what is asked for.
//
//	codec, err := envelope.NewCodec[Patient]("patient", ring)
//	row, err := codec.Seal(ctx, &p, nil)          // one BYTEA or BLOB column
//	out := Patient{ID: p.ID}                      // whom you ask for; the row never says
//	err = codec.Open(ctx, &out, row, "Diagnosis")
//
// What is sealed, and with whose key, the phi tags of the type say: a field's
// kind puts it into a compartment, and each compartment's fields lie in a
// section of their own, under the patient's key for it. Package consent decides
// on top of this package who may open what; whoever calls Open here decides
// alone.
//
// The ring is that of package keyring, whose example makes and opens one. It
// needs a keyset for each compartment of the type, made once:
//
//	err := ring.CreateKeyset(ctx, "identity")
//
// A patient's keys Seal makes itself.
//
// # Tags
//
//	phi:"subject"   whose record it is: a string, in clear, in a column of its own
//	phi:"record"    which one, where a subject has several of the type; likewise
//	phi:"clear"     not sealed: a column of its own
//	phi:"nik"       a kind, and so the compartment that the field is sealed in:
//
//	identity    address, birthdate, bpjs, contact-phone, email, kk, mrn, name, nik, nik-ibu, passport, phone, region, sex
//	clinical    clinical, date, text; and a field without a tag
//	sensitive   sensitive
//
// in= names another compartment, name= another stored name: phi:"name,in=staff".
// lookup, unique and label= are for packages pseudo and consent and change
// nothing here; consent documents them.
//
// A struct without a tag is walked: its fields are stored as "Home.Street", and
// those of an embedded one without a prefix. A column that the database fills,
// such as a serial number or a time of creation, wants clear: sealed before it
// is filled it would be opened as it was then. gorm.Model takes the tag whole.
//
// # What a row keeps, and what it shows
//
// A row opens only as what it was sealed as: of this ring, subject, record
// type and record id, which the caller names. A field or section that was
// moved, exchanged, taken from an older row or left out does not open: that is
// [ErrOpen]. Whoever can write to the database can still put a whole older
// row in place of a newer one, or delete it. Sections that a call does not
// open it does not check either.
//
// Without a key a row shows its compartments, the generations of their keys and
// the length of each section in buckets: 64 bytes up to 1 KiB, at most 12%
// above. Within a bucket neither a length, a NULL nor a label shows; a value
// that is longer by more than that does. [Inspect] prints what a thief sees.
// Nothing is compressed.
//
// # Messages and intake
//
// A [Topic] seals what goes to a queue or, as a file, to another service, under
// a key of its own that is no subject's and ends at a stated time. An [Inbox]
// opens what branches and vendors send, whose [Intake] holds a public key and
// can open nothing. Both hide lengths in the buckets of a row, and neither opens
// what is about an erased subject.
//
// # NULL
//
// A nil pointer, slice or map and a sql.Null that is not valid are absent:
// not in the row at all. The empty text, zero, and the empty slice or map are
// values. Both come back as what they were.
//
// # Go types
//
// In this order: the sql.Null types; time.Time, as an instant with nanoseconds
// and a numeric offset, without zone name, in the years 1 to 9999; what has
// MarshalBinary and UnmarshalBinary; then bool, integers, floats, UTF-8
// strings, byte slices and arrays, slices and arrays, maps with text or integer
// keys, and structs, in slices and maps or with a kind of their own, by the
// names of their exported fields (the tags of other packages mean nothing
// here), nested in at most 32 others. The encoding is stored beside the name: a
// field whose type has changed to another encoding is [ErrType] when it is
// opened, never garbage. All NaNs are one.
//
// # Types that change
//
// A field that the type does not know is ignored by Open and carried by
// [Codec.Reseal]; one that the row does not have is absent. A field's stored
// name is its Go name unless its tag says name=; renaming one without that
// loses sight of it. A field whose compartment has changed is [ErrCompartment]
// where it is found: a call that opens no section in which it is stored reads
// it as absent. Open looks into all that it is granted.
//
// So a field that changes its encoding or its compartment keeps Open from
// opening a whole row until that row is sealed anew. A second type with that
// one field as it was reads it, under the same record type; the example
// MovedField carries all else along. in= with the old compartment keeps a
// field where it is.
//
// The golden file of [Codec.Schema] shows such a change in review. A type that
// cannot carry tags takes a [Plan].
//
// # Many records
//
// [Codec.SealAll] and [Codec.OpenAll] work on a sequence on all cores, with one
// question for keys for a page of it and a result for each record;
// [Codec.AppendSeal] writes into the caller's buffer.
//
// # Objects
//
// What is too large for a field, such as an ECG, a film or a laboratory's file,
// is an object: [Objects] seals it as a stream into a file or a bucket, and the
// record that owns it has an [Object], the reference, as one of its fields. An
// object opens as a stream or, by [ReaderAt], in any part; nothing comes out
// that was not authenticated. Its length shows.
//
// # Limits
//
// At most 16 compartments, 1,024 fields in one, names of 64 bytes, ids of 255,
// tags of 4 KiB, values of 16 MiB as encoded and of types nested 32 deep, rows of
// 64 MiB; payloads of messages and items of 16 MiB; objects of 4 PiB. One subject's key should seal
// at most 2³² values, tags and headers together (NIST SP 800-38D);
// docs/SPEC.md has the arithmetic and the format, step by step.
//
// Buffers that have held plaintext are cleared before they are used again. It
// is no defence against a debugger or a core dump, and what Open has set is the
// caller's to guard.
package envelope
