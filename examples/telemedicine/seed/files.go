package seed

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// Where they come from, and their licences: data/LICENSES.md.
var (
	//go:embed data/100_1min.hea
	ecgHeader string
	//go:embed data/100_1min.dat
	ecgSamples []byte
	//go:embed data/CDA_with_Embedded_PDF.pdf
	document []byte
)

// documents gives the first of the patients an ECG and a document.
func documents(ctx context.Context, c *clinic.Clinic, doctor clinic.User, patients []*clinic.Patient, progress func(string, int, int)) error {
	if len(patients) == 0 {
		return nil
	}
	first := patients[0].ID
	all := []struct {
		clinic.File
		content []byte
	}{
		{clinic.File{Patient: first, Name: "ECG at rest, one minute", Header: ecgHeader}, ecgSamples},
		{clinic.File{Patient: first, Name: "Advance directive"}, document},
	}
	for i := range all {
		if err := c.AddFile(ctx, doctor, &all[i].File, bytes.NewReader(all[i].content), clinic.Why{}); err != nil {
			return fmt.Errorf("seed: %w", err)
		}
		progress("files", i+1, len(all))
	}
	return nil
}
