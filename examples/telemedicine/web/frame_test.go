package web

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
)

// A birthday is Jakarta's, where the server stands elsewhere too.
func TestAge(t *testing.T) {
	born := time.Date(1990, 12, 3, 0, 0, 0, 0, time.UTC)
	for at, want := range map[string]int{"2026-12-02T16:59:00Z": 35, "2026-12-02T17:00:00Z": 36, "2026-12-03T23:00:00Z": 36, "2027-01-01T00:00:00Z": 36} {
		now, err := time.Parse(time.RFC3339, at)
		require.NoError(t, err)
		require.Equal(t, want, ageOn(born, now), at)
	}
	leap := time.Date(2004, 2, 29, 0, 0, 0, 0, time.UTC)
	require.Equal(t, 18, ageOn(leap, time.Date(2023, 2, 28, 5, 0, 0, 0, time.UTC)))
	require.Equal(t, 19, ageOn(leap, time.Date(2023, 3, 1, 5, 0, 0, 0, time.UTC)))
}

// Whoever reviews what another officer has reviewed is told that, and not that
// something is missing in the form.
func TestReviewedMeanwhile(t *testing.T) {
	p := problemOf(fmt.Errorf("review: %w", consent.ErrReview))
	require.Equal(t, problem{Status: http.StatusConflict, Code: "conflict"}, p)
	require.Equal(t, "internal", problemOf(errors.New("x")).Code)
}

// The field of a record reads as the page's language has it.
func TestField(t *testing.T) {
	p, err := loadPages()
	require.NoError(t, err)
	require.Equal(t, "Tanggal lahir", View{words: p.words["id"]}.Field("Born"))
	require.Equal(t, "Other", View{words: p.words["id"]}.Field("Other"))
}
