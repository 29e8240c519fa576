package fhir

import "errors"

// Errors of [Import] and [Export], each in an [ElementError].
var (
	ErrMalformed    = errors.New("not a FHIR R4 Consent in JSON")
	ErrAmbiguous    = errors.New("the dialect does not say what this means")
	ErrNotEvaluated = errors.New("not evaluated, so it permits nothing")
	ErrNotInForce   = errors.New("not an active consent to the use of data")
	ErrOptions      = errors.New("an option is missing")

	// ErrNotExpressible is the error of [Export] where FHIR has no way to say
	// it, or only one that other systems would read as permitting more.
	ErrNotExpressible = errors.New("cannot be said in a FHIR R4 Consent")
)

// ElementError says which element of the resource an error is about.
type ElementError struct {
	Path string // such as Consent.provision.provision[1].type
	Err  error
}

// Error names the element and what is wrong with it, and no value of the resource.
func (e *ElementError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *ElementError) Unwrap() error { return e.Err }
