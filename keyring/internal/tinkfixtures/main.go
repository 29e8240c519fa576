// Command tinkfixtures writes the keysets under keyring/testdata/tink with the
// first generation of Tink for Go, github.com/google/tink/go. It is a module of
// its own because that one and tink-go/v2 register the same protobuf messages
// and cannot be linked into one program.
//
//	cd keyring/internal/tinkfixtures && GOWORK=off go run . ../../testdata/tink
//
// Keys are random: a run replaces all fixtures.
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/google/tink/go/aead"
	"github.com/google/tink/go/insecurecleartextkeyset"
	"github.com/google/tink/go/keyset"
	"github.com/google/tink/go/mac"
	"github.com/google/tink/go/prf"
	commonpb "github.com/google/tink/go/proto/common_go_proto"
	prfpb "github.com/google/tink/go/proto/hkdf_prf_go_proto"
	tinkpb "github.com/google/tink/go/proto/tink_go_proto"
	"github.com/google/tink/go/tink"
	"google.golang.org/protobuf/proto"
)

// Values is what values.json holds: for each keyset, and each of its enabled
// keys, the PRF's 32 bytes over each input, as hex.
type Values struct {
	Inputs  []string          `json:"inputs"`
	Keysets map[string]Keyset `json:"keysets"`
}

// Keyset is what one keyset must give.
type Keyset struct {
	Primary  uint32              `json:"primary"`
	Disabled []uint32            `json:"disabled"`
	PRF      map[uint32][]string `json:"prf"`
}

// inputs are a label, and a label with parts, each part behind its length in two bytes.
func inputs() []string {
	return []string{
		hex.EncodeToString([]byte("\x00\x0frahasia/wrap/v1")),
		hex.EncodeToString([]byte("\x00\x0frahasia/wrap/v1\x00\x08clinical\x00\x00\x00\x02\xff\x00")),
	}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: tinkfixtures FOLDER")
	}
	if err := write(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func write(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "refused"), 0o755); err != nil {
		return err
	}
	kek, master, err := newMaster()
	if err != nil {
		return err
	}
	if err := save(dir, "kek.json", kek, inClear); err != nil {
		return err
	}
	values := Values{Inputs: inputs(), Keysets: map[string]Keyset{}}
	one, err := keyset.NewHandle(prf.HKDFSHA256PRFKeyTemplate())
	if err != nil {
		return err
	}
	rotated, disabled, err := rotatedKeyset()
	if err != nil {
		return err
	}
	for name, h := range map[string]*keyset.Handle{"one": one, "rotated": rotated} {
		if err := save(dir, name+".json", h, jsonUnder(master, nil)); err != nil {
			return err
		}
		if err := save(dir, name+".bin", h, binaryUnder(master)); err != nil {
			return err
		}
		v, err := Derive(h, values.Inputs)
		if err != nil {
			return err
		}
		if name == "rotated" {
			v.Disabled = []uint32{disabled}
		}
		values.Keysets[name] = v
	}
	b, err := json.MarshalIndent(values, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "values.json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	return writeRefused(filepath.Join(dir, "refused"), one, master)
}

// rotatedKeyset has four keys, of which the second is the primary and the
// fourth disabled.
func rotatedKeyset() (h *keyset.Handle, disabled uint32, err error) {
	m := keyset.NewManager()
	var ids []uint32
	for range 4 {
		id, err := m.Add(prf.HKDFSHA256PRFKeyTemplate())
		if err != nil {
			return nil, 0, err
		}
		ids = append(ids, id)
	}
	if err := m.SetPrimary(ids[1]); err != nil {
		return nil, 0, err
	}
	if err := m.Disable(ids[3]); err != nil {
		return nil, 0, err
	}
	h, err = m.Handle()
	return h, ids[3], err
}

