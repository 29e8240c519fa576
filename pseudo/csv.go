package pseudo

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"reflect"
	"time"
)

// WriteCSV writes a table as CSV (RFC 4180) with a header line: the rows of a
// [Deidentifier], or better those that the gate of package risk let through. A nil
// cell is an empty one, a time is written as RFC 3339 has it, a list as a JSON array,
// all else as fmt prints it, so an [Unfit] reads "(unfit)". What a spreadsheet would
// run as a formula, unless it is a number, gets a "'" in front.
//
// An error of rows or of w ends it, and what has been written is then to be
// discarded. A row that has not as many cells as there are columns is [ErrPolicy],
// as is a cell that no text can be made of.
func WriteCSV(w io.Writer, columns []string, rows iter.Seq2[[]any, error]) error {
	out := csv.NewWriter(w)
	if err := out.Write(columns); err != nil {
		return err
	}
	line := make([]string, len(columns))
	for row, err := range rows {
		if err != nil {
			return err
		}
		if len(row) != len(columns) {
			return fmt.Errorf("%w: a row of %d cells for %d columns", ErrPolicy, len(row), len(columns))
		}
		for i, cell := range row {
			if line[i], err = cellText(cell); err != nil {
				return fmt.Errorf("pseudo: column %q: %w", columns[i], err)
			}
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// cellText writes one value as it is and several as a JSON array, so that they
// can be told apart.
func cellText(cell any) (string, error) {
	if cell == nil {
		return "", nil
	}
	if t, ok := cell.(time.Time); ok {
		return t.Format(time.RFC3339Nano), nil
	}
	switch reflect.TypeOf(cell).Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		b, err := json.Marshal(cell)
		if err != nil {
			return "", fmt.Errorf("%w: no text for a %T", ErrPolicy, cell) // json's own text may hold the value
		}
		return string(b), nil
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return fmt.Sprint(cell), nil
	}
	return guardFormula(fmt.Sprint(cell)), nil
}

// guardFormula keeps a spreadsheet from running what a patient typed.
func guardFormula(s string) string {
	if s != "" && (s[0] == '=' || s[0] == '+' || s[0] == '-' || s[0] == '@' || s[0] == '\t' || s[0] == '\r') {
		return "'" + s
	}
	return s
}
