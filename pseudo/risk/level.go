package risk

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Level returns the more general value that stands for a value on one level
// of a hierarchy, or false where it knows none, which refuses the table. It is
// given the text of the cell, never NULL, and the original text on every
// level, once for each distinct value. Values that one level makes equal must
// be equal on all later ones.
type Level func(value string) (general string, ok bool)

// Prefix is a [Level] that keeps the first n characters: for codes in which
// they name the larger unit, such as a region's. It knows no value for n
// below 1.
func Prefix(n int) Level {
	return func(value string) (string, bool) {
		if n < 1 {
			return "", false
		}
		at := 0
		for i := 0; i < n && at < len(value); i++ {
			_, size := utf8.DecodeRuneInString(value[at:])
			at += size
		}
		return value[:at], true
	}
}

// Bands is a [Level] of bands that are width wide and counted from 0, such as
// "40-44" for an age of 42 and a width of 5, or "1940-1949" for a year and 10.
// It knows values for whole numbers from 0 to 999,999,999 and for narrower bands,
// such as "40-49" for a width of 20, and leaves the open classes of the oldest, as
// "90+" and "1936 or earlier", what they are: so it takes the years and age bands
// that package pseudo makes. It knows none for other texts, for a band that lies in
// two of its own and for a width below 1. Let each width in a hierarchy be a
// multiple of the one before.
func Bands(width int) Level {
	return func(value string) (string, bool) {
		if width < 1 || width > numbers {
			return "", false
		}
		for _, open := range []string{"+", " or earlier"} {
			if n, is := strings.CutSuffix(value, open); is {
				if _, ok := whole(n, numbers); ok {
					return value, true
				}
				return "", false
			}
		}
		first, last, banded := strings.Cut(value, "-")
		n, ok := whole(first, numbers)
		low := n / uint64(width) * uint64(width)
		if banded && ok {
			to, is := whole(last, 2*numbers) // the band of the greatest numbers ends beyond them
			ok = is && n < to && to-low < uint64(width)
		}
		switch {
		case !ok:
			return "", false
		case width == 1:
			return strconv.FormatUint(low, 10), true
		}
		return strconv.FormatUint(low, 10) + "-" + strconv.FormatUint(low+uint64(width)-1, 10), true
	}
}

// numbers is below which numbers have bands; widths end there too.
const numbers = 1_000_000_000

// whole returns the number below limit that a text writes.
func whole(text string, limit uint64) (n uint64, ok bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return n, err == nil && n < limit
}
