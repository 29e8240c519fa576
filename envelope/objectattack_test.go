package envelope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
)

const sealedChunk = chunked.Size + chunked.Overhead

// refuse checks that an object does not open, in either way, and that no byte
// comes out that is not of data, in its place. Whether it is ErrTruncated it
// returns. Only a stream sees what lies behind an object: extended says so.
func refuse(t *testing.T, name string, o *Objects, subject string, object Object, sealed, data []byte, extended bool) (truncated bool) {
	t.Helper()
	ctx := t.Context()
	for _, workers := range []int{1, 2} {
		var out bytes.Buffer
		r, err := o.Open(ctx, subject, object, bytes.NewReader(sealed), ObjectOptions{Workers: workers})
		if err == nil {
			_, err = r.WriteTo(&out)
			_, again := r.Read(make([]byte, 1))
			require.Equal(t, err, again, "%s: the error does not stay", name)
		}
		require.ErrorIs(t, err, ErrOpen, name)
		require.True(t, bytes.HasPrefix(data, out.Bytes()), "%s: it released what was never sealed there", name)
		if len(data)%chunked.Size > 0 { // else the last chunk, which is missing, is empty
			require.Less(t, out.Len(), len(data), "%s: all came out", name)
		}
		truncated = errors.Is(err, ErrTruncated)

		a, err := o.OpenAt(ctx, subject, object, bytes.NewReader(sealed), ObjectOptions{Workers: workers})
		var p []byte
		if err == nil {
			p = make([]byte, object.Size()+1)
			var n int
			n, err = a.ReadAt(p, 0)
			require.True(t, bytes.HasPrefix(data, p[:n]), "%s: ReadAt released what was never sealed there", name)
			if !extended {
				require.True(t, bytes.Equal(make([]byte, len(p)-n), p[n:]), "%s: something is left in p", name)
			}
		}
		if extended {
			require.Equal(t, io.EOF, err, name)
			continue
		}
		require.ErrorIs(t, err, ErrOpen, name)
	}
	return truncated
}

// attacked is an object with a first, a middle and a short last chunk.
func attacked(t *testing.T) (o *Objects, sealed []byte, object Object, data []byte) {
	o, data = newObjects(t), pattern(2*chunked.Size+100)
	sealed, object = sealObject(t, o, "patient-1", data)
	got, err := openObject(t, o, "patient-1", object, sealed)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	return o, sealed, object, data
}

// TestAttackObjectBits: every bit of the head, of the tags and of the last
// chunk, and every 61st of the others: 61 meets each bit of a byte, at each
// place in a block.
func TestAttackObjectBits(t *testing.T) {
	o, sealed, object, data := attacked(t)
	flips := 0
	for bit := range len(sealed) * 8 {
		at := bit / 8
		inChunk := (at - chunked.HeadSize) % sealedChunk
		if at >= chunked.HeadSize && at < chunked.HeadSize+2*sealedChunk && inChunk < chunked.Size && bit%61 != 0 {
			continue
		}
		sealed[at] ^= 1 << (bit % 8)
		var out sink // what is released as it is released
		r, err := o.Open(t.Context(), "patient-1", object, bytes.NewReader(sealed), ObjectOptions{Workers: 1})
		if err == nil {
			_, err = r.WriteTo(&out)
		}
		require.ErrorIs(t, err, ErrOpen, "bit %d", bit)
		require.NotErrorIs(t, err, ErrTruncated, "bit %d", bit)
		require.Less(t, out.n, len(data))
		if at < chunked.HeadSize+sealedChunk {
			require.Zero(t, out.n, "bit %d: released before it was authentic", bit)
		}
		if flips++; flips%7 == 0 {
			refuse(t, "bit", o, "patient-1", object, sealed, data, false)
		}
		sealed[at] ^= 1 << (bit % 8)
	}
	t.Logf("%d bits", flips)
	require.Greater(t, flips, 5000)
	_, err := openObject(t, o, "patient-1", object, sealed)
	require.NoError(t, err, "the test has put back what it changed")
}

