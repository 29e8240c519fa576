package clinic

import (
	"context"
	"slices"
	"strings"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/pseudo"
)

// Investigate reports what an incident touched, by actor, time or recipient, or
// by pseudonyms that came to light. It reads the whole audit log.
func (c *Clinic) Investigate(ctx context.Context, u User, what consent.Incident) (*consent.Report, error) {
	if err := u.must(Officer); err != nil {
		return nil, err
	}
	ids, err := c.patientIDs(ctx)
	if err != nil {
		return nil, err
	}
	if len(what.Leaked) > 0 {
		if what.Suspects, err = c.givenTo(ctx); err != nil {
			return nil, err
		}
	}
	return c.cfg.Investigate(ctx, what, slices.Values(ids))
}

// GivenTo are those to whom tables were given.
func (c *Clinic) GivenTo(ctx context.Context, u User) ([]string, error) {
	if err := u.must(Officer); err != nil {
		return nil, err
	}
	return c.givenTo(ctx)
}

func (c *Clinic) givenTo(ctx context.Context) ([]string, error) {
	return collect(ctx, c.db, scanText, `SELECT DISTINCT recipient FROM exports ORDER BY recipient`)
}

// Pseudonyms finds those of a table in a text, whatever stands around them: a CSV
// file as a researcher was given it, or a list. others is how many words it passed
// that are none.
func Pseudonyms(text string) (found []pseudo.Token, others int) {
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" \t\r\n,;\"'|", c) }) {
		t, err := pseudo.ParseToken(word)
		if err != nil {
			others++
			continue
		}
		found = append(found, t)
	}
	return found, others
}
