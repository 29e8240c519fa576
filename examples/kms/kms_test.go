package kms_test

import (
	"context"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"

	"github.com/rahasia/rahasia/examples/kms"
	"github.com/rahasia/rahasia/keyring"
)

// service is one key service on loopback.
type service struct {
	*fake
	kek     func(t testing.TB, name string) keyring.KEK
	id      func(name string) string // of the key "identity" or "clinical", at the service
	stop    func()
	address string // of the HTTP server
	retries int    // how often the client tries again after throttling
	limit   int    // versions of a keyset that the service takes; 0: more than a ring
	context bool   // calls end with their context
	patient bool   // an unreachable service is retried until the context ends
}

// each runs a test against every service.
func each(t *testing.T, f func(t *testing.T, s *service)) {
	for name, start := range map[string]func(testing.TB) *service{"aws": newAWS, "google": newGoogle, "vault": newVault} {
		t.Run(name, func(t *testing.T) { f(t, start(t)) })
	}
}

// config is a ring's, with a key of its own for each compartment; the control
// keyset is under the key "identity".
func config(t testing.TB, s *service) keyring.Config {
	identity := s.kek(t, "identity")
	return keyring.Config{
		Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(),
		KEKs: map[string]keyring.KEK{"ring": identity, "identity": identity, "clinical": s.kek(t, "clinical")},
	}
}

func create(t testing.TB, cfg keyring.Config) *keyring.Ring {
	r, err := keyring.Create(t.Context(), "clinic", cfg)
	require.NoError(t, err)
	for _, name := range []string{"identity", "clinical"} {
		require.NoError(t, r.CreateKeyset(t.Context(), name))
	}
	return r
}

// A ring lives on a key service: made, reopened, rotated; and costs one call a
// keyset and process, never one a record.
func TestRing(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		ctx, cfg := t.Context(), config(t, s)
		r := create(t, cfg)
		_, err := r.CreateSubject(ctx, "p-1", "identity", "clinical")
		require.NoError(t, err)
		_, err = r.Rotate(ctx, "clinical")
		require.NoError(t, err)
		require.NoError(t, r.Close())

		s.calls.Store(0)
		r, err = keyring.Open(ctx, cfg)
		require.NoError(t, err)
		for range 100 {
			keys, err := r.Subject(ctx, "p-1", "identity", "clinical")
			require.NoError(t, err)
			require.Len(t, keys, 2)
		}
		require.EqualValues(t, 3, s.calls.Load(), "ring, identity, clinical")
		require.NoError(t, r.Close())
	})
}

// The service is told ring and keyset, and what was wrapped for another does
// not open.
func TestWrongContext(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		ctx, k := t.Context(), s.kek(t, "identity")
		wrapped, err := k.Wrap(ctx, []byte("a keyset"), []byte("this one"))
		require.NoError(t, err)
		require.Equal(t, "this one", s.last.Load())
		require.NotContains(t, string(wrapped), "a keyset")
		got, err := k.Unwrap(ctx, wrapped, []byte("this one"))
		require.NoError(t, err)
		require.Equal(t, "a keyset", string(got))
		_, err = k.Unwrap(ctx, wrapped, []byte("another"))
		require.Error(t, err)
		_, err = s.kek(t, "clinical").Unwrap(ctx, wrapped, []byte("this one"))
		require.Error(t, err)
		wrapped[len(wrapped)-1] ^= 1
		_, err = k.Unwrap(ctx, wrapped, []byte("this one"))
		require.Error(t, err)

		cfg := config(t, s)
		create(t, cfg)
		require.Equal(t, keysetContext("clinic", "clinical"), s.last.Load())
	})
}

// keysetContext is the associated data of a wrapped keyset (docs/SPEC.md, 1),
// which a policy may name.
func keysetContext(ring, name string) string {
	lp := func(s string) string { return string([]byte{0, byte(len(s))}) + s }
	return lp("rahasia/keyset/v1") + lp(ring) + lp(name)
}

// The value that docs/KEYS.md tells a policy to name is the one that is sent.
func TestPolicyOfTheDocumentation(t *testing.T) {
	b, err := os.ReadFile("../../docs/KEYS.md")
	require.NoError(t, err)
	require.Contains(t, string(b), `"`+hex.EncodeToString([]byte(keysetContext("clinic", "clinical")))+`"`)
}

// One policy a compartment: who may not use its key opens the rest.
func TestOnePolicyPerCompartment(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		ctx, cfg := t.Context(), config(t, s)
		_, err := create(t, cfg).CreateSubject(ctx, "p-1", "identity", "clinical")
		require.NoError(t, err)
		s.deny(s.id("clinical"))
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		_, err = r.Subject(ctx, "p-1", "identity")
		require.NoError(t, err)
		_, err = r.Subject(ctx, "p-1", "clinical")
		require.ErrorIs(t, err, keyring.ErrKEK)
		require.Contains(t, strings.ToLower(err.Error()), "denied", "who operates it must see why")
	})
}

