package pseudo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func date(s string) time.Time {
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return d
}

func TestYear(t *testing.T) {
	for _, c := range []struct{ born, now, want string }{
		{"1947-03-10", "2026-07-01", "1947"},
		{"1937-12-31", "2026-07-01", "1937"},
		{"1936-12-31", "2026-07-01", "1936 or earlier"}, // 89, and 90 within the year: one text for all of that year
		{"1936-01-01", "2026-07-01", "1936 or earlier"},
		{"1900-01-01", "2026-07-01", "1936 or earlier"},
		{"2026-07-01", "2026-07-01", "2026"},
		{"1936-06-30", "2025-12-31", "1936"},
	} {
		got, err := Year(date(c.born), date(c.now))
		require.NoError(t, err)
		require.Equal(t, c.want, got, c.born)
	}
	for _, c := range []struct{ born, now time.Time }{
		{time.Time{}, date("2026-07-01")},
		{date("1947-03-10"), time.Time{}},
		{date("2026-07-02"), date("2026-07-01")},
		{date("2027-01-01"), date("2026-07-01")},
	} {
		got, err := Year(c.born, c.now)
		require.ErrorIs(t, err, ErrRange)
		require.Empty(t, got)
	}
	// a birth date is a calendar date: the zones of the two times do not make it a future one
	jakarta := time.FixedZone("WIB", 7*3600)
	_, err := Year(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 7, 1, 0, 30, 0, 0, jakarta))
	require.NoError(t, err)
}

func TestAgeBand(t *testing.T) {
	for _, c := range []struct {
		born, at string
		width    int
		want     string
	}{
		{"1984-01-09", "2026-07-01", 5, "40-44"},
		{"1981-07-01", "2026-07-01", 5, "45-49"},
		{"1981-07-02", "2026-07-01", 5, "40-44"}, // a day before the birthday
		{"2026-07-01", "2026-07-01", 5, "0-4"},
		{"1937-01-01", "2026-07-01", 5, "85-89"},
		{"1936-07-02", "2026-07-01", 5, "85-89"},
		{"1936-07-01", "2026-07-01", 5, "90+"},
		{"1900-01-01", "2026-07-01", 5, "90+"},
		{"1984-01-09", "2026-07-01", 1, "42"},
		{"1984-01-09", "2026-07-01", 10, "40-49"},
		{"1940-01-01", "2026-07-01", 7, "84-89"}, // cut off by the top code
		{"1984-01-09", "2026-07-01", 90, "0-89"},
		{"2004-02-29", "2026-02-28", 1, "21"},
		{"2004-02-29", "2026-03-01", 1, "22"},
	} {
		got, err := AgeBand(date(c.born), date(c.at), c.width)
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%+v", c)
	}
	for _, c := range []struct {
		born, at time.Time
		width    int
	}{
		{date("2026-07-02"), date("2026-07-01"), 5},
		{time.Time{}, date("2026-07-01"), 5},
		{date("1984-01-09"), time.Time{}, 5},
		{date("1984-01-09"), date("2026-07-01"), 0},
		{date("1984-01-09"), date("2026-07-01"), -5},
		{date("1984-01-09"), date("2026-07-01"), 91},
	} {
		got, err := AgeBand(c.born, c.at, c.width)
		require.ErrorIs(t, err, ErrRange)
		require.Empty(t, got)
	}
}

// TestAgeBandsCover: at every width each age lies in exactly one band, and no
// band below the top one tells an age of 90.
func TestAgeBandsCover(t *testing.T) {
	now := date("2026-07-01")
	for width := 1; width <= 90; width++ {
		order := []string{}
		for age := 0; age <= 120; age++ {
			band, err := AgeBand(now.AddDate(-age, 0, 0), now, width)
			require.NoError(t, err)
			require.Equal(t, age >= 90, band == "90+")
			if len(order) == 0 || order[len(order)-1] != band {
				require.NotContains(t, order, band)
				order = append(order, band)
			}
		}
		require.Len(t, order, (89+width)/width+1)
	}
}
