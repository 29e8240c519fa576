package envelope

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testObject is a valid reference, with bytes that can be told apart.
func testObject() Object {
	o := Object{generation: 0x01020304, size: 0x0a0b0c0d0e}
	for i := range o.id {
		o.id[i] = byte(0xa0 + i)
	}
	o.id[6], o.id[8] = 0x7a, 0xba
	for i := range o.head {
		o.head[i] = byte(i + 1)
	}
	return o
}

// TestObjectForm is the one binary form of a reference.
func TestObjectForm(t *testing.T) {
	o := testObject()
	b, err := o.MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, "41"+"a0a1a2a3a4a57aa7baa9aaabacadaeaf"+"01020304"+"0000000a0b0c0d0e"+hex.EncodeToString(o.head[:]), hex.EncodeToString(b))
	var back Object
	require.NoError(t, back.UnmarshalBinary(b))
	require.Equal(t, o, back)
	require.True(t, o == back, "it is comparable")
	require.Equal(t, "a0a1a2a3-a4a5-7aa7-baa9-aaabacadaeaf", back.ID())
	require.EqualValues(t, 0x0a0b0c0d0e, back.Size())
	require.EqualValues(t, 0x01020304, back.Generation())
	clear(b)
	require.Equal(t, o, back, "it keeps nothing of the caller's")

	none, err := Object{}.MarshalBinary()
	require.NoError(t, err)
	require.NotNil(t, none)
	require.Empty(t, none)
	require.NoError(t, back.UnmarshalBinary(none))
	require.True(t, back.IsZero())
	require.Empty(t, back.ID())
	require.Zero(t, back.Size())
}

func TestObjectFormRefuses(t *testing.T) {
	good, err := testObject().MarshalBinary()
	require.NoError(t, err)
	set := func(i int, b byte) []byte {
		bad := bytes.Clone(good)
		bad[i] = b
		return bad
	}
	for what, b := range map[string][]byte{
		"a row":                set(0, 0x11),
		"a message":            set(0, 0x21),
		"an inbox item":        set(0, 0x31),
		"another version":      set(0, 0x42),
		"id of version 4":      set(7, 0x4a),
		"id of variant 0":      set(9, 0x3a),
		"id of variant 3":      set(9, 0xfa),
		"generation 0":         append(append(bytes.Clone(good[:17]), 0, 0, 0, 0), good[21:]...),
		"length over 52 bits":  set(22, 0x10),
		"one byte too long":    append(append(bytes.Clone(good[:21]), 0, 0x10, 0, 0, 0, 0, 0, 0), good[29:]...),
		"negative length":      set(21, 0x80),
		"one byte":             good[:1],
		"one byte less":        good[:len(good)-1],
		"one byte more":        append(bytes.Clone(good), 0),
		"twice":                append(bytes.Clone(good), good...),
		"the zero value's":     {0},
		"zero bytes":           make([]byte, len(good)),
		"version only, longer": append([]byte{0x42}, make([]byte, 200)...),
	} {
		o := testObject()
		err := o.UnmarshalBinary(b)
		require.ErrorIs(t, err, ErrOpen, what)
		if b[0] == 0x42 {
			require.ErrorIs(t, err, ErrVersion, what)
		} else {
			require.ErrorIs(t, err, ErrFormat, what)
		}
		require.Equal(t, testObject(), o, "%s: it was changed", what)
	}
	for n := 1; n < len(good); n++ {
		require.ErrorIs(t, new(Object).UnmarshalBinary(good[:n]), ErrFormat)
	}
	bad := testObject()
	bad.generation = 0
	_, err = bad.MarshalBinary()
	require.ErrorIs(t, err, ErrFormat)
}

// TestObjectPrints id and length, and nothing of the head.
func TestObjectPrints(t *testing.T) {
	o := testObject()
	const want = "envelope.Object(a0a1a2a3-a4a5-7aa7-baa9-aaabacadaeaf, 43135012110 bytes)"
	require.Equal(t, want, fmt.Sprintf("%v", o))
	require.Equal(t, want, fmt.Sprintf("%+v", &o))
	require.Equal(t, want, fmt.Sprintf("%#x", o))
	require.Equal(t, want, o.LogValue().String())
	require.Equal(t, "envelope.Object(none)", fmt.Sprint(Object{}))
	for _, text := range printings(o) {
		require.NotContains(t, text, string(o.head[:8]))
		require.NotContains(t, text, hex.EncodeToString(o.head[:8]))
	}
}

