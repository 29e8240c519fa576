package envelope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
	"github.com/rahasia/rahasia/keyring"
)

func newObjects(t testing.TB) *Objects {
	t.Helper()
	return objectsOf(t, "ecg", "clinical", newRing(t, "clinic", "clinical"))
}

func objectsOf(t testing.TB, objectType, compartment string, ring *keyring.Ring) *Objects {
	t.Helper()
	o, err := NewObjects(objectType, compartment, ring)
	require.NoError(t, err)
	return o
}

// sealObject seals data in one piece.
func sealObject(t testing.TB, o *Objects, subject string, data []byte) ([]byte, Object) {
	t.Helper()
	var sealed bytes.Buffer
	w, err := o.Create(context.Background(), subject, &sealed, ObjectOptions{})
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	object, err := w.Object()
	require.NoError(t, err)
	require.EqualValues(t, len(data), object.Size())
	return sealed.Bytes(), object
}

// openObject opens an object in both ways, which must agree.
func openObject(t testing.TB, o *Objects, subject string, object Object, sealed []byte) ([]byte, error) {
	t.Helper()
	ctx := context.Background()
	var stream []byte
	r, err := o.Open(ctx, subject, object, bytes.NewReader(sealed), ObjectOptions{})
	if err == nil {
		stream, err = io.ReadAll(r)
	}
	var at []byte
	a, errAt := o.OpenAt(ctx, subject, object, bytes.NewReader(sealed), ObjectOptions{})
	if errAt == nil {
		at, errAt = io.ReadAll(a)
	}
	if err == nil {
		require.NoError(t, errAt)
		require.True(t, bytes.Equal(stream, at))
	} else if errAt == nil { // what follows the object only the stream sees
		require.Greater(t, int64(len(sealed)), chunked.SealedSize(object.Size()))
	}
	return stream, err
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>14) ^ byte(i*7)
	}
	return b
}

func TestObjects(t *testing.T) {
	o := newObjects(t)
	for _, n := range []int{0, 1, 16383, 16384, 16385, 1 << 20, 1<<20 + 17} {
		data := pattern(n)
		sealed, object := sealObject(t, o, "patient-1", data)
		require.Len(t, sealed, 56+n+(n/16384+1)*16)
		require.Equal(t, object.head[:], sealed[:56])
		require.EqualValues(t, 1, object.Generation())
		require.Len(t, object.ID(), 36)
		got, err := openObject(t, o, "patient-1", object, sealed)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got), "%d bytes", n)
	}
	a, first := sealObject(t, o, "patient-1", []byte("the same"))
	b, second := sealObject(t, o, "patient-1", []byte("the same"))
	require.NotEqual(t, first.ID(), second.ID())
	require.False(t, bytes.Contains(a, b[24:]))
}

// TestObjectsStream: copying either way, and the readers' other faces.
func TestObjectsStream(t *testing.T) {
	ctx, o, data := t.Context(), newObjects(t), pattern(300_000)
	var sealed bytes.Buffer
	var done []int64
	opts := ObjectOptions{Workers: 1, Progress: func(n int64) { done = append(done, n) }}
	w, err := o.Create(ctx, "patient-1", &sealed, opts)
	require.NoError(t, err)
	_, err = w.Object()
	require.ErrorIs(t, err, ErrState)
	n, err := io.Copy(w, iotest.HalfReader(bytes.NewReader(data)))
	require.NoError(t, err)
	require.EqualValues(t, len(data), n)
	_, err = w.Object()
	require.ErrorIs(t, err, ErrState)
	require.NoError(t, w.Close())
	require.NoError(t, w.Close())
	object, err := w.Object()
	require.NoError(t, err)
	require.EqualValues(t, len(data), done[len(done)-1])
	_, err = w.Write(data)
	require.ErrorIs(t, err, ErrState)
	_, err = w.ReadFrom(bytes.NewReader(data))
	require.ErrorIs(t, err, ErrState)
	again, err := w.Object()
	require.NoError(t, err)
	require.Equal(t, object, again)

	done = nil
	r, err := o.Open(ctx, "patient-1", object, iotest.OneByteReader(&sealed), opts)
	require.NoError(t, err)
	var out bytes.Buffer
	_, err = io.Copy(&out, r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, out.Bytes()))
	require.EqualValues(t, len(data), done[len(done)-1])
	_, err = r.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
}

