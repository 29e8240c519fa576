package pseudo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// fixedShifter has a key of this file, so that the statistics below come out the
// same each time and can be held to a level that a sound shift may miss.
func fixedShifter(t testing.TB, within int) shifter {
	t.Helper()
	key, err := secret.NewKey([]byte("a key of thirty-two bytes, fixed"))
	require.NoError(t, err)
	return shifter{newMAC(key), within}
}

// TestDateShiftVectors checks every intermediate of vectors that Python computed,
// one with a draw that is refused among them.
func TestDateShiftVectors(t *testing.T) {
	file, err := os.ReadFile("testdata/vectors/dateshift_v1.json")
	require.NoError(t, err)
	var set struct {
		Vectors []struct {
			Domain, Subject, Info, PRK, Input string
			Within, Days                      int
			Draws                             []string
			PRFKey                            string `json:"prf_key"`
			ShiftKey                          string `json:"shift_key"`
		}
	}
	require.NoError(t, json.Unmarshal(file, &set))
	refused := false
	for _, v := range set.Vectors {
		info := lp.Append(nil, "rahasia/dateshift/v1", v.Domain)
		require.Equal(t, v.Info, hex.EncodeToString(info))
		ikm, err := hex.DecodeString(v.PRFKey)
		require.NoError(t, err)
		prk := secret.Extract(ikm, nil)
		require.Equal(t, v.PRK, hex.EncodeToString(secret.Expose(prk)))
		key := secret.Derive(prk, info)
		require.Equal(t, v.ShiftKey, hex.EncodeToString(secret.Expose(key)))
		s := shifter{newMAC(key), v.Within}
		in := lp.Append(nil, v.Subject, strconv.Itoa(v.Within))
		require.Equal(t, v.Input, hex.EncodeToString(in))
		for i, draw := range v.Draws {
			sum := s.mac.sum(string(binary.BigEndian.AppendUint32(in, uint32(i))))
			require.Equal(t, draw, hex.EncodeToString(sum[:4]))
		}
		require.Equal(t, v.Days, s.daysOf(v.Subject))
		refused = refused || len(v.Draws) > 1
	}
	require.True(t, refused, "no vector shows a draw that is refused")
}

// days is what a shift does, read off a date.
func days(t testing.TB, s Shift) int {
	t.Helper()
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	moved, err := s.Apply(day)
	require.NoError(t, err)
	return int(moved.Sub(day).Hours() / 24)
}

func TestDateShift(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study, insurer)
	d := open(t, ring, study)
	shiftOf := func(d *Domain, subject string, within int) int {
		t.Helper()
		s, err := d.DateShift(ctx, subject, within)
		require.NoError(t, err)
		return days(t, s)
	}
	ks, err := ring.Keyset(ctx, study)
	require.NoError(t, err)
	key, err := ks.Derive(ks.Primary(), "rahasia/dateshift/v1", study)
	require.NoError(t, err)
	require.Equal(t, shifter{newMAC(key), 3650}.daysOf("P-1"), shiftOf(d, "P-1", 3650), "the derivation of SPEC")
	same := map[string]int{}
	count := func(name string, a, b int) {
		if a == b {
			same[name]++
		}
	}
	for i := range 300 {
		subject := fmt.Sprintf("P-%d", i)
		n := shiftOf(d, subject, 365)
		require.Equal(t, n, shiftOf(d, subject, 365), "the same for all dates of a patient")
		require.NotZero(t, n)
		require.LessOrEqual(t, max(n, -n), 365)
		count("another domain", n, shiftOf(open(t, ring, insurer), subject, 365))
		count("another subject", n, shiftOf(d, subject+"0000", 365))
		count("another within", n, shiftOf(d, subject, 366))
	}
	before := map[string]int{}
	for i := range 300 {
		before[fmt.Sprintf("P-%d", i)] = shiftOf(d, fmt.Sprintf("P-%d", i), 365)
	}
	_, err = ring.Rotate(ctx, study)
	require.NoError(t, err)
	for subject, n := range before {
		count("another key version", n, shiftOf(d, subject, 365))
	}
	for name, n := range same { // expected 300/730; more than 9 once in 10^12
		require.Less(t, n, 10, name)
	}
}

