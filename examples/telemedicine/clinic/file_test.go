package clinic_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

func seeded(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../seed/data", name))
	require.NoError(t, err)
	return b
}

// openAt is open in a folder that the test looks into.
func openAt(t *testing.T) (*clinic.Clinic, string) {
	t.Helper()
	dir := t.TempDir()
	c, err := clinic.Open(t.Context(), clinic.Options{Dir: dir})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, filepath.Join(dir, "objects")
}

func objects(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	return all
}

func TestFiles(t *testing.T) {
	c, dir := openAt(t)
	id, _ := register(t, c, siti(), "treatment")
	samples, document := seeded(t, "100_1min.dat"), seeded(t, "CDA_with_Embedded_PDF.pdf")
	ecg := &clinic.File{Patient: id, Name: " ECG ", Header: string(seeded(t, "100_1min.hea"))}
	require.NoError(t, c.AddFile(t.Context(), ayu, ecg, bytes.NewReader(samples), clinic.Why{}))
	pdf := &clinic.File{Patient: id, Name: "Letter"}
	require.NoError(t, c.AddFile(t.Context(), ayu, pdf, iotest.HalfReader(bytes.NewReader(document)), clinic.Why{}))
	require.Equal(t, []string{clinic.ECG, clinic.PDF, "ECG"}, []string{ecg.Kind, pdf.Kind, ecg.Name})

	// On the disk they are sealed.
	require.Len(t, objects(t, dir), 2)
	for _, path := range objects(t, dir) {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.False(t, bytes.Contains(b, samples[:64]) || bytes.Contains(b, document[:64]))
	}

	chart, err := c.Chart(t.Context(), bima, id, clinic.Why{})
	require.NoError(t, err)
	require.Len(t, chart.Files, 2)
	f, err := c.OpenFile(t.Context(), bima, id, ecg.ID, clinic.Why{})
	require.NoError(t, err)
	part := make([]byte, 30)
	_, err = f.ReadAt(part, 30_000)
	require.NoError(t, err)
	require.Equal(t, samples[30_000:30_030], part)
	require.NoError(t, f.Close())
	f, err = c.OpenFile(t.Context(), bima, id, pdf.ID, clinic.Why{})
	require.NoError(t, err)
	all, err := io.ReadAll(f.ReaderAt)
	require.NoError(t, err)
	require.Equal(t, document, all)
	require.NoError(t, f.Close())

	// A file is asked for with its patient's id, or it is not there.
	stranger, _ := register(t, c, other(), "treatment")
	_, err = c.OpenFile(t.Context(), bima, stranger, ecg.ID, clinic.Why{})
	require.ErrorIs(t, err, clinic.ErrNotFound)

	// One object in another's place does not open.
	paths := objects(t, dir)
	b, err := os.ReadFile(paths[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(paths[1], b, 0o600))
	var failed int
	for _, file := range []string{ecg.ID, pdf.ID} {
		if f, err := c.OpenFile(t.Context(), bima, id, file, clinic.Why{}); err != nil {
			require.ErrorIs(t, err, envelope.ErrOpen)
			failed++
		} else {
			require.NoError(t, f.Close())
		}
	}
	require.Equal(t, 1, failed)
}

// Of what is refused nothing stays, neither a record nor a file.
func TestFilesRefused(t *testing.T) {
	c, dir := openAt(t)
	id, _ := register(t, c, siti(), "treatment")
	header, samples := string(seeded(t, "100_1min.hea")), seeded(t, "100_1min.dat")
	broken := errors.New("connection lost")
	for name, try := range map[string]struct {
		file    clinic.File
		content io.Reader
		want    error
	}{
		"neither":         {clinic.File{Name: "x"}, strings.NewReader("<script>"), clinic.ErrInput},
		"empty":           {clinic.File{Name: "x"}, strings.NewReader(""), clinic.ErrInput},
		"no name":         {clinic.File{Name: " "}, strings.NewReader("%PDF-1.7"), clinic.ErrInput},
		"samples alone":   {clinic.File{Name: "x"}, bytes.NewReader(samples), clinic.ErrInput},
		"short":           {clinic.File{Name: "x", Header: header}, bytes.NewReader(samples[:3000]), clinic.ErrInput},
		"header of other": {clinic.File{Name: "x", Header: strings.Replace(header, "21537", "21538", 1)}, bytes.NewReader(samples), clinic.ErrInput},
		"no header":       {clinic.File{Name: "x", Header: "x"}, bytes.NewReader(samples), clinic.ErrInput},
		"cut off":         {clinic.File{Name: "x"}, io.MultiReader(strings.NewReader("%PDF-1.7"), iotest.ErrReader(broken)), broken},
	} {
		try.file.Patient = id
		require.ErrorIs(t, c.AddFile(t.Context(), ayu, &try.file, try.content, clinic.Why{}), try.want, name)
		require.Empty(t, objects(t, dir), name)
	}
	never, _ := register(t, c, other())
	err := c.AddFile(t.Context(), ayu, &clinic.File{Patient: never, Name: "x"}, strings.NewReader("%PDF-1.7"), clinic.Why{})
	denied(t, err, consent.NoConsent)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, c.AddFile(ctx, ayu, &clinic.File{Patient: id, Name: "x"}, strings.NewReader("%PDF-1.7"), clinic.Why{}))
	require.Empty(t, objects(t, dir))
	chart, err := c.Chart(t.Context(), ayu, id, clinic.Why{})
	require.NoError(t, err)
	require.Empty(t, chart.Files)
}