func TestObjectsRandomAccess(t *testing.T) {
	ctx, o, data := t.Context(), newObjects(t), pattern(200_000)
	sealed, object := sealObject(t, o, "patient-1", data)
	r, err := o.OpenAt(ctx, "patient-1", object, bytes.NewReader(sealed), ObjectOptions{})
	require.NoError(t, err)
	require.EqualValues(t, len(data), r.Size())
	require.NoError(t, iotest.TestReader(io.NewSectionReader(r, 16_000, 1000), data[16_000:17_000]))
	at, err := r.Seek(-10, io.SeekEnd)
	require.NoError(t, err)
	require.EqualValues(t, len(data)-10, at)
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, data[len(data)-10:], rest)
	_, err = r.Seek(-1, io.SeekStart)
	require.ErrorContains(t, err, "ecg")
	p := make([]byte, 100)
	n, err := r.ReadAt(p, int64(len(data)-50))
	require.Equal(t, io.EOF, err)
	require.Equal(t, 50, n)
}

// TestObjectsRefuse what is missing or too long, before anything is made.
func TestObjectsRefuse(t *testing.T) {
	ctx, ring := t.Context(), newRing(t, "clinic", "clinical", "identity")
	for what, c := range map[string]struct {
		objectType, compartment string
		ring                    *keyring.Ring
		want                    error
	}{
		"no ring":        {"ecg", "clinical", nil, ErrEmpty},
		"no type":        {"", "clinical", ring, ErrEmpty},
		"no compartment": {"ecg", "", ring, ErrEmpty},
		"long type":      {strings.Repeat("x", 256), "clinical", ring, ErrLimit},
		"domain":         {"ecg", "research/ui-2026", ring, ErrCompartment},
		"upper case":     {"ecg", "Clinical", ring, ErrCompartment},
	} {
		o, err := NewObjects(c.objectType, c.compartment, c.ring)
		require.ErrorIs(t, err, c.want, what)
		require.Nil(t, o)
	}
	longest := strings.Repeat("x", 255)
	o := objectsOf(t, longest, "clinical", ring)
	sealed, object := sealObject(t, o, longest, []byte("x"))
	_, err := openObject(t, o, longest, object, sealed)
	require.NoError(t, err)

	for what, c := range map[string]struct {
		o       *Objects
		subject string
		nothing bool
		object  Object
		want    error
	}{
		"no subject":      {o, "", false, object, ErrEmpty},
		"long subject":    {o, longest + "x", false, object, ErrLimit},
		"nothing":         {o, "p1", true, object, ErrEmpty},
		"not granted":     {objectsOf(t, "ecg", "clinical", ring.Only("identity")), "p1", false, object, keyring.ErrNotGranted},
		"no keyset":       {objectsOf(t, "ecg", "sensitive", ring), "p1", false, object, keyring.ErrNoKeyset},
		"no object":       {o, "p1", false, Object{}, ErrEmpty},
		"no such subject": {o, "p2", false, object, keyring.ErrNoSubjectKey},
	} {
		if what == "no object" || what == "no such subject" {
			_, _ = sealObject(t, o, "p1", nil)
		} else {
			var w io.Writer = io.Discard
			if c.nothing {
				w = nil
			}
			x, err := c.o.Create(ctx, c.subject, w, ObjectOptions{})
			require.ErrorIs(t, err, c.want, what)
			require.Nil(t, x)
		}
		var r io.Reader = iotest.ErrReader(errors.New("it was read"))
		var ra io.ReaderAt = bytes.NewReader(nil)
		if c.nothing {
			r, ra = nil, nil
		}
		_, err := c.o.Open(ctx, c.subject, c.object, r, ObjectOptions{})
		require.ErrorIs(t, err, c.want, what)
		_, err = c.o.OpenAt(ctx, c.subject, c.object, ra, ObjectOptions{})
		require.ErrorIs(t, err, c.want, what)
		require.Equal(t, what == "no such subject" || what == "no keyset", errors.Is(err, ErrOpen), what)
	}
	bad := object
	bad.generation = 0
	_, err = o.Open(ctx, longest, bad, bytes.NewReader(sealed), ObjectOptions{})
	require.ErrorIs(t, err, ErrFormat)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	w, err := o.Create(cancelled, longest, io.Discard, ObjectOptions{})
	if err == nil {
		err = w.Close()
	}
	require.ErrorIs(t, err, context.Canceled)
}

