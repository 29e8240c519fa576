package kms_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/kms"
	"github.com/rahasia/rahasia/keyring"
)

const (
	awsRegion = "ap-southeast-3" // Jakarta
	awsID     = "AKIDEXAMPLE"
	awsSecret = "a secret that only the tests use"
)

func arn(name string) string {
	return "arn:aws:kms:" + awsRegion + ":111122223333:key/" + name
}

// newAWS is AWS KMS on loopback: the JSON 1.1 protocol, signature version 4,
// and the errors of its reference.
func newAWS(t testing.TB) *service {
	f := newFake(t, 4096, arn("identity"), arn("clinical"))
	srv := httptest.NewServer(http.HandlerFunc(f.serveAWS))
	t.Cleanup(srv.Close)
	client := awskms.New(awskms.Options{
		Region: awsRegion, BaseEndpoint: aws.String(srv.URL),
		Credentials: credentials.NewStaticCredentialsProvider(awsID, awsSecret, ""),
		Retryer:     retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond }),
	})
	return &service{
		fake: f, stop: srv.Close, id: arn, retries: 2, limit: 39, context: true,
		kek: func(t testing.TB, name string) keyring.KEK {
			k, err := kms.AWS(t.Context(), arn(name), client)
			require.NoError(t, err)
			return k
		},
	}
}

type awsCall struct {
	KeyID             string            `json:"KeyId"`
	EncryptionContext map[string]string `json:"EncryptionContext"`
	Plaintext         []byte            `json:"Plaintext,omitempty"`
	CiphertextBlob    []byte            `json:"CiphertextBlob,omitempty"`
}

func (f *fake) serveAWS(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var call awsCall
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/" ||
		r.Header.Get("Content-Type") != "application/x-amz-json-1.1" || json.Unmarshal(body, &call) != nil {
		awsError(w, 400, "SerializationException", "not a call of the JSON 1.1 protocol")
		return
	}
	if err := awsSigned(r, body); err != nil {
		awsError(w, 400, "IncompleteSignature", err.Error())
		return
	}
	if f.hang.Load() {
		<-r.Context().Done()
		return
	}
	// The context is a map; its one entry is Tink's, in hex.
	ad, err := hex.DecodeString(call.EncryptionContext["associatedData"])
	if err != nil || len(call.EncryptionContext) != 1 {
		awsError(w, 400, "ValidationException", "encryption context")
		return
	}
	out := awsCall{KeyID: call.KeyID}
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		out.CiphertextBlob, err = f.encrypt(call.KeyID, call.Plaintext, ad)
	case "TrentService.Decrypt":
		out.Plaintext, err = f.decrypt(call.KeyID, call.CiphertextBlob, ad)
	default:
		awsError(w, 400, "UnknownOperationException", "")
		return
	}
	switch err {
	case nil:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(out)
	case errNoKey:
		awsError(w, 400, "NotFoundException", "Key does not exist")
	case errDenied:
		awsError(w, 400, "AccessDeniedException", "not authorized to perform: kms:Decrypt")
	case errThrottled:
		awsError(w, 400, "ThrottlingException", "You have exceeded the rate at which you may call KMS.")
	case errTooLong:
		awsError(w, 400, "ValidationException", "Member must have length less than or equal to 4096")
	default:
		awsError(w, 400, "InvalidCiphertextException", "")
	}
}

func awsError(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": message})
}

// awsSigned checks a request's signature, version 4.
func awsSigned(r *http.Request, body []byte) error {
	fields := map[string]string{}
	algorithm, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	for f := range strings.SplitSeq(rest, ", ") {
		k, v, _ := strings.Cut(f, "=")
		fields[k] = v
	}
	date := r.Header.Get("X-Amz-Date")
	if algorithm != "AWS4-HMAC-SHA256" || len(date) != 16 {
		return fmt.Errorf("algorithm %q, date %q", algorithm, date)
	}
	scope := date[:8] + "/" + awsRegion + "/kms/aws4_request"
	if fields["Credential"] != awsID+"/"+scope {
		return fmt.Errorf("credential %q", fields["Credential"])
	}
	canonical := r.Method + "\n/\n\n"
	for h := range strings.SplitSeq(fields["SignedHeaders"], ";") {
		value := r.Header.Get(h)
		switch h {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		canonical += h + ":" + value + "\n"
	}
	canonical += fmt.Sprintf("\n%s\n%x", fields["SignedHeaders"], sha256.Sum256(body))
	key := []byte("AWS4" + awsSecret)
	for _, part := range append(strings.Split(scope, "/"),
		fmt.Sprintf("%s\n%s\n%s\n%x", algorithm, date, scope, sha256.Sum256([]byte(canonical)))) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if hex.EncodeToString(key) != fields["Signature"] {
		return fmt.Errorf("signature")
	}
	return nil
}
