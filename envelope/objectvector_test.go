package envelope

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
)

const objectVectorFile = "testdata/vectors/object_v1.json"

// The vectors of objects, in the order of docs/SPEC.md.
type objectVectors struct {
	Comment    string            `json:"comment"`
	Objects    []objectVector    `json:"objects"`
	Rejections []objectRejection `json:"rejections"`
}

type objectVector struct {
	Context    objectContext `json:"context"`
	ObjectKey  string        `json:"object_key"` // of the subject, in that generation
	Generation uint32        `json:"generation"`
	Salt       string        `json:"salt"`
	Info       string        `json:"info"`
	Key        string        `json:"key"`
	BaseNonce  string        `json:"base_nonce"`
	Commitment string        `json:"commitment"`
	Length     int           `json:"length"` // of the plaintext: byte i is i mod 251
	Chunks     []objectChunk `json:"chunks"`
	Sealed     string        `json:"sealed_sha256"`
	SealedFile string        `json:"sealed,omitempty"` // where it is short
	Reference  string        `json:"reference"`
}

type objectContext struct {
	Label       string `json:"label"`
	Ring        string `json:"ring"`
	Compartment string `json:"compartment"`
	Subject     string `json:"subject"`
	ObjectType  string `json:"object_type"`
	ID          string `json:"id"`
}

type objectChunk struct {
	Nonce  string `json:"nonce"`
	Length int    `json:"length"`
	Sealed string `json:"sealed_sha256"`
}

// objectRejection is made of the vector of that length, of the bytes of its
// sealed form that the ranges name, one after the other, and then the XOR.
type objectRejection struct {
	Name      string   `json:"name"`
	Length    int      `json:"length"`
	Subject   string   `json:"subject,omitempty"`     // if another
	Type      string   `json:"object_type,omitempty"` // if another
	Ranges    [][2]int `json:"ranges,omitempty"`      // all, if there are none
	At        int      `json:"xor_at"`
	XOR       string   `json:"xor,omitempty"`
	Reference string   `json:"reference,omitempty"` // if another
	Error     string   `json:"error"`               // open, truncated, malformed, version
}

