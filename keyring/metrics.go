package keyring

import (
	"context"
	"log/slog"
)

// Metrics counts what a ring does, under these names:
//
//	cache.hits    subjects whose keys memory had
//	cache.misses  subjects whose keys it had not
//	kek.calls     calls of a KEK
//	store.calls   calls of the store
//
// A *[expvar.Map] is a Metrics; [LogMetrics] is another. Add is called by many
// goroutines at once, for every subject asked for: it must be quick.
//
// [expvar.Map]: https://pkg.go.dev/expvar#Map
type Metrics interface {
	Add(name string, delta int64)
}

// The names that Metrics counts under.
const (
	cacheHits   = "cache.hits"
	cacheMisses = "cache.misses"
	kekCalls    = "kek.calls"
	storeCalls  = "store.calls"
)

// LogMetrics returns metrics that log every count at debug level, as the
// message "keyring" with the attributes name and delta.
func LogMetrics(l *slog.Logger) Metrics { return logMetrics{l} }

type logMetrics struct{ to *slog.Logger }

func (m logMetrics) Add(name string, delta int64) {
	m.to.LogAttrs(context.Background(), slog.LevelDebug, "keyring", slog.String("name", name), slog.Int64("delta", delta))
}

// metered returns cfg with calls of KEKs and store counted.
func (cfg Config) metered() Config {
	if cfg.Metrics == nil {
		return cfg
	}
	if cfg.Store != nil {
		cfg.Store = meteredStore{cfg.Store, cfg.Metrics}
	}
	cfg.KEK = meterKEK(cfg.KEK, cfg.Metrics)
	keks := map[string]KEK{}
	for name, kek := range cfg.KEKs {
		keks[name] = meterKEK(kek, cfg.Metrics)
	}
	cfg.KEKs = keks
	return cfg
}

// meterKEK leaves nil what is nil.
func meterKEK(kek KEK, metrics Metrics) KEK {
	if kek == nil || metrics == nil {
		return kek
	}
	return meteredKEK{kek, metrics}
}

type meteredKEK struct {
	KEK
	metrics Metrics
}

func (k meteredKEK) Wrap(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	k.metrics.Add(kekCalls, 1)
	return k.KEK.Wrap(ctx, plaintext, ad)
}

func (k meteredKEK) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	k.metrics.Add(kekCalls, 1)
	return k.KEK.Unwrap(ctx, wrapped, ad)
}

// meteredStore names every method, so that none goes uncounted.
type meteredStore struct {
	store   Store
	metrics Metrics
}

func (s meteredStore) count() Store {
	s.metrics.Add(storeCalls, 1)
	return s.store
}

func (s meteredStore) Head(ctx context.Context) (Head, error) { return s.count().Head(ctx) }

func (s meteredStore) Keysets(ctx context.Context) ([]KeysetRecord, error) {
	return s.count().Keysets(ctx)
}

func (s meteredStore) Keyset(ctx context.Context, name string) (KeysetRecord, error) {
	return s.count().Keyset(ctx, name)
}

func (s meteredStore) StageKeyset(ctx context.Context, rec KeysetRecord) error {
	return s.count().StageKeyset(ctx, rec)
}

func (s meteredStore) Commit(ctx context.Context, c Change) error { return s.count().Commit(ctx, c) }

func (s meteredStore) Keys(ctx context.Context, tags []Tag) ([]KeyRecord, error) {
	return s.count().Keys(ctx, tags)
}

func (s meteredStore) CreateKeys(ctx context.Context, recs []KeyRecord) ([]KeyRecord, error) {
	return s.count().CreateKeys(ctx, recs)
}

func (s meteredStore) StaleKeys(ctx context.Context, compartment string, version uint32, after *Tag, limit int) ([]KeyRecord, error) {
	return s.count().StaleKeys(ctx, compartment, version, after, limit)
}

func (s meteredStore) SwapKeys(ctx context.Context, swaps []Swap) (int, error) {
	return s.count().SwapKeys(ctx, swaps)
}

func (s meteredStore) Inactive(ctx context.Context, after *Tag, limit int) ([]KeyRecord, error) {
	return s.count().Inactive(ctx, after, limit)
}
