package envelope

import (
	"bytes"
	"context"
	"crypto/hpke"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// python returns a Python that can run testdata/reference: the first on the
// PATH, where Debian's may stand behind another. Without one the test is
// skipped; where RAHASIA_REQUIRE lists python it fails.
func python(t testing.TB) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path, err := exec.LookPath(filepath.Join(dir, "python3"))
		if err == nil && exec.Command(path, "-c", "import cbor2, cryptography").Run() == nil {
			return path
		}
	}
	const why = "no python3 on the PATH has the packages cryptography and cbor2 (Debian: python3-cryptography, python3-cbor2)"
	if slices.Contains(strings.Split(os.Getenv("RAHASIA_REQUIRE"), ","), "python") {
		t.Fatalf("Python is required by RAHASIA_REQUIRE, and %s", why)
	}
	t.Skip(why)
	return ""
}

// pythonInput is what testdata/reference/vectors.py reads; bytes are in hex.
type pythonInput struct {
	Row struct {
		Ring        string `json:"ring"`
		Compartment string `json:"compartment"`
		Subject     string `json:"subject"`
		RecordType  string `json:"record_type"`
		Record      string `json:"record"`
		ObjectType  string `json:"object_type"`
		Key         string `json:"key"` // of the compartment's keyset
		Version     uint32 `json:"version"`
		Generation  uint32 `json:"generation"`
		Tag         string `json:"tag"`
		Wrapped     string `json:"wrapped"`
		Commitment  string `json:"commitment"`
	} `json:"row"`
	Fields  []pythonField `json:"fields"`
	Payload string        `json:"payload"`
	Topic   struct {
		vectorKeyset
		Topic string `json:"topic"`
	} `json:"topic"`
	Inbox struct {
		vectorKeyset
		Inbox         string `json:"inbox"`
		Sender        string `json:"sender"`
		Encapsulation string `json:"encapsulation"`
		Exported      string `json:"exported"`
	} `json:"inbox"`
}

type pythonField struct {
	Name  string `json:"name"`
	Type  int    `json:"type"`
	Value any    `json:"value"`
}

type pythonOutput struct {
	Opened, Refused                       int
	Row, Reference, Object, Message, Item string
}

type pythonRecord struct {
	ID     string `phi:"subject"`
	Notes  string
	Weight float64
	Count  int64
	Fever  bool
	Codes  []string
	Levels map[string]int64
}

// encapsulate does what Python's cryptography cannot: ML-KEM.
func (in *pythonInput) encapsulate(t testing.TB) {
	v := &in.Inbox
	seed, _ := v.prf(t, "rahasia/inbox-key/v1", v.Inbox)
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	require.NoError(t, err)
	info := refLP("rahasia/inbox/v1", v.Ring, v.Inbox, v.Sender, string(binary.BigEndian.AppendUint32(nil, v.Version)))
	enc, sender, err := hpke.NewSender(private.PublicKey(), hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	require.NoError(t, err)
	exported, err := sender.Export("rahasia/inbox/v1", 32)
	require.NoError(t, err)
	v.Encapsulation, v.Exported = hex.EncodeToString(enc), hex.EncodeToString(exported)
}

func (in *pythonInput) run(t testing.TB) (out pythonOutput) {
	stdin, err := json.Marshal(in)
	require.NoError(t, err)
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), python(t), "-B", "testdata/reference/vectors.py")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	stdout, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	require.NoError(t, json.Unmarshal(stdout, &out))
	return out
}

// subject makes the subject's key and says what the store has of it.
func (in *pythonInput) subject(t testing.TB, ring *keyring.Ring, store keyring.Store) {
	_, err := ring.CreateSubject(t.Context(), in.Row.Subject, in.Row.Compartment)
	require.NoError(t, err)
	rows, err := store.StaleKeys(t.Context(), in.Row.Compartment, 0, nil, 2)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	h, k := hex.EncodeToString, rows[0]
	in.Row.Version, in.Row.Generation = k.Version, k.Generation
	in.Row.Tag, in.Row.Wrapped, in.Row.Commitment = h(k.Tag[:]), h(k.Wrapped), h(k.Commitment[:])
}