// TestObjectsFaults: a caller's errors come back, and leave no reference.
func TestObjectsFaults(t *testing.T) {
	ctx, o, disk := t.Context(), newObjects(t), errors.New("disk on fire")
	for _, n := range []int{10, 20_000} {
		w, err := o.Create(ctx, "patient-1", writerFunc(func([]byte) (int, error) { return 0, disk }), ObjectOptions{})
		require.NoError(t, err)
		_, err = w.Write(pattern(n))
		if err == nil {
			err = w.Close()
		}
		require.ErrorIs(t, err, disk)
		require.ErrorContains(t, err, `"ecg"`)
		require.ErrorIs(t, w.Close(), disk)
		_, err = w.Object()
		require.ErrorIs(t, err, ErrState)
	}
	w, err := o.Create(ctx, "patient-1", io.Discard, ObjectOptions{})
	require.NoError(t, err)
	_, err = io.Copy(w, io.MultiReader(bytes.NewReader(pattern(50_000)), iotest.ErrReader(disk)))
	require.ErrorIs(t, err, disk)
	require.ErrorIs(t, w.Close(), disk, "a deferred Close does not make half an object one")
	_, err = w.Object()
	require.ErrorIs(t, err, ErrState)

	sealed, object := sealObject(t, o, "patient-1", pattern(50_000))
	r, err := o.Open(ctx, "patient-1", object, io.MultiReader(bytes.NewReader(sealed[:30_000]), iotest.ErrReader(disk)), ObjectOptions{})
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, disk)
	require.NotErrorIs(t, err, ErrOpen)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestObjectsAfterErasure: neither a new reader nor one in use opens more.
func TestObjectsAfterErasure(t *testing.T) {
	ctx, o := t.Context(), newObjects(t)
	sealed, object := sealObject(t, o, "patient-1", pattern(2<<20))
	r, err := o.Open(ctx, "patient-1", object, bytes.NewReader(sealed), ObjectOptions{Workers: 1})
	require.NoError(t, err)
	_, err = io.ReadFull(r, make([]byte, 10))
	require.NoError(t, err)
	a, err := o.OpenAt(ctx, "patient-1", object, bytes.NewReader(sealed), ObjectOptions{})
	require.NoError(t, err)
	_, err = a.ReadAt(make([]byte, 10), 0)
	require.NoError(t, err)
	_, err = a.Read(make([]byte, 10)) // it keeps this chunk
	require.NoError(t, err)
	_, err = a.Seek(-10, io.SeekEnd) // it has opened the last chunk
	require.NoError(t, err)
	_, err = a.Seek(10, io.SeekStart)
	require.NoError(t, err)

	_, err = o.ring.Shred(ctx, "patient-1")
	require.NoError(t, err)
	_, err = openObject(t, o, "patient-1", object, sealed)
	require.ErrorIs(t, err, keyring.ErrShredded)
	_, err = o.Create(ctx, "patient-1", io.Discard, ObjectOptions{})
	require.ErrorIs(t, err, keyring.ErrShredded)
	rest, err := io.ReadAll(r)
	require.ErrorIs(t, err, keyring.ErrShredded)
	require.Less(t, len(rest), 1<<20)
	_, err = a.ReadAt(make([]byte, 10), 100_000)
	require.ErrorIs(t, err, keyring.ErrShredded)
	for range 2 {
		kept := make([]byte, 10)
		n, err := a.Read(kept)
		require.ErrorIs(t, err, keyring.ErrShredded, "nor the chunk that it keeps")
		require.Zero(t, n)
		require.Equal(t, make([]byte, 10), kept)
	}
	_, err = a.Seek(0, io.SeekEnd)
	require.ErrorIs(t, err, keyring.ErrShredded)
}

// TestObjectsAcrossARekeying: those of before open until it ends.
func TestObjectsAcrossARekeying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, o := t.Context(), newObjects(t)
		before, first := sealObject(t, o, "patient-1", []byte("before"))
		open, err := o.OpenAt(ctx, "patient-1", first, bytes.NewReader(before), ObjectOptions{})
		require.NoError(t, err)
		require.NoError(t, o.ring.Rekey(ctx, "patient-1"))
		after, second := sealObject(t, o, "patient-1", []byte("after"))
		require.EqualValues(t, 1, first.Generation())
		require.EqualValues(t, 2, second.Generation())
		got, err := openObject(t, o, "patient-1", first, before)
		require.NoError(t, err)
		require.Equal(t, "before", string(got))
		got, err = openObject(t, o, "patient-1", second, after)
		require.NoError(t, err)
		require.Equal(t, "after", string(got))

		time.Sleep(61 * time.Second)
		_, err = open.ReadAt(make([]byte, 3), 0)
		require.NoError(t, err)
		require.NoError(t, o.ring.EndRekey(ctx, "patient-1"))
		_, err = open.ReadAt(make([]byte, 3), 0)
		require.ErrorIs(t, err, keyring.ErrUnknownGeneration, "nor does one that was open")
		_, err = openObject(t, o, "patient-1", first, before)
		require.ErrorIs(t, err, keyring.ErrUnknownGeneration)
		require.ErrorIs(t, err, ErrOpen)
		_, err = openObject(t, o, "patient-1", second, after)
		require.NoError(t, err)
		_ = o.ring.Close()
	})
}

