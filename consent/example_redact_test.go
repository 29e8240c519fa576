package consent_test

import (
	"log/slog"
	"os"

	"github.com/rahasia/rahasia/consent"
)

func ExampleRedact() {
	h := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	log := slog.New(consent.Redact(h))
	p := Patient{"p-1", "9271060312000001", "Ardianto Putra", []string{"J45 Asthma"}}
	log.Info("opened", "patient", p)
	log.Info("listed", "page", []Patient{p})
	// Output:
	// level=INFO msg=opened patient.ID=[redacted] patient.NIK=[redacted] patient.Name=[redacted] patient.Diagnosis=[redacted]
	// level=INFO msg=listed page="[redacted] []consent_test.Patient"
}
