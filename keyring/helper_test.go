package keyring_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

const (
	alice = "patient-alice"
	budi  = "patient-budi"
)

// testKEK is a KEK that counts its calls and can be made to fail.
type testKEK struct {
	aead          cipher.AEAD
	wraps, opens  atomic.Int32
	fail          atomic.Pointer[error]
	wrap, unwrap_ func([]byte) []byte // change the result
}

func newKEK() *testKEK {
	key := make([]byte, 32)
	rand.Read(key)
	b, _ := aes.NewCipher(key)
	a, _ := cipher.NewGCMWithRandomNonce(b)
	return &testKEK{aead: a}
}

func (k *testKEK) Wrap(_ context.Context, plaintext, ad []byte) ([]byte, error) {
	k.wraps.Add(1)
	if err := k.fail.Load(); err != nil {
		return nil, *err
	}
	out := k.aead.Seal(nil, nil, plaintext, ad)
	if k.wrap != nil {
		out = k.wrap(plaintext)
	}
	return out, nil
}

func (k *testKEK) Unwrap(_ context.Context, wrapped, ad []byte) ([]byte, error) {
	k.opens.Add(1)
	if err := k.fail.Load(); err != nil {
		return nil, *err
	}
	out, err := k.aead.Open(nil, nil, wrapped, ad)
	if k.unwrap_ != nil {
		return k.unwrap_(wrapped), nil
	}
	return out, err
}

// world is a ring with its parts in the test's hands.
type world struct {
	keyring.Config
	kek     *testKEK
	medium  *journal.Memory
	ring    *keyring.Ring
	journal *keyring.Journal
}

// newWorld creates a ring with keysets of those names.
func newWorld(t testing.TB, names ...string) *world {
	w := &world{kek: newKEK(), medium: &journal.Memory{}}
	w.journal = keyring.NewJournal(w.medium)
	w.Config = keyring.Config{Store: keyring.NewMemoryStore(), Journal: w.journal, KEK: w.kek}
	var err error
	w.ring, err = keyring.Create(t.Context(), "clinic", w.Config)
	require.NoError(t, err)
	for _, name := range names {
		require.NoError(t, w.ring.CreateKeyset(t.Context(), name))
	}
	return w
}

// open opens the ring again, as another process would.
func (w *world) open(t testing.TB) *keyring.Ring {
	t.Helper()
	r, err := keyring.Open(t.Context(), w.Config)
	require.NoError(t, err)
	return r
}

// text returns the journal's text.
func (w *world) text(t testing.TB) string {
	r, err := w.medium.Read(0)
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}

// rewrite makes text the journal's.
func (w *world) rewrite(t testing.TB, text string) {
	require.NoError(t, w.medium.Truncate(0))
	require.NoError(t, w.medium.Append([]byte(text)))
}

// cutLines drops the journal's last n lines.
func (w *world) cutLines(t testing.TB, n int) {
	lines := strings.SplitAfter(w.text(t), "\n")
	w.rewrite(t, strings.Join(lines[:len(lines)-1-n], ""))
}

// token seals with a subject key, so that two keys can be compared.
func token(t testing.TB, k *keyring.SubjectKey) string {
	t.Helper()
	a, err := k.Record(k.Generation())
	require.NoError(t, err)
	return sealed(a)
}

// sealed tells a key by what it makes of the same plaintext.
func sealed(a secret.AEAD) string {
	return fmt.Sprintf("%x", secret.Cipher(a).Seal(nil, make([]byte, 12), []byte("the same"), nil))
}

func tokens(t testing.TB, keys []*keyring.SubjectKey) (out []string) {
	for _, k := range keys {
		out = append(out, token(t, k))
	}
	return out
}

// requireAsError checks that err names its stage and holds no subject id.
func requireError(t testing.TB, err, want error) {
	t.Helper()
	require.ErrorIs(t, err, want)
	require.True(t, strings.HasPrefix(err.Error(), "keyring: "), "%q does not say where it comes from", err)
	for _, id := range []string{alice, budi} {
		require.NotContains(t, err.Error(), id)
	}
}

var errStore = errors.New("disk on fire")

// faultyStore fails from the n-th call on, or at it alone.
type faultyStore struct {
	keyring.Store
	calls atomic.Int32
	at    int32 // 0: never
	after bool  // do the call, then fail: the answer was lost
	once  bool
	trap  func(ctx context.Context, do func() error) error // instead of these, if it is not nil
}

func (s *faultyStore) fault() bool {
	n := s.calls.Add(1)
	return s.at > 0 && (n == s.at || n > s.at && !s.once)
}

func faulty[T any](ctx context.Context, s *faultyStore, do func() (T, error)) (out T, err error) {
	var zero T
	if s.trap != nil {
		if err = s.trap(ctx, func() error { out, err = do(); return err }); err != nil {
			return zero, err
		}
		return out, nil
	}
	if s.fault() {
		if s.after {
			_, _ = do()
		}
		return zero, errStore
	}
	return do()
}

func (s *faultyStore) Head(ctx context.Context) (keyring.Head, error) {
	return faulty(ctx, s, func() (keyring.Head, error) { return s.Store.Head(ctx) })
}

func (s *faultyStore) Keysets(ctx context.Context) ([]keyring.KeysetRecord, error) {
	return faulty(ctx, s, func() ([]keyring.KeysetRecord, error) { return s.Store.Keysets(ctx) })
}

func (s *faultyStore) Keyset(ctx context.Context, name string) (keyring.KeysetRecord, error) {
	return faulty(ctx, s, func() (keyring.KeysetRecord, error) { return s.Store.Keyset(ctx, name) })
}

func (s *faultyStore) StageKeyset(ctx context.Context, rec keyring.KeysetRecord) error {
	_, err := faulty(ctx, s, func() (any, error) { return nil, s.Store.StageKeyset(ctx, rec) })
	return err
}

func (s *faultyStore) Commit(ctx context.Context, c keyring.Change) error {
	_, err := faulty(ctx, s, func() (any, error) { return nil, s.Store.Commit(ctx, c) })
	return err
}

func (s *faultyStore) Keys(ctx context.Context, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	return faulty(ctx, s, func() ([]keyring.KeyRecord, error) { return s.Store.Keys(ctx, tags) })
}

func (s *faultyStore) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	return faulty(ctx, s, func() ([]keyring.KeyRecord, error) { return s.Store.CreateKeys(ctx, recs) })
}

func (s *faultyStore) Inactive(ctx context.Context, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	return faulty(ctx, s, func() ([]keyring.KeyRecord, error) { return s.Store.Inactive(ctx, after, limit) })
}

func (s *faultyStore) StaleKeys(ctx context.Context, compartment string, version uint32, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	return faulty(ctx, s, func() ([]keyring.KeyRecord, error) {
		return s.Store.StaleKeys(ctx, compartment, version, after, limit)
	})
}

func (s *faultyStore) SwapKeys(ctx context.Context, swaps []keyring.Swap) (int, error) {
	return faulty(ctx, s, func() (int, error) { return s.Store.SwapKeys(ctx, swaps) })
}