// TestAttackObjectEveryBit of the first, the middle and the last chunk, and
// every length that is shorter.
func TestAttackObjectEveryBit(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("a quarter of a million chunks take seconds, with the race detector many")
	}
	o, sealed, object, data := attacked(t)
	ctx := t.Context()
	a, err := o.OpenAt(ctx, "patient-1", object, bytes.NewReader(sealed), ObjectOptions{Workers: 1})
	require.NoError(t, err)
	p := make([]byte, 1)
	for at := chunked.HeadSize; at < len(sealed); at++ {
		off := int64(at-chunked.HeadSize) / sealedChunk * chunked.Size
		for bit := range 8 {
			sealed[at] ^= 1 << bit
			p[0] = 0xff
			if n, err := a.ReadAt(p, off); !isOpen(err) || n != 0 || p[0] != 0 {
				t.Fatalf("byte %d bit %d: %v", at, bit, err)
			}
			sealed[at] ^= 1 << bit
		}
	}
	n, err := a.ReadAt(p, 0)
	require.NoError(t, err)
	require.Equal(t, data[:n], p)
	for n := range sealed {
		a, err := o.OpenAt(ctx, "patient-1", object, bytes.NewReader(sealed[:n]), ObjectOptions{})
		if err == nil {
			_, err = a.Seek(0, io.SeekEnd)
		}
		if !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut to %d: %v", n, err)
		}
	}
}

// sink counts what it is given.
type sink struct{ n int }

func (s *sink) Write(p []byte) (int, error) {
	s.n += len(p)
	return len(p), nil
}

// TestAttackObjectLength: cut off at every boundary, one byte before and
// after, and extended.
func TestAttackObjectLength(t *testing.T) {
	for _, size := range []int{0, 1, chunked.Size - 1, chunked.Size, 2 * chunked.Size, 2*chunked.Size + 100} {
		o, data := newObjects(t), pattern(size)
		sealed, object := sealObject(t, o, "patient-1", data)
		cuts := map[int]bool{0: true, 1: true, 23: true, 24: true, 25: true, len(sealed) - 1: true, len(sealed) - 15: true, len(sealed) - 16: true, len(sealed) - 17: true}
		for i := chunked.HeadSize; i <= len(sealed)+sealedChunk; i += sealedChunk {
			for _, d := range []int{-17, -16, -15, -1, 0, 1, 15, 16, 17} {
				cuts[i+d] = true
			}
		}
		for n := range cuts {
			if n >= 0 && n < len(sealed) {
				require.True(t, refuse(t, "cut off", o, "patient-1", object, sealed[:n], data, false), "%d of %d: not ErrTruncated", n, len(sealed))
			}
		}
		for _, tail := range [][]byte{{0}, make([]byte, 16), sealed[len(sealed)-min(len(sealed)-chunked.HeadSize, 116):], make([]byte, sealedChunk), sealed} {
			require.False(t, refuse(t, "extended", o, "patient-1", object, append(bytes.Clone(sealed), tail...), data, true))
		}
	}
}

