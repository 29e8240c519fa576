// Package phi compiles the struct tags that say what a field of a record is.
//
//	type Patient struct {
//		ID       string    `phi:"subject"`        // whose record; stays clear
//		NIK      string    `phi:"nik,lookup"`     // encrypted, and found again by token
//		Born     time.Time `phi:"birthdate"`
//		Serology string    `phi:"clinical,label=HIV"`
//		Notes    string                           // no tag: encrypted, never exported
//		Clinic   string    `phi:"clear"`          // clear only because it says so
//	}
//
// # Grammar
//
//	tag    = role | "clear" | kind { "," option }
//	role   = "subject" | "record"
//	option = "lookup" | "unique" | "label=" code | "in=" compartment | "name=" stored-name
//
// A role is a string field that names whose record it is, or which. One field
// must be the subject. Without a record field there is one record per subject,
// and its id is the subject's. Roles and clear fields are not sealed.
//
// A code is one to 32 capital letters, a compartment is ^[a-z][a-z0-9-]{0,31}$
// and neither "ring" nor "audit", and a stored name is 1 to 64 bytes of
// printable ASCII. label= may repeat, with different codes; nothing else may.
// unique needs lookup, and lookup needs a kind that allows it and a field that
// is one text: a string, a *string, a sql.NullString or a sql.Null[string].
//
// # Kinds
//
//	kind           compartment  exported as  lookup token
//	address        identity     drop         no: no normaliser yet
//	birthdate      identity     year         no: low entropy
//	bpjs           identity     drop         yes
//	clinical       clinical     keep         no: low entropy
//	contact-phone  identity     drop         yes
//	date           clinical     year         no: low entropy
//	email          identity     drop         yes
//	kk             identity     drop         yes
//	mrn            identity     drop         yes
//	name           identity     drop         yes
//	nik            identity     drop         yes
//	nik-ibu        identity     drop         yes
//	passport       identity     drop         yes
//	phone          identity     drop         yes
//	region         identity     drop         no: low entropy
//	sensitive      sensitive    drop         no: low entropy
//	sex            identity     keep         no: low entropy
//	text           clinical     drop         no: free text
//
// nik-ibu (the mother's number on a newborn's record), kk (a family's card) and
// contact-phone (an emergency contact's) are not the patient's own: as kinds of
// their own they never join the patient's, whatever the domain.
//
// A field without a tag is sealed with the clinical ones and dropped from
// exports: forgetting a tag protects too much, never too little.
//
// # Walking
//
// A struct field without a tag, or a pointer to one, is walked: its fields are
// fields of the record, named "Outer.Inner". An embedded struct is walked
// without a prefix, as in encoding/json; but where encoding/json resolves two
// fields of one name silently, a [TagError] says so. A struct with a kind is
// one opaque value, and so are slices, arrays and maps; a tag inside one would
// be a promise that nobody keeps and is an error. Never walked: time.Time,
// the sql.Null types and what implements encoding.BinaryMarshaler and
// BinaryUnmarshaler. Fields that are neither exported nor tagged are ignored,
// as everywhere in Go; a struct that has only such fields is an error, because
// sealing it would lose it.
//
// A type with an interface, a function, a channel, a complex number, an unsafe
// pointer or itself in it has no plan.
package phi
