package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/seed"
)

func TestCheck(t *testing.T) {
	ctx := t.Context()
	c, err := clinic.Open(ctx, clinic.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.NoError(t, seed.Run(ctx, c, 1, func(string, int, int) {}))
	u, err := c.User(ctx, "p-0001")
	require.NoError(t, err)
	home := t.TempDir()
	keep := func(name string, text []byte) string {
		path := filepath.Join(home, name)
		require.NoError(t, os.WriteFile(path, text, 0o600))
		return path
	}
	published, err := c.Published(ctx)
	require.NoError(t, err)
	text, err := json.Marshal(published)
	require.NoError(t, err)
	keys := keep("keys.json", text)
	text, err = c.Proof(ctx, u)
	require.NoError(t, err)
	proof := keep("proof.json", text)
	text, err = c.Receipt(ctx, u, "treatment@takeover", consent.Indonesian)
	require.NoError(t, err)
	receipt := keep("receipt.txt", text)

	var out strings.Builder
	require.NoError(t, run(&out, keys, []string{proof, receipt}))
	require.Contains(t, out.String(), "all proved: they stand in the log")
	require.Contains(t, out.String(), "signed: consent of treatment@takeover, given")

	forged := keep("forged.txt", []byte(strings.Replace(string(text), "treatment@", "marketing@", 1)))
	require.ErrorIs(t, run(&out, keys, []string{forged}), consent.ErrReceipt)
	require.Error(t, run(&out, keys, nil))
	require.Error(t, run(&out, filepath.Join(home, "none"), []string{proof}))
	require.Error(t, run(&out, receipt, []string{proof}), "no keys")
}