func TestThrottled(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		ctx, cfg := t.Context(), config(t, s)
		_, err := create(t, cfg).CreateSubject(ctx, "p-1", "identity", "clinical")
		require.NoError(t, err)
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		_, err = r.Subject(ctx, "p-1", "identity")
		require.NoError(t, err)

		s.throttle.Store(int32(s.retries))
		_, err = r.Subject(ctx, "p-1", "clinical")
		require.NoError(t, err, "as often as its client tries again")

		r, err = keyring.Open(ctx, cfg)
		require.NoError(t, err)
		s.throttle.Store(1000)
		_, err = r.Subject(ctx, "p-1", "clinical")
		require.ErrorIs(t, err, keyring.ErrKEK)
		require.Contains(t, strings.ToLower(err.Error()), "throttl")
		s.throttle.Store(0)
		time.Sleep(1100 * time.Millisecond) // a KEK that failed is asked at most once a second
		_, err = r.Subject(ctx, "p-1", "clinical")
		require.NoError(t, err, "and nothing has to be started again")
	})
}

// What is loaded works on when the service is gone; what is not, fails typed.
func TestUnreachable(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		cfg := config(t, s)
		r := create(t, cfg)
		_, err := r.CreateSubject(t.Context(), "p-1", "identity")
		require.NoError(t, err)
		s.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = r.Subject(ctx, "p-1", "identity")
		require.NoError(t, err)
		_, err = r.CreateSubject(ctx, "p-2", "clinical")
		require.NoError(t, err)
		_, err = r.Shred(ctx, "p-1")
		require.NoError(t, err, "erasing needs no key service")
		_, err = keyring.Open(ctx, cfg)
		if s.patient {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		} else {
			require.ErrorIs(t, err, keyring.ErrKEK)
		}
	})
}

// A service that does not answer holds a caller no longer than its context,
// or where Tink passes none, the client's own timeout.
func TestHanging(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		cfg := config(t, s)
		create(t, cfg)
		s.hang.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		started := time.Now()
		_, err := keyring.Open(ctx, cfg)
		require.Error(t, err)
		if s.context {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		} else {
			require.ErrorIs(t, err, keyring.ErrKEK)
		}
		require.Less(t, time.Since(started), 20*time.Second)
	})
}

// Services that take little at a time serve as many versions as the
// documentation says, and the next rotation fails without harm.
func TestSizeLimit(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		if s.limit == 0 {
			t.Skip("takes more than a ring has")
		}
		ctx := t.Context()
		r := create(t, config(t, s))
		for range s.limit - 1 {
			_, err := r.Rotate(ctx, "clinical")
			require.NoError(t, err)
		}
		_, err := r.Rotate(ctx, "clinical")
		require.ErrorIs(t, err, keyring.ErrKEK)
		ks, err := r.Keyset(ctx, "clinical")
		require.NoError(t, err)
		require.Len(t, ks.Versions(), s.limit)
	})
}

// Nothing of a keyset shows in the errors of a service that fails.
func TestLeak(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		s.deny(s.id("identity"))
		const plaintext = "the keys of a keyset"
		_, err := s.kek(t, "identity").Wrap(t.Context(), []byte(plaintext), []byte("ad"))
		require.Error(t, err)
		require.NotContains(t, err.Error(), plaintext)
		require.NotContains(t, err.Error(), vaultToken)
		require.NotContains(t, err.Error(), awsSecret)
	})
}

// Why Vault does not use hcvault's older constructors: what they send, a key
// that is not derived ignores, and a keyset opens under any name.
func TestSaboteurLegacyVault(t *testing.T) {
	s := newVault(t)
	open := func(opts ...hcvault.AEADOption) error {
		a, err := hcvault.NewAEAD("/transit/keys/identity", vaultClient(t, s.address).Logical(), opts...)
		require.NoError(t, err)
		wrapped, err := a.Encrypt([]byte("a keyset"), []byte("this one"))
		require.NoError(t, err)
		_, err = a.Decrypt(wrapped, []byte("another"))
		return err
	}
	require.Error(t, open())
	require.NoError(t, open(hcvault.WithLegacyContextParamater()))
}

func TestNamesThatAreNone(t *testing.T) {
	for _, name := range []string{"", "alias/identity", "arn:aws:kms:ap-southeast-3:111122223333:alias/identity", "key/x"} {
		_, err := kms.AWS(t.Context(), name, nil)
		require.Error(t, err, name)
	}
	for _, name := range []string{"", "gcp-kms://" + resource("x"), resource("x") + "/cryptoKeyVersions/1", "projects/p"} {
		_, err := kms.Google(t.Context(), name)
		require.Error(t, err, name)
	}
	for _, name := range []string{"", "transit/keys/x", "/transit/x", "/keys/x"} {
		_, err := kms.Vault(name, vaultClient(t, "http://127.0.0.1:1"))
		require.Error(t, err, name)
	}
}
