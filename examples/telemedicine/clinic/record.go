package clinic

import (
	"time"

	"github.com/rahasia/rahasia/envelope"
)

// Patient is a person in the clinic's care. There is one record of it for each.
type Patient struct {
	ID         string    `phi:"subject"`
	NIK        string    `phi:"nik,lookup,unique"`
	Name       string    `phi:"name"`
	Phone      string    `phi:"phone,lookup"`
	Born       time.Time `phi:"birthdate"`
	Sex        string    `phi:"sex"` // male or female, as FHIR's administrative gender
	Address    string    `phi:"address"`
	Allergies  []string  `phi:"clinical"`
	Conditions []string  `phi:"clinical"` // ICD-10 code and name
	Branch     string    `phi:"clear"`    // which registered the patient
}

// Visit is one consultation.
type Visit struct {
	ID        string    `phi:"record"`
	Patient   string    `phi:"subject"`
	At        time.Time `phi:"date"`
	Complaint string    `phi:"text"`
	Diagnosis string    `phi:"clinical"` // ICD-10 code and name
	Notes     string    // no tag: sealed with the clinical fields, and never exported

	// What only opens under a consent that names its label.
	Serology    string `phi:"clinical,label=HIV"`
	Counselling string `phi:"sensitive,label=PSY"`
}

// File is an ECG or a document. Its bytes are a sealed object, which only this
// record's reference opens; so whoever opens a file has had the decision and the
// entry in the audit log that the record takes.
type File struct {
	ID      string          `phi:"record"`
	Patient string          `phi:"subject"`
	Visit   string          `phi:"clinical"`
	Name    string          `phi:"text"`
	Kind    string          `phi:"clinical"` // ECG or PDF
	Header  string          `phi:"clinical"` // of an ECG: how its samples lie, in the form of WFDB
	Object  envelope.Object `phi:"clinical"`
}

// The kinds of files.
const (
	ECG = "ecg"
	PDF = "pdf"
)