func TestDateShiftRefuses(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study)
	d := open(t, ring, study)
	for _, within := range []int{math.MinInt, -1, 0, 3651, math.MaxInt} {
		s, err := d.DateShift(ctx, "P-1", within)
		require.ErrorIs(t, err, ErrRange)
		require.Nil(t, s.days)
	}
	var format *FormatError
	_, err := d.DateShift(ctx, "", 365)
	require.ErrorAs(t, err, &format)
	_, err = d.DateShift(ctx, strings.Repeat(sandboxNIK, 16), 365)
	require.ErrorAs(t, err, &format)
	requireNoValue(t, err, sandboxNIK)
	_, err = (&Domain{}).DateShift(ctx, "P-1", 365)
	require.ErrorIs(t, err, ErrNoDomain)
	_, err = Shift{}.Apply(time.Now())
	require.ErrorIs(t, err, ErrNoDomain, "a shift that nobody made must not give the date back")

	far := Shift{days: func() int { return -300 }}
	for _, c := range []struct {
		s Shift
		t time.Time
	}{
		{far, time.Time{}},
		{far, time.Date(1, 6, 1, 0, 0, 0, 0, time.UTC)},
		{far, time.Time{}.AddDate(0, 0, 300)}, // to the zero time, which stands for no date
		{Shift{days: func() int { return 300 }}, time.Date(9999, 12, 1, 0, 0, 0, 0, time.UTC)},
	} {
		moved, err := c.s.Apply(c.t)
		require.ErrorIs(t, err, ErrRange)
		require.True(t, moved.IsZero())
	}
	require.NoError(t, ring.Close())
	_, err = d.DateShift(ctx, "P-1", 365)
	require.ErrorIs(t, err, keyring.ErrClosed)
}

// critical is the value that chi-square with so many degrees of freedom exceeds
// with probability 0.001 (Wilson and Hilferty's approximation, which is right to
// a part in a thousand for 90 and more).
func critical(freedom int) float64 {
	const z = 3.0902
	f := float64(freedom)
	return f * math.Pow(1-2/(9*f)+z*math.Sqrt(2/(9*f)), 3)
}

// TestUnlinkableDateShiftUniform: chi-square at the level 0.001, 1,000 subjects
// expected for each number of days; and the same test refuses the remainder of a
// byte, which is how a shift is made badly.
func TestUnlinkableDateShiftUniform(t *testing.T) {
	square := func(within int, shift func(string) int) float64 {
		const each = 1000
		seen := map[int]int{}
		for i := range 2 * within * each {
			seen[shift("P"+strconv.Itoa(i))]++
		}
		sum := 0.0
		for day := -within; day <= within; day++ {
			if day != 0 {
				sum += math.Pow(float64(seen[day]-each), 2) / each
			}
			require.False(t, day == 0 && seen[0] > 0)
		}
		return sum
	}
	require.InDelta(t, 148.23, critical(99), 0.2, "the table's value")
	for _, within := range []int{50, 183} {
		got, limit := square(within, fixedShifter(t, within).daysOf), critical(2*within-1)
		t.Logf("±%d days: chi-square %.1f with %d degrees of freedom, %.1f at 0.001", within, got, 2*within-1, limit)
		require.Less(t, got, limit)
	}
	biased := func(subject string) int {
		sum := sha256.Sum256([]byte(subject))
		if days := int(sum[0])%100 - 50; days < 0 {
			return days
		} else {
			return days + 1
		}
	}
	require.Greater(t, square(50, biased), critical(99))
}

// shiftPair is a subject and its shift as an attacker knows or wants it.
type shiftPair struct {
	subject string
	days    int
}

// A predictor learns from known pairs and then guesses; of several parameters it
// takes those that explain the known pairs best.
type predictor func(known []shiftPair, n int) func(subject string) (days int)

// predictors are the attacks: what broke others' shifts, and what a sequence of
// ids, a linear rule or a common value would give away.
func predictors() map[string]predictor {
	offset := func(hash func(string, int) int, parameters int) predictor {
		return func(known []shiftPair, n int) func(string) int {
			best, bestHits, bestAdd := 0, -1, 0
			for p := range parameters {
				seen := map[int]int{} // shift − hash, modulo the number of shifts
				for _, k := range known {
					seen[((k.days-hash(k.subject, p))%n+n)%n]++
				}
				for add, hits := range seen {
					if hits > bestHits {
						best, bestHits, bestAdd = p, hits, add
					}
				}
			}
			return func(s string) int { return ((hash(s, best)+bestAdd+n/2)%n+n)%n - n/2 }
		}
	}
	return map[string]predictor{
		// PEERS.md B.0.2: hash = Horner of id and then key; the key only multiplies and adds.
		"polynomial": offset(func(s string, keyLength int) int { return horner(s, keyLength) }, 65),
		"SHA-256": offset(func(s string, at int) int {
			sum := sha256.Sum256([]byte(s))
			return int(binary.BigEndian.Uint32(sum[4*at:])) % 100_000
		}, 8),
		"number times a factor": offset(func(s string, factor int) int { return factor * number0(s) }, 100),
		"commonest": func(known []shiftPair, _ int) func(string) int {
			seen, best := map[int]int{}, 0
			for _, k := range known {
				if seen[k.days]++; seen[k.days] > seen[best] {
					best = k.days
				}
			}
			return func(string) int { return best }
		},
		"nearest number": func(known []shiftPair, _ int) func(string) int {
			return func(s string) int {
				best := known[0]
				for _, k := range known {
					if abs(number0(k.subject)-number0(s)) < abs(number0(best.subject)-number0(s)) {
						best = k
					}
				}
				return best.days
			}
		},
		"last digits": func(known []shiftPair, _ int) func(string) int {
			by := map[string]int{}
			for _, k := range known {
				by[k.subject[len(k.subject)-2:]] = k.days
			}
			return func(s string) int { return by[s[len(s)-2:]] }
		},
	}
}

