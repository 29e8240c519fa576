package consent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/consent"
)

// What did an actor do? The patients are not named: that takes their own keys.
func ExampleLog_Entries() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	cfg, err := consent.OpenDir(ctx, filepath.Join(dir, "demo"))
	if err != nil {
		panic(err)
	}
	defer cfg.Close()
	if _, err := cfg.Give(ctx, consent.Consent{Subject: "p-1", Purposes: []consent.Purpose{consent.Treatment}, Recorder: "clerk-2"}); err != nil {
		panic(err)
	}
	for e, err := range cfg.Log.Entries(ctx, consent.Filter{Actor: "clerk-2"}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(e.Index, e.Action, e.Purpose, e.Outcome)
	}
	// Output: 1 give TREAT done
}
