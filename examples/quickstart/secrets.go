package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// minSecret is the shortest spelling that is searched for, in bytes. A shorter
// one ("6484", "Newton") would turn up by chance in random bytes, hex or base64,
// and a search that cries wolf is switched off. secrets counts what it leaves out.
const minSecret = 8

// A secret is one value that went into sealed fields, with every spelling of it
// that may not be found in a raw file.
type secret struct {
	Kind      string // "name", "NIK", "phone", "address", "birth date", "diagnosis", "city", "note", "serology" or "observation"
	Spellings []string
}

// secrets lists each distinct sealed value of the bundles once, sorted by kind,
// and counts by kind the values that have no spelling of at least minSecret
// bytes and so are not searched for. Clear fields, ids, codes, units and sexes
// are not in it, and of times only the birth dates.
func secrets(bundles []bundle) (list []secret, short map[string]int) {
	short = map[string]int{}
	seen := map[string]bool{}
	add := func(kind, value string, spellings ...string) {
		if value == "" || seen[kind+"\x00"+value] {
			return
		}
		seen[kind+"\x00"+value] = true
		spellings = slices.DeleteFunc(append(spellings, value), func(s string) bool { return len(s) < minSecret })
		if len(spellings) == 0 {
			short[kind]++
			return
		}
		list = append(list, secret{kind, spellings})
	}
	for _, b := range bundles {
		p := b.Patient
		add("name", p.Name, untitled(p.Name))
		add("NIK", p.NIK)
		add("phone", p.Phone, phoneSpellings(p.Phone)...)
		add("address", p.Address)
		add("birth date", p.Born.Format(time.DateOnly), dateSpellings(p.Born)...)
		add("city", p.City)
		add("note", p.Notes)
		add("serology", p.Serology)
		for _, c := range b.Conditions {
			add("diagnosis", c.Text)
		}
		for _, o := range b.Observations {
			add("observation", o.Text)
			add("observation", o.Value)
		}
	}
	slices.SortStableFunc(list, func(a, b secret) int { return strings.Compare(a.Kind, b.Kind) })
	return list, short
}

// untitled drops a leading academic title, as a name's normal form may.
func untitled(name string) string {
	if title, rest, ok := strings.Cut(name, " "); ok && strings.HasSuffix(title, ".") {
		return rest
	}
	return name
}

// phoneSpellings writes a number with its country code, without it, with the
// national 0, and in the groups that people use.
func phoneSpellings(phone string) []string {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, phone)
	out := []string{digits}
	if national, ok := strings.CutPrefix(digits, "62"); ok {
		out = append(out, "0"+national, national)
		if len(national) == 11 {
			out = append(out, national[:3]+"-"+national[3:7]+"-"+national[7:], national[:3]+" "+national[3:7]+" "+national[7:])
		}
	}
	if national, ok := strings.CutPrefix(digits, "1"); ok && len(national) == 10 {
		out = append(out, national, national[:3]+"-"+national[3:6]+"-"+national[6:])
	}
	return out
}

// dateSpellings writes a day as ISO (basic form), the Indonesian and American
// ways, in words, as Unix seconds, and as Go's binary form of a time.
func dateSpellings(day time.Time) []string {
	months := [...]string{"Januari", "Februari", "Maret", "April", "Mei", "Juni", "Juli", "Agustus", "September", "Oktober", "November", "Desember"}
	var out []string
	for _, layout := range [...]string{"20060102", "2006/01/02", "02-01-2006", "02/01/2006", "02.01.2006", "01/02/2006", "2 January 2006", "2 Jan 2006", "January 2, 2006"} {
		out = append(out, day.Format(layout))
	}
	out = append(out, fmt.Sprintf("%d %s %d", day.Day(), months[day.Month()-1], day.Year()), fmt.Sprint(day.Unix()))
	if b, err := day.MarshalBinary(); err == nil {
		out = append(out, string(b))
	}
	return out
}

// encodings gives a spelling as it is, in UTF-16, hex, and base64 at the three
// offsets it can have within a longer base64 text.
func encodings(spelling string) []string {
	out := []string{spelling, hex.EncodeToString([]byte(spelling))}
	var wide []byte
	for _, u := range utf16.Encode([]rune(spelling)) {
		wide = binary.LittleEndian.AppendUint16(wide, u)
	}
	out = append(out, string(wide))
	for offset := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, offset), spelling...))
		whole := (offset + len(spelling)) * 8 / 6 // characters that depend on nothing after the value
		out = append(out, text[(offset*8+5)/6:whole])
	}
	return out
}

// A finding is a secret in a file: where, and of which kind, but not which.
type finding struct {
	File   string
	Offset int
	Kind   string
}

// A thief looks for many secrets in one pass over a file.
type thief struct {
	byHead map[uint64][]pattern
	filter [1 << 16]uint64 // which heads exist, by hash
}

type pattern struct{ kind, text string }

// newThief prepares a search for every encoding of every spelling, without
// regard to the case of ASCII letters.
func newThief(list []secret) *thief {
	t := &thief{byHead: map[uint64][]pattern{}}
	for _, s := range list {
		for _, spelling := range s.Spellings {
			for _, text := range encodings(spelling) {
				folded := fold([]byte(text))
				if len(folded) < minSecret {
					continue
				}
				head := binary.LittleEndian.Uint64(folded)
				t.byHead[head] = append(t.byHead[head], pattern{s.Kind, string(folded)})
				word, bit := slot(head)
				t.filter[word] |= bit
			}
		}
	}
	return t
}

func slot(head uint64) (word, bit uint64) {
	h := head * 0x9e3779b97f4a7c15
	return h >> 48, 1 << (h >> 42 & 63)
}

// search reports what it finds in data, at most once per offset.
func (t *thief) search(file string, data []byte) []finding {
	var out []finding
	data = fold(data)
	for i := 0; i+minSecret <= len(data); i++ {
		head := binary.LittleEndian.Uint64(data[i:])
		if word, bit := slot(head); t.filter[word]&bit == 0 {
			continue
		}
		for _, p := range t.byHead[head] {
			if bytes.HasPrefix(data[i:], []byte(p.text)) && !inNumber(data, i, len(p.text)) {
				out = append(out, finding{file, i, p.kind})
				break
			}
		}
	}
	return out
}

// loot is what a thief of a folder has, and what was found in it.
type loot struct {
	Files, Bytes int
	Findings     []finding
}

// searchAll reads every file under fsys, whatever its name, and searches it.
func (t *thief) searchAll(fsys fs.FS) (loot, error) {
	var l loot
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		l.Files++
		l.Bytes += len(data)
		l.Findings = append(l.Findings, t.search(name, data)...)
		return nil
	})
	if err != nil {
		return loot{}, fmt.Errorf("quickstart: search the stolen folder: %w", err)
	}
	return l, nil
}

// inNumber keeps a date or a time of 8 or 9 bare digits from being found inside
// a longer number or hex text, where it stands by chance.
func inNumber(data []byte, at, size int) bool {
	if size > 9 {
		return false
	}
	for _, c := range data[at : at+size] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return at > 0 && alphanumeric(data[at-1]) || at+size < len(data) && alphanumeric(data[at+size])
}

func alphanumeric(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' }

// fold gives a copy with ASCII letters in lower case and the two characters of
// URL-safe base64 in their standard form.
func fold(data []byte) []byte {
	out := bytes.Clone(data)
	for i, c := range out {
		switch {
		case 'A' <= c && c <= 'Z':
			out[i] = c + 'a' - 'A'
		case c == '-':
			out[i] = '+'
		case c == '_':
			out[i] = '/'
		}
	}
	return out
}
