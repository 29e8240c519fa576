package consent

import (
	items "github.com/rahasia/rahasia/internal/cbor"
)

// parseTag reads the tag of a section as [sectionTag.appendTo] writes it, and
// nothing else.
func parseTag(b []byte) (sectionTag, error) {
	r := tagReader{rest: b, text: string(b)}
	var s sectionTag
	n := r.count(items.Map)
	for last := int64(0); n > 0 && !r.bad; n-- {
		key := r.int()
		if key <= last {
			return sectionTag{}, ErrTag
		}
		r.field(key, &s)
		last = key
	}
	if r.bad || len(r.rest) > 0 || !s.wellFormed() {
		return sectionTag{}, ErrTag
	}
	return s, nil
}

// wellFormed reports whether s says what each tag must, in the one form that
// [Tag.facts] gives it. A level that is left out is no default here.
func (s *sectionTag) wellFormed() bool {
	return s.Purpose.known() && s.Basis.known() && s.Confidentiality != "" && s.Confidentiality.rank() > 0 &&
		ascending(s.Sensitivity) && ascending(s.Related)
}

// tagReader reads items until one is not as it would have been written. Its texts
// are parts of one string.
type tagReader struct {
	rest []byte
	text string // of which rest is the end
	bad  bool
}

func (r *tagReader) field(key int64, s *sectionTag) {
	switch key {
	case 1:
		s.Purpose = Purpose(r.string())
	case 2:
		s.Basis = Basis(r.string())
	case 3:
		s.Consent = r.something()
	case 4:
		s.Policy = r.something()
	case 5:
		s.Confidentiality = Confidentiality(r.string())
	case 6:
		s.Sensitivity = stringsOf[Label](r, 1)
	case 7:
		s.Retain = r.int()
		r.bad = r.bad || s.Retain == 0
	case 8:
		s.Fields = r.fields()
	case 9:
		s.Author = r.something()
	case 10:
		s.Related = stringsOf[string](r, 1)
	case 11:
		at := r.int()
		s.Time = &at
	default:
		r.bad = true
	}
}

func (r *tagReader) count(major byte) int {
	n, rest, err := items.ReadCount(r.rest, major)
	if err != nil {
		r.bad = true
		return 0
	}
	r.rest = rest
	return n
}

func (r *tagReader) int() int64 {
	n, rest, err := items.ReadInt(r.rest)
	if err != nil {
		r.bad = true
		return 0
	}
	r.rest = rest
	return n
}

func (r *tagReader) string() string {
	s, rest, err := items.ReadString(r.rest, items.Text)
	if err != nil {
		r.bad = true
		return ""
	}
	r.rest = rest
	end := len(r.text) - len(rest)
	return r.text[end-len(s) : end]
}

// something is a text that is left out where it is empty.
func (r *tagReader) something() string {
	s := r.string()
	r.bad = r.bad || s == ""
	return s
}

// stringsOf reads a list of at least so many texts.
func stringsOf[S ~string](r *tagReader, least int) []S {
	n := r.count(items.Array)
	r.bad = r.bad || n < least
	if r.bad {
		return nil
	}
	list := make([]S, 0, n)
	for ; n > 0 && !r.bad; n-- {
		list = append(list, S(r.string()))
	}
	return list
}

// fields reads the labels of the section's fields: names ascend as they are
// written, the shorter first.
func (r *tagReader) fields() map[string][]Label {
	n := r.count(items.Map)
	r.bad = r.bad || n == 0
	if r.bad {
		return nil
	}
	out := make(map[string][]Label, n)
	for last, first := "", true; n > 0 && !r.bad; n-- {
		name := r.string()
		if !first && (len(name) < len(last) || len(name) == len(last) && name <= last) {
			r.bad = true
			break
		}
		out[name] = stringsOf[Label](r, 0)
		last, first = name, false
	}
	return out
}