// TestAttackObjectChunks: swapped, repeated, dropped, and exchanged with those
// of another object.
func TestAttackObjectChunks(t *testing.T) {
	o, sealed, object, data := attacked(t)
	other, _ := sealObject(t, o, "patient-1", data) // the very same text
	chunk := func(b []byte, i int) []byte {
		b = b[chunked.HeadSize+i*sealedChunk:]
		return b[:min(len(b), sealedChunk)]
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	head, a, b, c := sealed[:chunked.HeadSize], chunk(sealed, 0), chunk(sealed, 1), chunk(sealed, 2)
	for name, bad := range map[string][]byte{
		"swapped":             join(head, b, a, c),
		"first twice":         join(head, a, a, c),
		"second twice":        join(head, b, b, c),
		"last repeated":       join(head, a, b, b[:len(c)]),
		"another's first":     join(head, chunk(other, 0), b, c),
		"another's middle":    join(head, a, chunk(other, 1), c),
		"another's last":      join(head, a, b, chunk(other, 2)),
		"another's chunks":    join(head, other[chunked.HeadSize:]),
		"another's head":      join(other[:chunked.HeadSize], a, b, c),
		"another's salt":      join(other[:24], sealed[24:]),
		"another's promise":   join(head[:24], other[24:chunked.HeadSize], a, b, c),
		"another's all of it": other,
	} {
		require.Len(t, bad, len(sealed), name)
		require.False(t, refuse(t, name, o, "patient-1", object, bad, data, false), name)
	}
	for name, bad := range map[string][]byte{
		"first dropped":  join(head, b, c),
		"middle dropped": join(head, a, c),
		"last dropped":   join(head, a, b),
		"head dropped":   join(a, b, c),
	} {
		refuse(t, name, o, "patient-1", object, bad, data, false)
	}
	refuse(t, "one more", o, "patient-1", object, join(head, a, a, b, c), data, false)
}

// TestAttackObjectOfAnother: what was sealed is opened as nothing else.
func TestAttackObjectOfAnother(t *testing.T) {
	ctx, ring := t.Context(), newRing(t, "clinic", "clinical", "identity")
	o, data := objectsOf(t, "ecg", "clinical", ring), pattern(20_000)
	sealed, object := sealObject(t, o, "patient-1", data)
	otherSealed, other := sealObject(t, o, "patient-1", data)
	_, far := sealObject(t, o, "patient-2", data)
	refuse(t, "of another patient", o, "patient-2", object, sealed, nil, false)
	refuse(t, "another patient's reference", o, "patient-1", far, sealed, nil, false)
	refuse(t, "another reference", o, "patient-1", other, sealed, nil, false)
	refuse(t, "another file", o, "patient-1", object, otherSealed, nil, false)

	film := objectsOf(t, "film", "clinical", ring)
	refuse(t, "another type", film, "patient-1", object, sealed, nil, false)
	shifted := objectsOf(t, "g", "clinical", ring)
	refuse(t, "type and subject shifted", shifted, "patient-1ec", object, sealed, nil, false)
	identity := objectsOf(t, "ecg", "identity", ring)
	_, _ = sealObject(t, identity, "patient-1", nil)
	refuse(t, "another compartment", identity, "patient-1", object, sealed, nil, false)
	foreign := objectsOf(t, "ecg", "clinical", newRing(t, "klinik", "clinical"))
	_, _ = sealObject(t, foreign, "patient-1", nil)
	refuse(t, "another ring", foreign, "patient-1", object, sealed, nil, false)

	// The same key, and each part of the context changed by itself.
	keys, err := ring.Subject(ctx, "patient-1", "clinical")
	require.NoError(t, err)
	input, err := keys[0].Object(1)
	require.NoError(t, err)
	_, err = chunked.Open(input, o.context(nil, "patient-1", &object), object.head)
	require.NoError(t, err)
	renamed := object
	renamed.id[15] ^= 1
	for name, context := range map[string][]byte{
		"subject":     o.context(nil, "patient-2", &object),
		"id":          o.context(nil, "patient-1", &renamed),
		"type":        film.context(nil, "patient-1", &object),
		"compartment": identity.context(nil, "patient-1", &object),
		"ring":        foreign.context(nil, "patient-1", &object),
		"nothing":     nil,
	} {
		_, err = chunked.Open(input, context, object.head)
		require.ErrorIs(t, err, chunked.ErrOpen, name)
	}
	require.NoError(t, ring.Rekey(ctx, "patient-1"))
	newer := object
	newer.generation = 2
	refuse(t, "another generation", o, "patient-1", newer, sealed, nil, false)
	_, err = openObject(t, o, "patient-1", object, sealed)
	require.NoError(t, err)
}

// TestAttackObjectReference: altered in each bit it opens nothing, or does not
// parse.
func TestAttackObjectReference(t *testing.T) {
	for _, size := range []int{100, chunked.Size, 3 * chunked.Size} {
		o, data := newObjects(t), pattern(size)
		sealed, object := sealObject(t, o, "patient-1", data)
		form, err := object.MarshalBinary()
		require.NoError(t, err)
		opened := 0
		for bit := range len(form) * 8 {
			bad := bytes.Clone(form)
			bad[bit/8] ^= 1 << (bit % 8)
			var altered Object
			if err := altered.UnmarshalBinary(bad); err != nil {
				require.ErrorIs(t, err, ErrOpen)
				continue
			}
			opened++
			if altered.size > 1<<18 { // far longer than the file
				a, err := o.OpenAt(t.Context(), "patient-1", altered, bytes.NewReader(sealed), ObjectOptions{})
				require.NoError(t, err)
				_, err = a.Seek(0, io.SeekEnd)
				require.ErrorIs(t, err, ErrTruncated, "bit %d", bit)
				altered.size = 1 << 18
			}
			refuse(t, "reference", o, "patient-1", altered, sealed, append(data, 0), false)
		}
		require.Greater(t, opened, 600)
	}
}

// TestAttackObjectOlder: an older version under the same id, which only whoever
// has the keys can make, is not the one that the record names.
func TestAttackObjectOlder(t *testing.T) {
	ctx, o := t.Context(), newObjects(t)
	keys, err := o.ring.CreateSubject(ctx, "patient-1", "clinical")
	require.NoError(t, err)
	input, err := keys[0].Object(1)
	require.NoError(t, err)
	object := Object{id: newID(), generation: 1, size: 5}
	version := func(text string) ([]byte, Object) {
		key, head := chunked.New(input, o.context(nil, "patient-1", &object))
		var out bytes.Buffer
		var w chunked.Writer
		w.Reset(ctx, &out, key, head, chunked.Work{})
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		object := object
		object.head = head
		return out.Bytes(), object
	}
	older, was := version("older")
	newer, is := version("newer")
	got, err := openObject(t, o, "patient-1", is, newer)
	require.NoError(t, err)
	require.Equal(t, "newer", string(got))
	_, err = openObject(t, o, "patient-1", was, older)
	require.NoError(t, err)
	refuse(t, "rolled back", o, "patient-1", is, older, nil, false)
	refuse(t, "older chunks behind the newer head", o, "patient-1", is, append(bytes.Clone(newer[:56]), older[56:]...), nil, false)
}

// TestAttackObjectFiles: nothing else is taken for an object, nor an object, or
// its reference, for a row.
func TestAttackObjectFiles(t *testing.T) {
	o, sealed, object, _ := attacked(t)
	for name, file := range map[string][]byte{
		"empty": nil, "a reference": must(object.MarshalBinary()), "zeros": make([]byte, len(sealed)),
		"a row":     seal(t, newCodec[twelve](t, "vitals", newRing(t, "bench", "clinical")), newTwelve()),
		"backwards": reversed(sealed),
	} {
		refuse(t, name, o, "patient-1", object, file, nil, false)
	}
	row := Sealed(sealed)
	_, err := Inspect(row)
	require.ErrorIs(t, err, ErrOpen)
	_, err = Inspect(must(object.MarshalBinary()))
	require.ErrorIs(t, err, ErrFormat)
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func reversed(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[len(b)-1-i] = b[i]
	}
	return out
}

// TestAttackObjectPanic: a Close that was deferred, when the underlying writer
// has panicked, neither makes an object of half nor writes it in the clear.
func TestAttackObjectPanic(t *testing.T) {
	o := newObjects(t)
	for _, size := range []int{100, 3*chunked.Size + 100, 20 * chunked.Size} {
		data := pattern(size)
		var out bytes.Buffer
		calls := 0
		w, err := o.Create(t.Context(), "patient-1", writerFunc(func(p []byte) (int, error) {
			out.Write(p)
			if calls++; calls == 1 {
				panic("connection lost")
			}
			return len(p), nil
		}), ObjectOptions{Workers: 1})
		require.NoError(t, err)
		require.PanicsWithValue(t, "connection lost", func() {
			defer w.Close()
			_, _ = w.Write(data)
			_ = w.Close()
		})
		require.Equal(t, 1, calls)
		require.False(t, bytes.Contains(out.Bytes(), data[:100]))
		_, err = w.Write(data)
		require.ErrorIs(t, err, ErrState)
		_, err = w.ReadFrom(bytes.NewReader(data))
		require.ErrorIs(t, err, ErrState)
		require.ErrorIs(t, w.Close(), ErrState)
		_, err = w.Object()
		require.ErrorIs(t, err, ErrState)
	}
}

// TestAttackObjectConcurrent: writers and readers that share buffers, some of
// which fail, mix nothing up; and one ReaderAt serves many, of which some meet
// a damaged chunk.
func TestAttackObjectConcurrent(t *testing.T) {
	ctx, o := t.Context(), newObjects(t)
	shared := pattern(5*chunked.Size + 100)
	sealed, object := sealObject(t, o, "patient-0", shared)
	sealed[chunked.HeadSize+2*sealedChunk+5] ^= 1
	a, err := o.OpenAt(ctx, "patient-0", object, bytes.NewReader(sealed), ObjectOptions{Workers: 2})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			subject := fmt.Sprint("patient-", g)
			r := rand.New(rand.NewPCG(5, uint64(g)))
			for range 30 {
				data := bytes.Repeat([]byte{byte(g), byte(r.Uint32())}, r.IntN(3*chunked.Size))
				stop, cancel := context.WithCancel(ctx)
				broken, err := o.Create(stop, subject, io.Discard, ObjectOptions{})
				if err == nil {
					_, _ = broken.Write(data)
					cancel()
					err = broken.Close()
				}
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cancel()
				own, reference := sealObject(t, o, subject, data)
				got, err := openObject(t, o, subject, reference, own)
				if err != nil || !bytes.Equal(got, data) {
					t.Error("another's bytes", err)
				}
				off := r.Int64N(object.Size())
				p := make([]byte, r.IntN(3*chunked.Size))
				n, err := a.ReadAt(p, off)
				first, last := off/chunked.Size, (off+int64(len(p))-1)/chunked.Size
				damaged := len(p) > 0 && first <= 2 && 2 <= last
				if damaged != errors.Is(err, ErrOpen) || !bytes.Equal(p[:n], shared[off:][:n]) || damaged && !bytes.Equal(p[n:], make([]byte, len(p)-n)) {
					t.Error(off, len(p), n, err)
				}
			}
		})
	}
	wg.Wait()
}
