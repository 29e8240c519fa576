// Package region names the provinces and regencies of Indonesia by the codes
// of the Ministry of Home Affairs (Kemendagri), with the years of the lists
// that have each code.
//
// A code says where a number was issued or where somebody lives, and it is
// shorter the coarser it is: "31" is a province, "3171" one of its regencies
// or cities. Statistics Indonesia (BPS) has codes of its own that look the same
// and often mean another place: 3171 is Central Jakarta here and South Jakarta
// there. The table has no districts and no villages.
//
// The lists are facts; their transcription is that of cahyadsn/wilayah (MIT,
// see LICENSE-wilayah), and testdata/README.md says which decree each is of.
package region

import (
	_ "embed"
	"strings"
)

// table has a line for each code, in ascending order and each behind a line
// feed: the code, the sum of 1<<i for every i-th of the lists that has it, and
// its name in the latest of them.
//
//go:embed table.tsv
var table string

// lists are the years that the lists go by.
func lists() [6]int { return [...]int{2015, 2017, 2020, 2022, 2023, 2025} }

// A Place is a province, or a regency (kabupaten) or city (kota).
type Place struct {
	Code  string // 2 digits for a province, 4 for a regency or city
	Name  string // in the latest list that has the code, such as "Kota Yogyakarta"
	Years []int  // of the lists that have the code, ascending, out of 2015, 2017, 2020, 2022, 2023, 2025
}

// Find returns the province or the regency that a code of 2 or 4 digits stands
// for, and false for a code that no list since 2015 has. Longer codes and dots
// are not known here: normalise a code as package pseudo does and cut it first.
//
// A code that is not found may still be that of a region that was renumbered
// before 2015: numbers with it live on. Never refuse a person for it.
func Find(code string) (Place, bool) {
	if len(code) != 2 && len(code) != 4 || strings.ContainsFunc(code, func(r rune) bool { return r < '0' || r > '9' }) {
		return Place{}, false
	}
	_, rest, ok := strings.Cut(table, "\n"+code+"\t")
	if !ok {
		return Place{}, false
	}
	line, _, _ := strings.Cut(rest, "\n")
	bits, name, _ := strings.Cut(line, "\t")
	return Place{Code: code, Name: name, Years: years(bits)}, true
}

// years returns the years of the lists whose bits are set in a decimal number
// of two digits.
func years(bits string) []int {
	n := 0
	for i := range len(bits) {
		n = n*10 + int(bits[i]-'0')
	}
	var found []int
	for i, year := range lists() {
		if n>>i&1 == 1 {
			found = append(found, year)
		}
	}
	return found
}