// TestVectorsPython: an implementation in Python opens every vector, refuses
// every rejection where it should, and writes what this package opens.
func TestVectorsPython(t *testing.T) {
	python(t)
	// Read here too, so that go test does not answer from its cache when they change.
	for _, name := range []string{"rahasia.py", "vectors.py"} {
		source, err := os.ReadFile("testdata/reference/" + name)
		require.NoError(t, err)
		require.Less(t, bytes.Count(source, []byte("\n")), 250, "%s is to stay short", name)
	}
	ctx := context.Background()
	store := keyring.NewMemoryStore()
	ring, _ := ringIn(t, "ring-py", store)
	keyset := func(name string, version uint32) vectorKeyset {
		v := vectorKeyset{"ring-py", name, version, strings.Repeat(hex.EncodeToString([]byte{byte(version)}), 32)}
		v.load(t, ring)
		return v
	}
	payload := pattern(40_000)
	want := pythonRecord{"pasien-é", "batuk pilek", 62.65, -7, true, []string{"E11", "I10"}, map[string]int64{"b": 1, "aa": -300}}
	var in pythonInput
	in.Row.Key = keyset("clinical", 3).Key
	in.Row.Ring, in.Row.Compartment, in.Row.ObjectType = "ring-py", "clinical", "ecg"
	in.Row.RecordType, in.Row.Subject, in.Row.Record = "visit", want.ID, want.ID
	in.Fields = []pythonField{
		{"Notes", 5, want.Notes}, {"Weight", 4, want.Weight}, {"Count", 2, want.Count},
		{"Fever", 1, want.Fever}, {"Codes", 9, want.Codes}, {"Levels", 10, want.Levels},
	}
	in.Payload = hex.EncodeToString(payload)
	in.Topic.vectorKeyset, in.Topic.Topic = keyset("topic/lab", 4), "lab"
	in.Inbox.vectorKeyset, in.Inbox.Inbox, in.Inbox.Sender = keyset("inbox/branches", 5), "branches", "solo-1"
	in.subject(t, ring, store)
	in.encapsulate(t)
	out := in.run(t)

	all, err := filepath.Glob(vectorFolder + "*.json")
	require.NoError(t, err)
	rejected, err := filepath.Glob(vectorFolder + "*_reject_*.json")
	require.NoError(t, err)
	require.Equal(t, len(all)-len(rejected), out.Opened)
	require.Equal(t, len(rejected), out.Refused)
	t.Logf("Python opens %d vectors and refuses %d", out.Opened, out.Refused)

	got := pythonRecord{ID: want.ID}
	require.NoError(t, newCodec[pythonRecord](t, "visit", ring).Open(ctx, &got, mustHex(t, out.Row)))
	require.Equal(t, want, got)

	var object Object
	require.NoError(t, object.UnmarshalBinary(mustHex(t, out.Reference)))
	text, err := openObject(t, objectsOf(t, "ecg", "clinical", ring), want.ID, object, mustHex(t, out.Object))
	require.NoError(t, err)
	require.True(t, bytes.Equal(payload, text))

	subject, text, err := newTopic(t, "lab", ring).Open(ctx, mustHex(t, out.Message))
	require.NoError(t, err)
	require.Equal(t, want.ID, subject)
	require.True(t, bytes.Equal(payload, text))

	received, err := newInbox(t, "branches", ring).Open(ctx, mustHex(t, out.Item))
	require.NoError(t, err)
	require.Equal(t, want.ID, received.Subject)
	require.Equal(t, "solo-1", received.Sender)
	require.True(t, bytes.Equal(payload, received.Payload))
}
