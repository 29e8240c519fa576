package clinic

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/examples/telemedicine/ecg"
	"github.com/rahasia/rahasia/pseudo"
)

// AddFile seals an ECG or a PDF as it is read from content, and gives f its id,
// kind and object. What it is its content says, whatever its name does; an ECG
// has its header in f. Nothing of it is stored anywhere in clear. What is neither
// is ErrInput.
func (c *Clinic) AddFile(ctx context.Context, u User, f *File, content io.Reader, why Why) error {
	tag, err := c.writing(ctx, u, f.Patient, why)
	if err != nil {
		return err
	}
	if f.Name = strings.TrimSpace(f.Name); f.Name == "" || len(f.Name) > 200 {
		return fmt.Errorf("%w: name of a file", ErrInput)
	}
	if f.Object, err = c.store(ctx, f, content); err != nil {
		if errors.Is(err, ecg.ErrFormat) {
			return fmt.Errorf("%w: %w", ErrInput, err)
		}
		return err
	}
	f.ID = envelope.NewID()
	row, err := c.files.Seal(ctx, f, tag)
	if err == nil {
		err = c.within(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO files (id, patient, sealed) VALUES ($1, $2, $3)`, f.ID, f.Patient, row.Sealed)
			return err
		})
	}
	if err != nil {
		return errors.Join(err, os.Remove(c.objectPath(f.Object))) // no record refers to it
	}
	return nil
}

// objectPath is where a sealed object lies; in production, its name in a bucket.
func (c *Clinic) objectPath(o envelope.Object) string {
	return filepath.Join(c.dir, "objects", o.ID())
}

// store seals content into a file. It has its name only once it is whole.
func (c *Clinic) store(ctx context.Context, f *File, content io.Reader) (object envelope.Object, err error) {
	part, err := os.CreateTemp(filepath.Join(c.dir, "objects"), "*.part")
	if err != nil {
		return envelope.Object{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, part.Close(), os.Remove(part.Name()))
		}
	}()
	sealing, err := c.objects.Create(ctx, f.Patient, part, envelope.ObjectOptions{})
	if err != nil {
		return envelope.Object{}, err
	}
	if err := copyChecked(sealing, f, content); err != nil {
		return envelope.Object{}, err
	}
	if err := sealing.Close(); err != nil {
		return envelope.Object{}, err
	}
	if object, err = sealing.Object(); err != nil {
		return envelope.Object{}, err
	}
	if err := part.Sync(); err != nil {
		return envelope.Object{}, err
	}
	if err := part.Close(); err != nil {
		return envelope.Object{}, err
	}
	return object, os.Rename(part.Name(), c.objectPath(object))
}

// copyChecked copies what content is by itself: a PDF, or the samples of the ECG
// whose header came with it.
func copyChecked(w io.Writer, f *File, content io.Reader) error {
	const pdf = "%PDF-"
	in := bufio.NewReader(content)
	start, err := in.Peek(len(pdf))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case f.Header != "":
		header, err := ecg.Parse([]byte(f.Header))
		if err != nil {
			return err
		}
		f.Kind = ECG
		return header.Check(w, in)
	case string(start) == pdf:
		f.Kind = PDF
		_, err := io.Copy(w, in)
		return err
	}
	return fmt.Errorf("%w: neither an ECG nor a PDF", ErrInput)
}

// Opened is a file of which any part can be read: its content is opened as it is
// asked for. Close it.
type Opened struct {
	File
	*envelope.ReaderAt
	from *os.File
}

// Close closes what the content is read from.
func (o *Opened) Close() error { return o.from.Close() }

// OpenFile opens a patient's file for a doctor. The decision and the entry in the
// audit log are those of its record, without whose reference the content opens
// for nobody.
func (c *Clinic) OpenFile(ctx context.Context, u User, patient, id string, why Why) (*Opened, error) {
	if err := u.must(Doctor); err != nil {
		return nil, err
	}
	req := c.treating(u, why)
	req.FoundBy = pseudo.Token{} // a file has no lookup fields
	return c.openFile(ctx, patient, id, req)
}

// OwnFile opens a patient's own file for the patient.
func (c *Clinic) OwnFile(ctx context.Context, u User, id string) (*Opened, error) {
	if err := u.must(Self); err != nil {
		return nil, err
	}
	return c.openFile(ctx, u.Patient, id, u.request(consent.PatientRequest))
}

func (c *Clinic) openFile(ctx context.Context, patient, id string, req consent.Request) (*Opened, error) {
	rows, err := collect(ctx, c.db, func(rows *sql.Rows) (r sealedRow, err error) {
		err = rows.Scan(&r.sealed)
		return r, err
	}, `SELECT sealed FROM files WHERE id = $1 AND patient = $2`, id, patient)
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	o := &Opened{File: File{ID: id, Patient: patient}}
	if err := c.files.Open(ctx, &o.File, rows[0].sealed, req); err != nil {
		return nil, whole(err)
	}
	if o.from, err = os.Open(c.objectPath(o.Object)); err != nil {
		return nil, err
	}
	if o.ReaderAt, err = c.objects.OpenAt(ctx, patient, o.Object, o.from, envelope.ObjectOptions{}); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// whole takes a partial answer for a refusal: half a file is none.
func whole(err error) error {
	if partial := (*consent.WithheldError)(nil); errors.As(err, &partial) {
		return &consent.DeniedError{Action: "open", Type: partial.Type, Purpose: partial.Purpose, Reason: partial.Fields[0].Reason, Decision: partial.Decision}
	}
	return err
}
