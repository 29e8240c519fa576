package consent

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/internal/secret"
)

// TestLeak prints every type that reaches keys or plaintexts of the library's
// own, bare and nested, through every verb, logger and encoder.
func TestLeak(t *testing.T) {
	cfg, _ := sqlConfig(t)
	r := people(t, cfg)
	ctx := context.Background()
	row := sealed(t, r, ayu, Treatment)
	x, err := r.release(ctx, &person{ID: ayu.ID}, row.Sealed, asked{action: "open", req: care})
	require.NoError(t, err)
	ks, err := cfg.Ring.Keyset(ctx, evidence.TreeKeyset)
	require.NoError(t, err)

	var needles []string
	for _, label := range []string{labelLogSeal, labelLogSubject, "rahasia/log-signer/v1"} {
		k, err := ks.Derive(ks.Primary(), label)
		require.NoError(t, err)
		b := secret.Expose(k)
		needles = append(needles, string(b), hex.EncodeToString(b[:8]), strings.ToUpper(hex.EncodeToString(b[:8])),
			base64.StdEncoding.EncodeToString(b[:9]), strings.Trim(fmt.Sprint(b[:6]), "[]"), fmt.Sprintf("%q", b[:6]))
	}
	needles = append(needles, ayu.NIK, ayu.Name, *ayu.Phone, ayu.Diagnosis[0])

	check := func(how, s string) {
		for _, n := range needles {
			if strings.Contains(s, n) {
				t.Errorf("%s prints a secret", how)
			}
		}
	}
	for name, v := range map[string]any{
		"Records": r, "Config": cfg, "Ledger": cfg.Ledger, "Log": cfg.Log, "Row": row, "released": x,
		"by value": struct{ C Config }{*cfg}, "nested": struct{ x any }{struct{ y any }{cfg.Log}}, "in a map": map[string]any{"r": r},
		"in an error": fmt.Errorf("at %v: %w", r, ErrDenied),
	} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			for _, flag := range []string{"", "+", "#", " ", "# "} {
				check(name+" %"+flag+string(verb), fmt.Sprintf("%"+flag+string(verb), v))
			}
		}
		var b strings.Builder
		slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
		check(name+" slog", b.String())
		j, err := json.Marshal(v)
		if err == nil {
			check(name+" JSON", string(j))
		}
	}
}

// TestErrorsNameTheFieldNotTheValue makes every refusal that has a value at
// hand, and looks for it in the text.
func TestErrorsNameTheFieldNotTheValue(t *testing.T) {
	r := people(t, memoryConfig(t))
	ctx := context.Background()
	row := sealed(t, r, ayu, Treatment)
	budi := ayu
	budi.ID = "p-budi"
	other := sealed(t, r, budi, Treatment)
	bad := ayu
	bad.NIK = "12345"
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	_, err := r.Seal(ctx, &bad, careTag)
	add(err)
	_, err = r.Lookup(ctx, "NIK", "secret-input", care)
	add(err)
	_, err = r.Lookup(ctx, "Phone", "secret-input", care)
	add(err)
	_, err = open(r, ayu.ID, row.Sealed, care)
	add(err)
	_, err = open(r, ayu.ID, other.Sealed, care)
	add(err)
	_, err = open(r, ayu.ID, row.Sealed, Request{Purpose: Marketing, Actor: "ads"})
	add(err)
	_, err = r.Update(ctx, row.Sealed, &bad, care, "NIK")
	add(err)
	_, err = open(r, ayu.ID, row.Sealed[:20], care)
	add(err)
	_, err = r.cfg.Erase(ctx, ayu.ID, "clerk")
	require.NoError(t, err)
	_, err = open(r, ayu.ID, row.Sealed, care)
	add(err)
	for i, err := range errs {
		require.Error(t, err, i)
		for e := err; e != nil; e = errors.Unwrap(e) {
			for _, v := range []string{ayu.NIK, ayu.Name, *ayu.Phone, ayu.Diagnosis[0], ayu.ID, "p-budi", "12345", "secret-input"} {
				require.NotContains(t, e.Error(), v, i)
			}
		}
	}
	require.ErrorContains(t, errs[0], "NIK", "and yet says where")
	require.ErrorContains(t, errs[1], "NIK")
	require.ErrorContains(t, errs[3], "Serology")
}
