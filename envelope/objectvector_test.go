package envelope

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
)

// objectVector is an object that opens. testdata/vectors/README.md says what the
// parts of all vectors are.
type objectVector struct {
	Comment    string        `json:"comment"`
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

// objectRejection is made of the sealed form of another vector: of the bytes that
// the ranges name, one after the other, and then the XOR.
type objectRejection struct {
	Comment    string        `json:"comment"`
	Expect     string        `json:"expect"`
	Context    objectContext `json:"context"`
	ObjectKey  string        `json:"object_key"`
	Generation uint32        `json:"generation"`
	Reference  string        `json:"reference"`
	Object     string        `json:"object"`           // its file
	Ranges     [][2]int      `json:"ranges,omitempty"` // all, if there are none
	At         int           `json:"xor_at,omitempty"`
	XOR        string        `json:"xor,omitempty"`

	length int // of the object
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
		Comment:   fmt.Sprintf("%d bytes", n),
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

// objectVectors returns them by file name, and the sealed objects by length.
func objectVectors(t testing.TB) (opens map[string]objectVector, sealed map[int][]byte) {
	opens, sealed = map[string]objectVector{}, map[int][]byte{}
	for _, n := range []int{0, 1, 16383, 16384, 16385, 40000} {
		v, data := makeObject(t, n)
		opens[objectFile(n)], sealed[n] = v, data
	}
	return opens, sealed
}

func objectFile(n int) string { return vectorFile("object", fmt.Sprintf("%d bytes", n)) }

// objectRejections returns them by file name.
func objectRejections(t testing.TB, opens map[string]objectVector) map[string]objectRejection {
	out := map[string]objectRejection{}
	reject := func(name, expect string, n int, change func(r *objectRejection)) {
		v := opens[objectFile(n)]
		r := objectRejection{
			Comment: name, Expect: expect, Context: v.Context, ObjectKey: v.ObjectKey, Generation: v.Generation,
			Reference: v.Reference, Object: objectFile(n), length: n,
		}
		change(&r)
		out[vectorFile("object_reject", name)] = r
	}
	context := func(f func(c *objectContext)) func(*objectRejection) {
		return func(r *objectRejection) { f(&r.Context) }
	}
	reject("another subject", "open", 40000, context(func(c *objectContext) { c.Subject = "patient-2" }))
	reject("another type", "open", 40000, context(func(c *objectContext) { c.ObjectType = "film" }))
	reject("another compartment", "open", 40000, context(func(c *objectContext) { c.Compartment = "identity" }))
	reject("another ring", "open", 40000, context(func(c *objectContext) { c.Ring = "ring-2" }))
	reject("another object key", "open", 40000, func(r *objectRejection) { r.ObjectKey = hex.EncodeToString(bytes.Repeat([]byte{0x34}, 32)) })

	const c0, c1, c2, end = 56, 56 + 16400, 56 + 2*16400, 56 + 2*16400 + 7232 + 16 // of 40000
	xor := func(at int, hex string) func(*objectRejection) {
		return func(r *objectRejection) { r.At, r.XOR = at, hex }
	}
	reject("salt changed", "open", 40000, xor(0, "01"))
	reject("commitment changed", "open", 40000, xor(55, "80"))
	reject("first chunk changed", "open", 40000, xor(c0, "01"))
	reject("tag of the middle chunk changed", "open", 40000, xor(c2-1, "01"))
	reject("last chunk changed", "open", 40000, xor(c2, "40"))
	ranges := func(ranges ...[2]int) func(*objectRejection) {
		return func(r *objectRejection) { r.Ranges = ranges }
	}
	reject("chunks swapped", "open", 40000, ranges([2]int{0, c0}, [2]int{c1, c2}, [2]int{c0, c1}, [2]int{c2, end}))
	reject("chunk repeated", "open", 40000, ranges([2]int{0, c0}, [2]int{c0, c1}, [2]int{c0, c1}, [2]int{c2, end}))
	reject("last chunk dropped", "truncated", 40000, ranges([2]int{0, c2}))
	reject("cut off in a tag", "truncated", 40000, ranges([2]int{0, end - 1}))
	reject("cut off in the head", "truncated", 40000, ranges([2]int{0, 55}))
	reject("empty last chunk dropped", "truncated", 16384, ranges([2]int{0, c1}))
	reject("one byte more", "open", 1, ranges([2]int{0, 73}, [2]int{0, 1}))
	reject("last chunk twice", "open", 1, ranges([2]int{0, 73}, [2]int{56, 73}))

	reference := func(at int, xor byte) func(*objectRejection) {
		return func(r *objectRejection) {
			b := mustHex(t, r.Reference)
			b[at] ^= xor
			r.Reference = hex.EncodeToString(b)
		}
	}
	reject("reference of another object", "open", 40000, func(r *objectRejection) { r.Reference = opens[objectFile(16385)].Reference })
	reject("reference with another id", "open", 1, reference(16, 1))
	reject("reference with another head", "open", 1, reference(84, 1))
	reject("reference with a length of 0", "open", 1, reference(28, 1))
	reject("reference with a length of 3", "truncated", 1, reference(28, 2))
	reject("reference with generation 0", "structure", 1, reference(20, 2))
	reject("reference with a UUID of version 4", "structure", 1, reference(7, 0x30))
	reject("reference with a UUID of another variant", "structure", 1, reference(9, 0x40))
	reject("reference with a length over the limit", "structure", 1, reference(22, 0x10))
	reject("reference of another kind", "structure", 1, reference(0, 0x50))
	reject("reference of another version", "version", 1, reference(0, 3))
	reject("reference cut off", "structure", 1, func(r *objectRejection) { r.Reference = r.Reference[:168] })
	reject("reference of a byte more", "structure", 1, func(r *objectRejection) { r.Reference += "00" })
	return out
}

// TestVectorsObject: the files, the primitives and the package agree.
func TestVectorsObject(t *testing.T) {
	opens, sealed := objectVectors(t)
	refused := objectRejections(t, opens)
	checkFiles(t, "object", opens, refused)
	for name, v := range opens {
		text, err := openVector(t, v.Context, v.ObjectKey, v.Generation, v.Reference, sealed[v.Length])
		require.NoError(t, err, name)
		require.Equal(t, vectorText(v.Length), text)
	}
	for name, r := range refused {
		t.Run(r.Comment, func(t *testing.T) {
			data := sealed[r.length]
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
			_, err := openVector(t, r.Context, r.ObjectKey, r.Generation, r.Reference, bad)
			require.ErrorIs(t, new(Objects).failed("open", err), expected(t, r.Expect), name)
		})
	}
}

// openVector opens by the package, with a given object key.
func openVector(t *testing.T, c objectContext, objectKey string, generation uint32, reference string, sealed []byte) ([]byte, error) {
	var object Object
	if err := object.UnmarshalBinary(mustHex(t, reference)); err != nil {
		return nil, err
	}
	require.Equal(t, generation, object.generation)
	key, err := secret.NewKey(mustHex(t, objectKey))
	require.NoError(t, err)
	input, err := secret.NewExpander(key)
	require.NoError(t, err)
	o := objectsOf(t, c.ObjectType, c.Compartment, newRing(t, c.Ring, c.Compartment))
	k, err := chunked.Open(input, o.context(nil, c.Subject, &object), object.head)
	if err != nil {
		return nil, err
	}
	r, err := chunked.NewReader(t.Context(), bytes.NewReader(sealed), k, object.head, object.size, chunked.Work{})
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
