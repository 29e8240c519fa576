package pseudo

// The NIKs that a format-preserving token can stand for are all that
// [Kind.Normalize] accepts: 62 days (01-31 and 41-71), 12 months and any twelve
// other digits. They are numbered from 0 to nikCount-1, by day and month first.
// Tokens have the same twelve digits and, where day and month are, one of the
// 2,436 pairs of a day 72-99 and a month 13-99: no NIK has either. Three slots
// of 744 pairs tell three key versions apart (docs/SPEC.md has the proof).
const (
	monthsOfYear = 12
	nikDates     = 62 * monthsOfYear // pairs of day and month in a NIK
	nikRest      = 1e12              // what the other twelve digits can be
	nikCount     = nikDates * nikRest

	tokenDay    = 72
	tokenMonth  = 13
	tokenMonths = 99 - tokenMonth + 1
	nikSlots    = 3
)

// rankNIK returns the number of a NIK, or false if it is none.
func rankNIK(nik string) (rank uint64, ok bool) {
	if !isDigits(nik, nikDigits) {
		return 0, false
	}
	day, month := pair(nik, 6), pair(nik, 8)
	switch {
	case month < 1 || month > monthsOfYear:
		return 0, false
	case day >= 1 && day <= 31:
		day--
	case day >= femaleDay+1 && day <= femaleDay+31:
		day -= femaleDay + 1 - 31
	default:
		return 0, false
	}
	return uint64(day*monthsOfYear+month-1)*nikRest + restNIK(nik), true
}

// restNIK returns the number of the twelve digits of s that are neither day
// nor month.
func restNIK(s string) (rest uint64) {
	for i := range nikDigits {
		if i < 6 || i > 9 {
			rest = rest*10 + uint64(s[i]-'0')
		}
	}
	return rest
}

// appendNIK appends the NIK of a number, which is less than nikCount.
func appendNIK(dst []byte, rank uint64) []byte {
	date := int(rank / nikRest)
	day, month := date/monthsOfYear+1, date%monthsOfYear+1
	if day > 31 {
		day += femaleDay - 31
	}
	return appendNIKShape(dst, day, month, rank%nikRest)
}

// appendNIKToken appends the token of a number, which is less than nikCount,
// in a slot.
func appendNIKToken(dst []byte, rank uint64, slot uint32) []byte {
	at := int(slot)*nikDates + int(rank/nikRest)
	return appendNIKShape(dst, tokenDay+at/tokenMonths, tokenMonth+at%tokenMonths, rank%nikRest)
}

// appendNIKShape appends sixteen digits: six of rest, day, month, six of rest.
func appendNIKShape(dst []byte, day, month int, rest uint64) []byte {
	var b [nikDigits]byte
	for i := nikDigits - 1; i >= 0; i-- {
		if i < 6 || i > 9 {
			b[i] = '0' + byte(rest%10)
			rest /= 10
		}
	}
	b[6], b[7] = '0'+byte(day/10), '0'+byte(day%10)
	b[8], b[9] = '0'+byte(month/10), '0'+byte(month%10)
	return append(dst, b[:]...)
}

// rankNIKToken returns the number and the slot of a token, or false if it is
// none.
func rankNIKToken(token string) (rank uint64, slot uint32, ok bool) {
	if !isDigits(token, nikDigits) {
		return 0, 0, false
	}
	day, month := pair(token, 6), pair(token, 8)
	if day < tokenDay || month < tokenMonth {
		return 0, 0, false
	}
	at := (day-tokenDay)*tokenMonths + month - tokenMonth
	if at >= nikSlots*nikDates {
		return 0, 0, false
	}
	return uint64(at%nikDates)*nikRest + restNIK(token), uint32(at / nikDates), true
}
