package envelope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
)

// TestReal: files as they come, through a record that owns them, and back.
func TestReal(t *testing.T) {
	type visit struct {
		ID    string `phi:"subject"`
		Files map[string]Object
	}
	ctx, ring := t.Context(), newRing(t, "clinic", "clinical")
	visits, objects := newCodec[visit](t, "visit", ring), objectsOf(t, "file", "clinical", ring)
	names, err := filepath.Glob("testdata/real/*.*")
	require.NoError(t, err)
	names = slices.DeleteFunc(names, func(name string) bool { return filepath.Base(name) == "LICENSES.md" })
	require.Len(t, names, 6)

	stored := map[string][]byte{} // by object id: a folder, or a bucket
	src := visit{ID: "patient-1", Files: map[string]Object{}}
	for _, name := range names {
		f, err := os.Open(name)
		require.NoError(t, err)
		var sealed bytes.Buffer
		w, err := objects.Create(ctx, src.ID, &sealed, ObjectOptions{})
		require.NoError(t, err)
		_, err = io.Copy(w, f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.NoError(t, w.Close())
		object, err := w.Object()
		require.NoError(t, err)
		src.Files[filepath.Base(name)] = object
		stored[object.ID()] = sealed.Bytes()
	}
	out := visit{ID: src.ID}
	require.NoError(t, visits.Open(ctx, &out, seal(t, visits, &src)))
	require.Equal(t, src, out)

	total := 0
	for _, name := range names {
		object := out.Files[filepath.Base(name)]
		sealed := stored[object.ID()]
		got, err := openObject(t, objects, out.ID, object, sealed)
		require.NoError(t, err)
		want, err := os.ReadFile(name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), name)
		for i := 0; i+16 <= len(want); i += 16 {
			window := want[i : i+16]
			if len(slices.Compact(slices.Sorted(slices.Values(window)))) > 8 { // not a run of one colour
				require.False(t, bytes.Contains(sealed, window), name)
				i += 512
			}
		}
		total += len(want)
	}
	t.Logf("%d files, %d bytes", len(names), total)
}

// TestRealPixels: of a film the pixels of one line are read, by the chunks they
// lie in and no others.
func TestRealPixels(t *testing.T) {
	ctx, o := t.Context(), newObjects(t)
	for name, line := range map[string]int64{"examples_rgb_color.dcm": 320 * 3, "CT_small.dcm": 128 * 2} {
		film, err := os.ReadFile(filepath.Join("testdata/real", name))
		require.NoError(t, err)
		sealed, object := sealObject(t, o, "patient-1", film)
		counting := &readCounter{r: bytes.NewReader(sealed)}
		r, err := o.OpenAt(ctx, "patient-1", object, counting, ObjectOptions{})
		require.NoError(t, err)
		start, length, err := pixelData(r)
		require.NoError(t, err)
		require.Equal(t, bytes.Index(film, []byte{0xe0, 0x7f, 0x10, 0x00, 'O'})+12, int(start), "%s: the scan", name)
		scanned := counting.n
		require.LessOrEqual(t, scanned, chunked.HeadSize+(start/chunked.Size+1)*sealedChunk)

		counting.n = 0
		pixels := make([]byte, line)
		at := start + length/2/line*line // in the middle
		_, err = r.ReadAt(pixels, at)
		require.NoError(t, err)
		require.Equal(t, film[at:at+line], pixels)
		chunks := (at+line-1)/chunked.Size - at/chunked.Size + 1
		t.Logf("%s: %d of %d bytes read for %d of pixels, in %d chunks", name, counting.n, len(sealed), line, chunks)
		require.LessOrEqual(t, counting.n, chunks*sealedChunk)
		require.Less(t, counting.n, int64(len(sealed))/2+sealedChunk)
	}
}

// readCounter counts the bytes that are read.
type readCounter struct {
	r io.ReaderAt
	n int64
}

func (c *readCounter) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

// pixelData walks a DICOM file of explicit VR, little endian (PS3.10, PS3.5),
// to its pixels.
func pixelData(r io.ReadSeeker) (start, length int64, err error) {
	at, head := int64(128+4), make([]byte, 12)
	for {
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			return 0, 0, err
		}
		if _, err := io.ReadFull(r, head); err != nil {
			return 0, 0, err
		}
		tag := uint32(binary.LittleEndian.Uint16(head))<<16 | uint32(binary.LittleEndian.Uint16(head[2:]))
		size, n := int64(8), int64(binary.LittleEndian.Uint16(head[6:]))
		switch string(head[4:6]) {
		case "OB", "OW", "OF", "OD", "OL", "OV", "SQ", "SV", "UC", "UN", "UR", "UT", "UV":
			size, n = 12, int64(binary.LittleEndian.Uint32(head[8:]))
		}
		if n == 1<<32-1 {
			return 0, 0, errors.New("a sequence of undefined length")
		}
		if tag == 0x7fe00010 {
			return at + size, n, nil
		}
		at += size + n
	}
}
