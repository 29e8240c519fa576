package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type watched func(text []byte)

func (w watched) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// A clinic whose seeding was interrupted says so the next time: it may lack the
// accounts that it tells people to sign in with.
func TestHalfFilled(t *testing.T) {
	o := options{dir: filepath.Join(t.TempDir(), "demo"), addr: "127.0.0.1:0", patients: 1}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	require.ErrorIs(t, run(ctx, watched(func(text []byte) {
		if bytes.Contains(text, []byte("accounts")) {
			stop()
		}
	}), io.Discard, o), context.Canceled)

	ctx, stop = context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	require.ErrorContains(t, run(ctx, io.Discard, io.Discard, o), "was not filled to its end: remove it")
}
