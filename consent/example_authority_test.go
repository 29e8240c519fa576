package consent_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/pseudo"
)

// A study finds something that a patient must hear of. It knows the patient by a
// token only; the ethics board's doctor may turn that back, and nobody else.
func ExampleConfig_Authority() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "authority")
	check(err)
	defer os.RemoveAll(dir)
	cfg, err := consent.OpenDir(ctx, filepath.Join(dir, "demo"))
	check(err)
	defer cfg.Close()
	check(cfg.AddRecipient(ctx, "ui-2026"))
	const study = "recipient/ui-2026"
	cfg.Policy.Reversals = []consent.ReversalBasis{{
		Basis: consent.VitalInterest, Article: "KEPK 2026-114",
		Domains: []string{study}, Purposes: []consent.Purpose{consent.Treatment}, Actors: []string{"dr-board"},
	}}

	asStudy, err := pseudo.OpenReversible(ctx, cfg.Ring, study, nil) // makes tokens, and turns none back
	check(err)
	token, err := asStudy.Token(ctx, pseudo.NIK, "9271060312000001")
	check(err)

	for _, actor := range []string{"dr-curious", "dr-board"} {
		asking := cfg.Authority(consent.Request{Purpose: consent.Treatment, Actor: actor, Justification: "finding 7"})
		d, err := pseudo.OpenReversible(ctx, cfg.Ring, study, asking)
		check(err)
		found, err := d.Reverse(ctx, pseudo.NIK, []pseudo.ReversibleToken{token})
		if denied := (*consent.DeniedError)(nil); errors.As(err, &denied) {
			fmt.Println(denied.Reason)
			continue
		}
		check(err)
		fmt.Println(found[0].Value)
	}
	for e, err := range cfg.Log.Entries(ctx, consent.Filter{Action: "reidentify"}) {
		check(err)
		fmt.Println(e.Actor, e.Type, e.Fields, e.Count, e.Outcome)
	}
	// Output:
	// no basis is configured for turning these tokens back
	// 9271060312000001
	// dr-curious recipient/ui-2026 [nik] 1 refused
	// dr-board recipient/ui-2026 [nik] 1 done
}
