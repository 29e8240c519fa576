package consenttest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"
)

// shortest is how short a value may be, in bytes: a shorter one is found in any
// file by chance.
const shortest = 4

// RequireNoPlaintext fails the test if one of values is in one of files, each a
// file or a folder that is read with all below it: as it is, in whatever case of
// its ASCII letters; as UTF-16; inside hex or base64, wherever in it; with the
// escapes of JSON or of a URL. Pass the values that the test has sealed, and
// files that were closed or synced. It finds nothing in what is compressed, or
// encrypted by others, or where a database has split a value over pages.
//
// No file, no value, an empty file and a value below four bytes fail too: they would
// show nothing.
func RequireNoPlaintext(t testing.TB, files []string, values ...string) {
	t.Helper()
	if len(files) == 0 || len(values) == 0 {
		t.Fatalf("consenttest: no file or no value to look for")
	}
	var looked []form
	for i, v := range values {
		if len(v) < shortest {
			t.Fatalf("consenttest: value %d is below %d bytes", i, shortest)
		}
		looked = append(looked, formsOf(i, v)...)
	}
	for _, path := range paths(t, files) {
		f, found, err := search(path, looked)
		if err != nil {
			t.Fatalf("consenttest: %v", err)
		}
		if found {
			t.Fatalf("consenttest: value %d is in %s as %s", f.value, path, f.name) // the value itself may be worth hiding
		}
	}
}

// paths are the files, and those of the folders among them.
func paths(t testing.TB, files []string) (out []string) {
	t.Helper()
	for _, root := range files {
		bytes := int64(0)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			bytes += info.Size()
			out = append(out, path)
			return nil
		})
		if err != nil {
			t.Fatalf("consenttest: %v", err)
		}
		if bytes == 0 {
			t.Fatalf("consenttest: %s is empty", root)
		}
	}
	return out
}

// form is a value as it may stand in a file.
type form struct {
	value int
	name  string
	text  []byte
	fold  bool // in whatever case
}

func formsOf(i int, v string) []form {
	out := []form{
		{i, "text", lower([]byte(v)), true},
		{i, "hex", []byte(hex.EncodeToString([]byte(v))), true},
		{i, "UTF-16", utf16Of(v, binary.LittleEndian), false},
		{i, "UTF-16", utf16Of(v, binary.BigEndian), false},
		{i, "an escaped URL", lower([]byte(url.QueryEscape(v))), true},
		{i, "an escaped URL", lower([]byte(url.PathEscape(v))), true},
	}
	if j, err := json.Marshal(v); err == nil {
		out = append(out, form{i, "JSON", lower(j[1 : len(j)-1]), true})
	}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			// The middle is the same, whatever the bytes around it are.
			whole := enc.EncodeToString(append(make([]byte, before), v...))
			first, last := (8*before+5)/6, 8*(before+len(v))/6
			out = append(out, form{i, "base64", []byte(whole[first:last]), false})
		}
	}
	return out
}

func utf16Of(v string, order binary.AppendByteOrder) (out []byte) {
	for _, u := range utf16.Encode([]rune(v)) {
		out = order.AppendUint16(out, u)
	}
	return out
}

// chunk is how much of a file is in memory at a time.
const chunk = 1 << 20

func search(path string, forms []form) (form, bool, error) {
	longest := 0
	for _, f := range forms {
		longest = max(longest, len(f.text))
	}
	file, err := os.Open(path)
	if err != nil {
		return form{}, false, err
	}
	defer file.Close()
	buf := make([]byte, 0, chunk+longest)
	for {
		n, err := io.ReadFull(file, buf[len(buf):len(buf)+chunk])
		buf = buf[:len(buf)+n]
		folded := lower(buf)
		for _, f := range forms {
			if !f.fold && bytes.Contains(buf, f.text) || f.fold && bytes.Contains(folded, f.text) {
				return f, true, nil
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return form{}, false, nil
		}
		if err != nil {
			return form{}, false, err
		}
		buf = append(buf[:0], buf[max(0, len(buf)-longest):]...)
	}
}

// lower lowers ASCII letters only: other bytes of a file are no text.
func lower(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}