// TestObjectText: JSON keeps it, and the form is strict.
func TestObjectText(t *testing.T) {
	for _, o := range []Object{testObject(), {}} {
		b, err := json.Marshal(map[string]Object{"ECG": o})
		require.NoError(t, err)
		var back map[string]Object
		require.NoError(t, json.Unmarshal(b, &back))
		require.Equal(t, o, back["ECG"])
	}
	good, err := testObject().MarshalText()
	require.NoError(t, err)
	require.Len(t, good, 114)
	for what, text := range map[string]string{
		"padded": string(good) + "==", "line end": string(good) + "\n", "line end inside": string(good[:60]) + "\n" + string(good[60:]),
		"spare bits": string(good[:113]) + "5", "alphabet": "+" + string(good[1:]), "one less": string(good[:113]),
		"long": strings.Repeat("Q", 1<<20), "another kind": "E" + string(good[1:]),
	} {
		o := testObject()
		require.ErrorIs(t, o.UnmarshalText([]byte(text)), ErrFormat, what)
		require.Equal(t, testObject(), o)
	}
	bad := Object{size: 1}
	_, err = bad.MarshalText()
	require.ErrorIs(t, err, ErrFormat)
}

// TestObjectInARecord: the reference is a field like others.
func TestObjectInARecord(t *testing.T) {
	type visit struct {
		ID   string `phi:"subject"`
		ECG  Object `phi:"clinical"`
		Film *Object
		Old  []Object
	}
	c := newCodec[visit](t, "visit", newRing(t, "clinic", "clinical"))
	for _, src := range []visit{
		{ID: "p1"},
		{ID: "p1", ECG: testObject(), Film: ptr(testObject()), Old: []Object{testObject(), {}}},
	} {
		row := seal(t, c, &src)
		out := visit{ID: "p1", ECG: testObject()}
		require.NoError(t, c.Open(t.Context(), &out, row))
		require.Equal(t, src, out)
	}
}

func FuzzObject(f *testing.F) {
	good, err := testObject().MarshalBinary()
	require.NoError(f, err)
	f.Add(good)
	f.Add([]byte{})
	f.Add(good[:40])
	f.Add([]byte{0x42})
	text, err := testObject().MarshalText()
	require.NoError(f, err)
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		if o := new(Object); o.UnmarshalText(b) == nil {
			again, err := o.MarshalText()
			require.NoError(t, err)
			require.Equal(t, string(b), string(again), "not canonical")
		}
		o := Object{generation: 9}
		if err := o.UnmarshalBinary(b); err != nil {
			require.ErrorIs(t, err, ErrOpen)
			require.Equal(t, Object{generation: 9}, o)
			if len(b) > 6 {
				require.NotContains(t, err.Error(), string(b))
			}
			return
		}
		again, err := o.MarshalBinary()
		require.NoError(t, err)
		require.Equal(t, b, again, "not canonical")
	})
}

// FuzzObjectHead: no bytes but those that were sealed open as an object, from
// the head on, and nothing else is released; nor does a reference to them with
// another head open.
func FuzzObjectHead(f *testing.F) {
	o, data := newObjects(f), []byte("the object")
	sealed, object := sealObject(f, o, "patient-1", data)
	other, _ := sealObject(f, o, "patient-1", data)
	f.Add(sealed)
	f.Add(other)
	f.Add(sealed[:56])
	f.Add(append(bytes.Clone(sealed), 0))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := openObject(t, o, "patient-1", object, b)
		if bytes.Equal(b, sealed) {
			require.NoError(t, err)
			require.Equal(t, data, got)
			return
		}
		require.ErrorIs(t, err, ErrOpen)
		require.Empty(t, got)
		noInput(t, err, b)
		if altered := object; copy(altered.head[:], b) > 0 && altered != object {
			_, err := openObject(t, o, "patient-1", altered, append(altered.head[:], sealed[56:]...))
			require.ErrorIs(t, err, ErrOpen)
		}
	})
}
