package kms_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/kms"
	"github.com/rahasia/rahasia/keyring"
)

const vaultToken = "a token that only the tests use"

// newVault is the transit engine on loopback, as Vault since 1.13 and OpenBao
// have it.
func newVault(t testing.TB) *service {
	f := newFake(t, 1<<20, "identity", "clinical")
	srv := httptest.NewServer(http.HandlerFunc(f.serveVault))
	t.Cleanup(srv.Close)
	return &service{
		fake: f, stop: srv.Close, address: srv.URL, id: func(name string) string { return name },
		kek: func(t testing.TB, name string) keyring.KEK {
			k, err := kms.Vault("/transit/keys/"+name, vaultClient(t, srv.URL))
			require.NoError(t, err)
			return k
		},
	}
}

func vaultClient(t testing.TB, address string) *api.Client {
	cfg := api.DefaultConfig()
	cfg.Address, cfg.Timeout, cfg.MaxRetries = address, 300*time.Millisecond, 0
	client, err := api.NewClient(cfg)
	require.NoError(t, err)
	client.SetToken(vaultToken)
	client.SetMaxRetries(0)
	return client
}

func (f *fake) serveVault(w http.ResponseWriter, r *http.Request) {
	var call struct {
		Plaintext      string  `json:"plaintext"`
		Ciphertext     string  `json:"ciphertext"`
		AssociatedData *string `json:"associated_data"`
	}
	op, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	switch {
	case r.Header.Get("X-Vault-Token") != vaultToken:
		vaultError(w, 403, "permission denied")
		return
	case r.Method != http.MethodPut || r.Header.Get("X-Vault-Request") != "true":
		vaultError(w, 405, "unsupported operation")
		return
	case json.NewDecoder(r.Body).Decode(&call) != nil:
		vaultError(w, 400, "failed to parse JSON input")
		return
	case f.hang.Load():
		<-r.Context().Done()
		return
	}
	var ad []byte
	if call.AssociatedData != nil {
		ad, _ = base64.StdEncoding.DecodeString(*call.AssociatedData)
	}
	data, err := map[string]any{}, error(nil)
	switch op {
	case "encrypt":
		var plaintext, sealed []byte
		if plaintext, err = base64.StdEncoding.DecodeString(call.Plaintext); err == nil {
			sealed, err = f.encrypt(name, plaintext, ad)
			data["ciphertext"], data["key_version"] = "vault:v1:"+base64.StdEncoding.EncodeToString(sealed), 1
		}
	case "decrypt":
		b64, ok := strings.CutPrefix(call.Ciphertext, "vault:v1:")
		sealed, bad := base64.StdEncoding.DecodeString(b64)
		if !ok || bad != nil {
			vaultError(w, 400, "invalid ciphertext: no prefix")
			return
		}
		var plaintext []byte
		plaintext, err = f.decrypt(name, sealed, ad)
		data["plaintext"] = base64.StdEncoding.EncodeToString(plaintext)
	default:
		vaultError(w, 404, "unsupported path")
		return
	}
	switch err {
	case nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "1", "data": data})
	case errNoKey:
		vaultError(w, 400, "encryption key not found")
	case errDenied:
		vaultError(w, 403, "permission denied")
	case errThrottled:
		vaultError(w, 429, "request path \""+r.URL.Path+"\": rate limit quota exceeded: throttled")
	default:
		vaultError(w, 400, "cipher: message authentication failed")
	}
}

func vaultError(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string][]string{"errors": {message}})
}