func vectorText(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// makeObject seals as docs/SPEC.md says, by the primitives alone.
func makeObject(t testing.TB, n int) (objectVector, []byte) {
	h, sum := hex.EncodeToString, func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	objectKey, salt := bytes.Repeat([]byte{0x33}, 32), bytes.Repeat([]byte{byte(n), byte(n >> 8), 0xa5}, 8)
	id := mustHex(t, "0192f0c1a5b97d34a1b2c3d4e5f60718")
	context := lp.Append(nil, "rahasia/object/v1", "ring-1", "clinical", "patient-1", "ecg", string(id))
	info := "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + string(salt) + string(context)
	out, err := hkdf.Expand(sha512.New, objectKey, info, 76)
	require.NoError(t, err)
	block, err := aes.NewCipher(out[:32])
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	v := objectVector{
		Context:   objectContext{"rahasia/object/v1", "ring-1", "clinical", "patient-1", "ecg", h(id)},
		ObjectKey: h(objectKey), Generation: 2, Salt: h(salt), Info: h([]byte(info)),
		Key: h(out[:32]), BaseNonce: h(out[32:44]), Commitment: h(out[44:]), Length: n,
	}
	text, sealed := vectorText(n), append(bytes.Clone(salt), out[44:]...)
	for i, last := 0, false; !last; i++ {
		chunk := text[:min(len(text), 16384)]
		text, last = text[len(chunk):], len(chunk) < 16384
		nonce := bytes.Clone(out[32:44])
		nonce[11] ^= byte(i)
		c := gcm.Seal(nil, nonce, chunk, nil)
		v.Chunks = append(v.Chunks, objectChunk{h(nonce), len(chunk), sum(c)})
		sealed = append(sealed, c...)
	}
	v.Sealed = sum(sealed)
	if len(sealed) < 100 {
		v.SealedFile = h(sealed)
	}
	reference := append([]byte{0x41}, id...)
	reference = append(reference, 0, 0, 0, 2, 0, 0, 0, 0, 0, byte(n>>16), byte(n>>8), byte(n))
	v.Reference = h(append(reference, sealed[:56]...))
	return v, sealed
}

func makeRejections(t testing.TB) []objectRejection {
	reference := func(n int, at int, xor byte) string {
		v, _ := makeObject(t, n)
		b := mustHex(t, v.Reference)
		b[at] ^= xor
		return hex.EncodeToString(b)
	}
	another, _ := makeObject(t, 16385)
	const c0, c1, c2, end = 56, 56 + 16400, 56 + 2*16400, 56 + 2*16400 + 7232 + 16 // of 40000
	return []objectRejection{
		{Name: "another subject", Length: 40000, Subject: "patient-2", Error: "open"},
		{Name: "another type", Length: 40000, Type: "film", Error: "open"},
		{Name: "salt changed", Length: 40000, At: 0, XOR: "01", Error: "open"},
		{Name: "commitment changed", Length: 40000, At: 55, XOR: "80", Error: "open"},
		{Name: "first chunk changed", Length: 40000, At: c0, XOR: "01", Error: "open"},
		{Name: "tag of the middle chunk changed", Length: 40000, At: c2 - 1, XOR: "01", Error: "open"},
		{Name: "last chunk changed", Length: 40000, At: c2, XOR: "40", Error: "open"},
		{Name: "chunks swapped", Length: 40000, Ranges: [][2]int{{0, c0}, {c1, c2}, {c0, c1}, {c2, end}}, Error: "open"},
		{Name: "chunk repeated", Length: 40000, Ranges: [][2]int{{0, c0}, {c0, c1}, {c0, c1}, {c2, end}}, Error: "open"},
		{Name: "last chunk dropped", Length: 40000, Ranges: [][2]int{{0, c2}}, Error: "truncated"},
		{Name: "cut off in a tag", Length: 40000, Ranges: [][2]int{{0, end - 1}}, Error: "truncated"},
		{Name: "cut off in the head", Length: 40000, Ranges: [][2]int{{0, 55}}, Error: "truncated"},
		{Name: "empty last chunk dropped", Length: 16384, Ranges: [][2]int{{0, c1}}, Error: "truncated"},
		{Name: "one byte more", Length: 1, Ranges: [][2]int{{0, 73}, {0, 1}}, Error: "open"},
		{Name: "last chunk twice", Length: 1, Ranges: [][2]int{{0, 73}, {56, 73}}, Error: "open"},
		{Name: "reference of another object", Length: 40000, Reference: another.Reference, Error: "open"},
		{Name: "reference with another id", Length: 1, Reference: reference(1, 16, 1), Error: "open"},
		{Name: "reference with another head", Length: 1, Reference: reference(1, 84, 1), Error: "open"},
		{Name: "reference with a length of 0", Length: 1, Reference: reference(1, 28, 1), Error: "open"},
		{Name: "reference with a length of 3", Length: 1, Reference: reference(1, 28, 2), Error: "truncated"},
		{Name: "reference with generation 0", Length: 1, Reference: reference(1, 20, 2), Error: "malformed"},
		{Name: "reference with a UUID of version 4", Length: 1, Reference: reference(1, 7, 0x30), Error: "malformed"},
		{Name: "reference with a UUID of another variant", Length: 1, Reference: reference(1, 9, 0x40), Error: "malformed"},
		{Name: "reference with a length of 2⁵² + 1", Length: 1, Reference: reference(1, 22, 0x10), Error: "malformed"},
		{Name: "reference of another kind", Length: 1, Reference: reference(1, 0, 0x50), Error: "malformed"},
		{Name: "reference of version 2", Length: 1, Reference: reference(1, 0, 3), Error: "version"},
		{Name: "reference cut off", Length: 1, Reference: reference(1, 0, 0)[:168], Error: "malformed"},
	}
}

// TestVectorsObject: the file, the primitives and the package agree.
func TestVectorsObject(t *testing.T) {
	file := objectVectors{Comment: "Objects, format v1: c2sp.org/chunked-encryption with AES-256-GCM and HKDF-SHA-512. Bytes in hex. Byte i of a plaintext is i mod 251. Keys and salts are fixed for this file only. A rejection is opened with the context and the key of the vector of its length, but for what it names."}
	sealed := map[int][]byte{}
	for _, n := range []int{0, 1, 16383, 16384, 16385, 40000} {
		v, data := makeObject(t, n)
		file.Objects, sealed[n] = append(file.Objects, v), data
	}
	file.Rejections = makeRejections(t)
	want, err := json.MarshalIndent(file, "", "\t")
	require.NoError(t, err)
	want = append(want, '\n')
	if *update {
		require.NoError(t, os.WriteFile(objectVectorFile, want, 0o644))
	}
	got, err := os.ReadFile(objectVectorFile)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))

	for _, v := range file.Objects {
		text, err := openVector(t, &v, v.Context.Subject, v.Context.ObjectType, mustHex(t, v.Reference), sealed[v.Length])
		require.NoError(t, err, v.Length)
		require.Equal(t, vectorText(v.Length), text)
	}
	names := map[string]bool{}
	for _, r := range file.Rejections {
		t.Run(r.Name, func(t *testing.T) {
			require.False(t, names[r.Name])
			names[r.Name] = true
			v, data := makeObject(t, r.Length)
			subject, objectType, reference := v.Context.Subject, v.Context.ObjectType, v.Reference
			if r.Subject != "" {
				subject = r.Subject
			}
			if r.Type != "" {
				objectType = r.Type
			}
			if r.Reference != "" {
				reference = r.Reference
			}
			bad := bytes.Clone(data)
			if r.Ranges != nil {
				bad = nil
				for _, x := range r.Ranges {
					bad = append(bad, data[x[0]:x[1]]...)
				}
			}
			for i, b := range mustHex(t, r.XOR) {
				bad[r.At+i] ^= b
			}
			_, err := openVector(t, &v, subject, objectType, mustHex(t, reference), bad)
			require.ErrorIs(t, err, map[string]error{"open": chunked.ErrOpen, "truncated": chunked.ErrTruncated, "malformed": ErrFormat, "version": ErrVersion}[r.Error])
		})
	}
}

// openVector opens by the package, with a given object key.
func openVector(t *testing.T, v *objectVector, subject, objectType string, reference, sealed []byte) ([]byte, error) {
	var object Object
	if err := object.UnmarshalBinary(reference); err != nil {
		return nil, err
	}
	require.Equal(t, v.Generation, object.generation)
	key, err := secret.NewKey(mustHex(t, v.ObjectKey))
	require.NoError(t, err)
	input, err := secret.NewExpander(key)
	require.NoError(t, err)
	o := objectsOf(t, objectType, v.Context.Compartment, newRing(t, v.Context.Ring, v.Context.Compartment))
	k, err := chunked.Open(input, o.context(nil, subject, &object), object.head)
	if err != nil {
		return nil, err
	}
	r, err := chunked.NewReader(t.Context(), bytes.NewReader(sealed), k, object.head, object.size, chunked.Work{})
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