// TestObjectsLeak: nothing prints plaintext or a key, nor an error either.
func TestObjectsLeak(t *testing.T) {
	ctx, o := t.Context(), newObjects(t)
	const text, subject = "plaintext-of-the-object", "pasien-0123456789"
	sealed, object := sealObject(t, o, subject, []byte(text))
	w, err := o.Create(ctx, subject, io.Discard, ObjectOptions{})
	require.NoError(t, err)
	_, err = w.Write([]byte(text))
	require.NoError(t, err)
	r, err := o.Open(ctx, subject, object, bytes.NewReader(sealed), ObjectOptions{})
	require.NoError(t, err)
	_, err = r.Read(make([]byte, 1))
	require.NoError(t, err)
	a, err := o.OpenAt(ctx, subject, object, bytes.NewReader(sealed), ObjectOptions{})
	require.NoError(t, err)
	_, err = a.Read(make([]byte, 1))
	require.NoError(t, err)
	secrets := append(spellings([]byte(text)), spellings([]byte(subject))...)
	type nested struct {
		hidden any
		Shown  any
	}
	for name, v := range map[string]any{"Objects": o, "Writer": w, "Reader": r, "ReaderAt": a} {
		for _, holder := range []any{v, nested{v, v}, &nested{v, v}, []any{v}, map[string]any{"a": v}, fmt.Errorf("%v", v)} {
			for _, printed := range printings(holder) {
				for _, s := range secrets {
					require.NotContains(t, printed, s)
				}
			}
		}
		require.Equal(t, "envelope."+name, fmt.Sprintf("%#v", v))
	}
	for _, holder := range []any{*w, *r, *a} {
		for _, printed := range printings(holder) {
			for _, s := range secrets {
				require.NotContains(t, printed, s)
			}
		}
	}
	require.Equal(t, "envelope.Objects", o.LogValue().String())
	require.Equal(t, "envelope.Writer", w.LogValue().String())
	require.Equal(t, "envelope.Reader", r.LogValue().String())
	require.Equal(t, "envelope.ReaderAt", a.LogValue().String())

	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		_, err := openObject(t, o, subject, object, bad)
		require.ErrorIs(t, err, ErrOpen)
		require.True(t, strings.HasPrefix(err.Error(), "envelope: "), err.Error())
		require.Equal(t, `envelope: does not open: object type "ecg"`, err.Error(), "they are not told apart")
	}
	_, err = o.Create(ctx, strings.Repeat(subject, 20), io.Discard, ObjectOptions{})
	require.NotContains(t, err.Error(), subject)
	_, err = o.Open(ctx, subject+"x", object, bytes.NewReader(sealed), ObjectOptions{})
	require.ErrorIs(t, err, ErrOpen)
	require.NotContains(t, err.Error(), subject)
}

// TestObjectMemory: sealing 2 GiB takes less than 32 MiB, and so do 32 workers.
func TestObjectMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("2 GiB take a second or more")
	}
	const most = 32 << 20
	ctx, o := t.Context(), newObjects(t)
	for workers, size := range map[int]int64{0: 2 << 30, 32: 512 << 20} {
		runtime.GC()
		var start, now runtime.MemStats
		runtime.ReadMemStats(&start)
		peak, next, samples := uint64(0), int64(0), 0
		opts := ObjectOptions{Workers: workers, Progress: func(done int64) {
			if done > next {
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapInuse)
				next, samples = done+size/64, samples+1
			}
		}}
		pr, pw := io.Pipe()
		w, err := o.Create(ctx, "patient-1", pw, opts)
		require.NoError(t, err)
		go func() {
			_, err := io.Copy(w, io.LimitReader(zeros{}, size))
			if err == nil {
				err = w.Close()
			}
			pw.CloseWithError(err)
		}()
		n, err := io.Copy(io.Discard, pr)
		require.NoError(t, err)
		require.EqualValues(t, chunked.SealedSize(size), n)
		t.Logf("%d workers: heap in use %.1f MiB at most, %.1f before", workers, float64(peak)/(1<<20), float64(start.HeapInuse)/(1<<20))
		require.Greater(t, samples, 30)
		require.Less(t, peak, uint64(most))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
