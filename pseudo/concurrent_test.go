package pseudo

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
)

// TestConcurrent: one domain and one Reversible, 16 goroutines, a million
// operations of every verb in all (a tenth under -short), each output compared
// with that of a serial run. Run with -race.
func TestConcurrent(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	d, r := open(t, ring, study), openReversible(t, ring, study, &clerk{})
	type want struct {
		value, digits string
		token         Token
		reversible    ReversibleToken
		name          ReversibleToken
	}
	serial := make([]want, 500)
	for i := range serial {
		w := &serial[i]
		w.value = person(i)
		var errs [4]error
		w.token, errs[0] = d.Token(ctx, NIK, w.value)
		w.reversible, errs[1] = r.Token(ctx, NIK, w.value)
		w.name, errs[2] = r.Token(ctx, Subject, w.value+"/"+w.value+"/"+w.value)
		w.digits, errs[3] = r.Digits(ctx, NIK, w.value)
		if errs != [4]error{} {
			t.Fatal(errs)
		}
	}
	operations := 1_000_000 / 16
	if testing.Short() {
		operations /= 10
	}
	one := func(w *want, verb int) bool {
		switch verb {
		case 0:
			got, err := d.Token(ctx, NIK, w.value)
			return err == nil && got == w.token
		case 1:
			got, err := r.Token(ctx, NIK, w.value)
			return err == nil && got == w.reversible
		case 2:
			got, err := r.Token(ctx, Subject, w.value+"/"+w.value+"/"+w.value)
			return err == nil && got == w.name
		case 3:
			got, err := r.Digits(ctx, NIK, w.value)
			return err == nil && got == w.digits
		case 4:
			got, err := r.Reverse(ctx, NIK, []ReversibleToken{w.reversible})
			return err == nil && got[0] == Reversed{Value: w.value}
		case 5:
			got, err := r.ReverseDigits(ctx, NIK, []string{w.digits})
			return err == nil && got[0] == Reversed{Value: w.value}
		default:
			got, err := r.Translate(ctx, d, NIK, []ReversibleToken{w.reversible})
			return err == nil && got[0] == Result[Token]{Token: w.token}
		}
	}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 7))
			for range operations {
				if verb := random.IntN(7); !one(&serial[random.IntN(len(serial))], verb) {
					t.Errorf("verb %d has another output than a serial run", verb)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestBatches: a list long enough for all cores has the results of single
// calls, each in its place, and so has each shorter one.
func TestBatches(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study, insurer)
	r, d := openReversible(t, ring, study, &clerk{}), open(t, ring, insurer)
	for _, n := range []int{1, batchLeast - 1, 2*batchLeast + 1, 10*batchLeast + 7} {
		values := make([]string, n)
		for i := range values {
			if values[i] = person(i); i%5 == 4 {
				values[i] = "x"
			}
		}
		plain, reversible, digits := d.Tokens(ctx, NIK, values), r.Tokens(ctx, NIK, values), r.DigitsAll(ctx, NIK, values)
		tokens, numbers := make([]ReversibleToken, n), make([]string, n)
		for i, v := range values {
			token, err := d.Token(ctx, NIK, v)
			if plain[i].Token != token || (plain[i].Err == nil) != (err == nil) {
				t.Fatal("another token", n, i)
			}
			if tokens[i], err = r.Token(ctx, NIK, v); reversible[i].Token != tokens[i] || (reversible[i].Err == nil) != (err == nil) {
				t.Fatal("another reversible token", n, i)
			}
			if numbers[i], err = r.Digits(ctx, NIK, v); digits[i].Token != numbers[i] || (digits[i].Err == nil) != (err == nil) {
				t.Fatal("other digits", n, i)
			}
		}
		back, err := r.Reverse(ctx, NIK, tokens)
		if err != nil {
			t.Fatal(err)
		}
		ofDigits, err := r.ReverseDigits(ctx, NIK, numbers)
		if err != nil {
			t.Fatal(err)
		}
		translated, err := r.Translate(ctx, d, NIK, tokens)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if v == "x" {
				v = ""
			}
			if back[i].Value != v || ofDigits[i].Value != v || translated[i].Token != plain[i].Token {
				t.Fatal("not what went in", n, i)
			}
			if (v == "") != (back[i].Err != nil && ofDigits[i].Err != nil && translated[i].Err != nil) {
				t.Fatal("an error too many or too few", n, i)
			}
		}
	}
}