// horner is the shift that two health tools made, before the key's part is added:
// a polynomial hash of the id times 131 for each byte of the key.
func horner(s string, keyLength int) int {
	h := uint32(0)
	for _, c := range []byte(s) {
		h = h*131 + uint32(c)
	}
	for range keyLength {
		h *= 131
	}
	return int(h % 101)
}

func number0(subject string) int {
	n, _ := strconv.Atoi(subject[1:])
	return n
}

func abs(n int) int { return max(n, -n) }

// TestUnlinkableDateShift: who knows the shifts of a thousand patients foretells
// those of two thousand others as often as by guessing; of the polynomial hash
// and of a shift by the patient's number, all of them.
func TestUnlinkableDateShift(t *testing.T) {
	const within, known, others = 50, 1000, 2000
	best := func(shift func(string) int, n int) (hits int, by string) {
		var pairs []shiftPair
		for i := range known + others {
			s := fmt.Sprintf("P%08d", i*7919%100_000_000)
			pairs = append(pairs, shiftPair{s, shift(s)})
		}
		for name, p := range predictors() {
			guess, right := p(pairs[:known], n), 0
			for _, pair := range pairs[known:] {
				if guess(pair.subject) == pair.days {
					right++
				}
			}
			if right > hits {
				hits, by = right, name
			}
		}
		return hits, by
	}
	hits, by := best(fixedShifter(t, within).daysOf, 2*within)
	t.Logf("%d of %d foretold, by %q; %d expected by chance", hits, others, by, others/(2*within))
	require.Less(t, hits, 45, "20 expected, deviation 4.5") // six predictors

	hits, by = best(func(s string) int { return (horner(s, 32)+77)%101 - 50 }, 101)
	require.Equal(t, others, hits)
	require.Equal(t, "polynomial", by)
	hits, by = best(func(s string) int { return (13*number0(s)+5)%100 - 50 }, 100)
	require.Equal(t, others, hits)
	require.Contains(t, []string{"number times a factor", "last digits"}, by, "either foretells all of them")
}

// TestUnlinkableIntervals: within a patient a shifted table keeps every interval
// and every clock time; between two patients it keeps none.
func TestUnlinkableIntervals(t *testing.T) {
	ctx := context.Background()
	d := open(t, newRing(t, study), study)
	jakarta := time.FixedZone("WIB", 7*3600)
	visits := []time.Time{
		time.Date(2024, 2, 28, 23, 59, 59, 999, jakarta), time.Date(2024, 2, 29, 0, 0, 0, 0, jakarta),
		time.Date(2025, 12, 31, 8, 30, 0, 0, jakarta), time.Date(2026, 1, 1, 8, 30, 0, 0, jakarta),
	}
	apart := 0
	var first []time.Time
	for i := range 100 {
		s, err := d.DateShift(ctx, fmt.Sprintf("P-%d", i), 365)
		require.NoError(t, err)
		var moved []time.Time
		for j, v := range visits {
			m, err := s.Apply(v)
			require.NoError(t, err)
			require.Equal(t, v.Format("15:04:05.999999999 -0700"), m.Format("15:04:05.999999999 -0700"))
			require.NotEqual(t, v.Format(time.DateOnly), m.Format(time.DateOnly))
			moved = append(moved, m)
			require.Equal(t, v.Sub(visits[0]), m.Sub(moved[0]), "visit %d", j)
		}
		if i == 0 {
			first = moved
		} else if !moved[0].Equal(first[0]) {
			apart++
		}
	}
	require.Greater(t, apart, 90, "two patients who came on one day")
}

// TestDateShiftClocks: where a location changes its clocks, the date and the
// clock on the wall are what is kept.
func TestDateShiftClocks(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zone data here")
	}
	s := Shift{days: func() int { return 30 }}
	moved, err := s.Apply(time.Date(2026, 3, 10, 9, 0, 0, 0, berlin))
	require.NoError(t, err)
	require.Equal(t, "2026-04-09T09:00:00+02:00", moved.Format(time.RFC3339))
}

// TestDateShiftLeak: a shift does not print how far it goes.
func TestDateShiftLeak(t *testing.T) {
	s, err := fixedShifter(t, 3650).shift("P-1")
	require.NoError(t, err)
	n := days(t, s)
	require.Greater(t, abs(n), 999, "long enough to be told from what else is printed")
	for _, v := range []any{s, &s, struct{ s Shift }{s}, []Shift{s}} {
		for _, out := range printed(v) {
			for _, word := range strings.FieldsFunc(out, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'f') && r != 'x' }) {
				require.NotContains(t, []string{strconv.Itoa(n), strconv.Itoa(-n), fmt.Sprintf("%x", n)}, word)
			}
		}
	}
}

func BenchmarkDateShift(b *testing.B) {
	ctx := context.Background()
	d := open(b, newRing(b, study), study)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.DateShift(ctx, "P02478375538", 365); err != nil {
			b.Fatal(err)
		}
	}
}