// writeRefused writes what a ring must not take.
func writeRefused(dir string, good *keyset.Handle, master tink.AEAD) error {
	_, other, err := newMaster()
	if err != nil {
		return err
	}
	for name, template := range map[string]*tinkpb.KeyTemplate{
		"aead":        aead.AES256GCMKeyTemplate(),
		"mac":         mac.HMACSHA256Tag256KeyTemplate(),
		"hmac-prf":    prf.HMACSHA256PRFKeyTemplate(),
		"cmac-prf":    prf.AESCMACPRFKeyTemplate(),
		"hkdf-sha512": hkdf(commonpb.HashType_SHA512, 32, nil, tinkpb.OutputPrefixType_RAW),
		"hkdf-salt":   hkdf(commonpb.HashType_SHA256, 32, []byte("salt"), tinkpb.OutputPrefixType_RAW),
		"hkdf-64":     hkdf(commonpb.HashType_SHA256, 64, nil, tinkpb.OutputPrefixType_RAW),
		"hkdf-prefix": hkdf(commonpb.HashType_SHA256, 32, nil, tinkpb.OutputPrefixType_TINK),
	} {
		h, err := keyset.NewHandle(template)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := save(dir, name+".json", h, jsonUnder(master, nil)); err != nil {
			return err
		}
	}
	mixed, err := mixedKeyset()
	if err != nil {
		return err
	}
	for name, f := range map[string]func(*keyset.Handle) ([]byte, error){
		"other-kek.json":       jsonUnder(other, nil),
		"associated-data.json": jsonUnder(master, []byte("bound to this")),
		"clear.json":           inClear,
		"clear.bin":            clearBinary,
	} {
		if err := save(dir, name, good, f); err != nil {
			return err
		}
	}
	return save(dir, "mixed-disabled.json", mixed, jsonUnder(master, nil))
}

// mixedKeyset has a good primary and a disabled key of another type.
func mixedKeyset() (*keyset.Handle, error) {
	m := keyset.NewManager()
	good, err := m.Add(prf.HKDFSHA256PRFKeyTemplate())
	if err != nil {
		return nil, err
	}
	bad, err := m.Add(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, err
	}
	if err := m.SetPrimary(good); err != nil {
		return nil, err
	}
	if err := m.Disable(bad); err != nil {
		return nil, err
	}
	return m.Handle()
}

func hkdf(hash commonpb.HashType, size uint32, salt []byte, prefix tinkpb.OutputPrefixType) *tinkpb.KeyTemplate {
	format, err := proto.Marshal(&prfpb.HkdfPrfKeyFormat{
		Params: &prfpb.HkdfPrfParams{Hash: hash, Salt: salt}, KeySize: size,
	})
	if err != nil {
		log.Fatal(err) // a constant message
	}
	return &tinkpb.KeyTemplate{TypeUrl: prf.HKDFSHA256PRFKeyTemplate().TypeUrl, OutputPrefixType: prefix, Value: format}
}

func newMaster() (*keyset.Handle, tink.AEAD, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, nil, err
	}
	a, err := aead.New(h)
	return h, a, err
}

// Derive computes what values.json holds of a keyset.
func Derive(h *keyset.Handle, inputs []string) (Keyset, error) {
	set, err := prf.NewPRFSet(h)
	if err != nil {
		return Keyset{}, err
	}
	v := Keyset{Primary: set.PrimaryID, PRF: map[uint32][]string{}}
	for id, f := range set.PRFs {
		for _, in := range inputs {
			b, err := hex.DecodeString(in)
			if err != nil {
				return Keyset{}, err
			}
			out, err := f.ComputePRF(b, 32)
			if err != nil {
				return Keyset{}, err
			}
			v.PRF[id] = append(v.PRF[id], hex.EncodeToString(out))
		}
	}
	return v, nil
}

func save(dir, name string, h *keyset.Handle, f func(*keyset.Handle) ([]byte, error)) error {
	b, err := f(h)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(dir, name), b, 0o644)
}

func jsonUnder(master tink.AEAD, ad []byte) func(*keyset.Handle) ([]byte, error) {
	return func(h *keyset.Handle) ([]byte, error) {
		var b bytes.Buffer
		err := h.WriteWithAssociatedData(keyset.NewJSONWriter(&b), master, ad)
		return b.Bytes(), err
	}
}

func binaryUnder(master tink.AEAD) func(*keyset.Handle) ([]byte, error) {
	return func(h *keyset.Handle) ([]byte, error) {
		var b bytes.Buffer
		err := h.Write(keyset.NewBinaryWriter(&b), master)
		return b.Bytes(), err
	}
}

func inClear(h *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b))
	return b.Bytes(), err
}

func clearBinary(h *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	err := insecurecleartextkeyset.Write(h, keyset.NewBinaryWriter(&b))
	return b.Bytes(), err
}
