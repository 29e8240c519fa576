package pseudo

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/rahasia/rahasia/internal/lp"
)

// shiftLabel names the derivation of the key of a domain's date shifts:
// PRF_v(label, domain).
const shiftLabel = "rahasia/dateshift/v1"

// maxShift is the farthest that dates are shifted, in days.
const maxShift = 3650

// A Shift moves the dates of one subject in one domain by a number of days that
// only the domain's key tells. It does not say the number, nor print it: who has
// it undoes the shift. A Shift that did not come from [Domain.DateShift] returns
// [ErrNoDomain].
type Shift struct {
	_    [0]func()
	days func() int // a closure: see package secret
}

// DateShift returns the shift of a subject's dates under the primary key version:
// from −within to +within days, each as likely as any other and never 0, the same
// for all dates of the subject, and independent of those of other subjects, other
// domains, other values of within and other key versions. within is 1 to 3650,
// otherwise [ErrRange]; 365 hides the season too, 7 the day of the week and little
// more. subject is an id as of kind [Subject]; the other errors are those of
// [Domain.Token].
//
// What a shifted table still says: every interval between two dates of one patient,
// to the day, so that who knows three visits of somebody may find them by the two
// intervals between, and the same patient's in two recipients' tables, which no
// key keeps apart; clock times and zones; a date that cannot be true, such as one
// after the table was made, which bounds the shift; and, of an event that met many
// patients on one day, the shift of each. HIPAA's Safe Harbor does not allow it.
// Shift by one within throughout a domain, leave out what made the news, and let
// dates go as years where intervals are not what the recipient studies.
func (d *Domain) DateShift(ctx context.Context, subject string, within int) (Shift, error) {
	p, err := d.current(ctx)
	if err != nil {
		return Shift{}, err
	}
	s, err := d.shifterAt(p, p.versions[0], within)
	if err != nil {
		return Shift{}, err
	}
	return s.shift(subject)
}

// Apply returns t moved by whole days: the date in t's own location changes, the
// clock time and the location do not. So intervals are kept by the calendar and
// the clock on the wall; where a location changes its clocks, as none in Indonesia
// does, an interval in hours may differ by that change. A zero t is [ErrRange], as
// is a result before the year 1 or after 9999.
func (s Shift) Apply(t time.Time) (time.Time, error) {
	if s.days == nil {
		return time.Time{}, fmt.Errorf("%w: a date shift that nobody made", ErrNoDomain)
	}
	if t.IsZero() {
		return time.Time{}, fmt.Errorf("%w: no date", ErrRange)
	}
	moved := t.AddDate(0, 0, s.days())
	if y := moved.Year(); y < 1 || y > 9999 || moved.IsZero() {
		return time.Time{}, fmt.Errorf("%w: the shifted date has no year of four digits", ErrRange)
	}
	return moved, nil
}

// Format writes a fixed text, whatever the verb.
func (s Shift) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "pseudo.Shift") }

// LogValue is a fixed text.
func (s Shift) LogValue() slog.Value { return slog.StringValue("pseudo.Shift") }

// A shifter makes the shifts of one key version of a domain.
type shifter struct {
	mac    mac
	within int
}

func (d *Domain) shifterAt(p *plan[tokenKeys], version uint32, within int) (shifter, error) {
	if within < 1 || within > maxShift {
		return shifter{}, fmt.Errorf("%w: want a shift within 1 to %d days", ErrRange, maxShift)
	}
	key, err := p.keyset.Derive(version, shiftLabel, d.name)
	if err != nil {
		return shifter{}, fmt.Errorf("pseudo: domain %q, version %d: %w", d.name, version, err)
	}
	return shifter{newMAC(key), within}, nil
}

func (s shifter) shift(subject string) (Shift, error) {
	subject, err := Subject.Normalize(subject)
	if err != nil {
		return Shift{}, err
	}
	days := s.daysOf(subject)
	return Shift{days: func() int { return days }}, nil
}

// daysOf draws numbers of 32 bits until one is below the greatest multiple of
// 2·within, so that the remainder is uniform: one draw but for one in half a
// million at most.
func (s shifter) daysOf(subject string) int {
	n := uint64(2 * s.within)
	limit := (1 << 32) / n * n
	in := lp.Append(nil, subject, strconv.Itoa(s.within))
	for i := uint32(0); ; i++ {
		sum := s.mac.sum(string(binary.BigEndian.AppendUint32(in, i)))
		if draw := uint64(binary.BigEndian.Uint32(sum[:4])); draw < limit {
			days := int(draw%n) - s.within
			if days >= 0 {
				days++ // 0 is left out
			}
			return days
		}
	}
}
