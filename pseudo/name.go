package pseudo

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The rules of a name.
const (
	maxName       = 1024
	ruleNameSize  = "want 1 to 1,024 bytes"
	ruleNameEmpty = "want a name with a letter in it, besides titles and degrees"
	ruleNameText  = "want text that keeps its letters when its case is folded"
)

// normalName returns the words of a name in lower case between single spaces.
// What is dropped, and why, stands in docs/SPEC.md; in short: what the civil
// registry does not count to a name (Permendagri 73/2022: punctuation, titles,
// degrees) and what one registry writes and another leaves out.
func normalName(value string) (normal, rule string) {
	if len(value) == 0 || len(value) > maxName {
		return "", ruleNameSize
	}
	if plainName(value) {
		return value, ""
	}
	if !utf8.ValidString(value) {
		return "", ruleUTF8
	}
	folded, ok := fold(value)
	if !ok {
		return "", ruleNameText
	}
	words, newborn := nameWords(folded)
	words, led := dropTitles(words)
	kept := dropParticles(words)
	if !strings.ContainsFunc(strings.Join(kept, ""), unicode.IsLetter) {
		return "", ruleNameEmpty
	}
	normal = strings.Join(kept, " ")
	if newborn || led {
		normal = babyPrefix + normal
	}
	if len(normal) > maxName { // NFKC can spell one character out as eighteen
		return "", ruleNameSize
	}
	return normal, ""
}

// babyPrefix begins the name of a newborn who has none yet and is registered
// under the mother's ("By. Ny. Rosita Dewi", Depkes RI 2006). It is kept: the
// child must never share a token with the mother.
const babyPrefix = "by ny "

// plainName reports whether value is already a canonical form: a common case,
// and found without an allocation.
func plainName(value string) bool {
	start := 0
	for i := 0; i <= len(value); i++ {
		if i < len(value) && 'a' <= value[i] && value[i] <= 'z' {
			continue
		}
		if i < len(value) && value[i] != ' ' {
			return false
		}
		if w := value[start:i]; w == "" || isTitle(w) || isBaby(w) || isParticle(w) {
			return false
		}
		start = i + 1
	}
	return true
}

// fold returns s without regard to case, compatibility forms (NFKC), marks
// over Latin letters, apostrophes and invisible characters. It repeats until
// nothing changes, so that a canonical form is its own canonical form; text
// that does not settle is refused.
func fold(s string) (string, bool) {
	for range 4 {
		next := norm.NFKD.String(strings.Map(keepRune, s)) // first the acute accent on its own, which NFKD makes a space
		next = norm.NFKC.String(foldCase(strings.Map(keepRune, next)))
		if next == s {
			return s, true
		}
		s = next
	}
	return "", false
}

// foldCase maps upper and lower case to one: by way of the upper case, because
// several small letters share a capital (ς and σ). Only ß has none of its own.
func foldCase(s string) string {
	return strings.ReplaceAll(strings.ToLower(strings.ToUpper(s)), "ß", "ss")
}

// keepRune drops marks, apostrophes and format characters by returning -1.
// Marks are dropped because Indonesian spelling has them only as an aid to
// pronunciation and the registry prints none; apostrophes because the registry
// prints none and joins the halves (Ma'ruf, Maruf).
func keepRune(r rune) rune {
	switch {
	case 0x0300 <= r && r <= 0x036F:
		return -1
	case strings.ContainsRune("'`\u00B4\u2018\u2019\u201B\u02B9\u02BB\u02BC\u02BD\u02BE\u02BF\u2032", r):
		return -1
	case unicode.Is(unicode.Cf, r):
		return -1
	}
	return r
}

// A word of a name.
type word struct {
	text   string
	dotted bool // a dot follows it, as in an abbreviation
}

// nameWords splits folded text into words. What stands after a comma or in
// parentheses loses titles and degrees, which Indonesian puts there; so does
// the end of the name where the degrees are written with dots. It reports
// whether the mark of a newborn stood after the name.
func nameWords(folded string) (words []word, newborn bool) {
	head, tail := folded, ""
	if i := strings.IndexAny(folded, asides); i >= 0 {
		head, tail = folded[:i], folded[i:]
	}
	chunks := strings.Fields(head)
	for len(chunks) > 1 && dottedDegree(chunks[len(chunks)-1]) {
		chunks = chunks[:len(chunks)-1]
	}
	for _, chunk := range chunks {
		words = appendWords(words, chunk)
	}
	for chunk := range strings.FieldsFuncSeq(tail, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(asides, r) }) {
		switch bare := strings.ReplaceAll(chunk, ".", ""); {
		case isBaby(bare):
			newborn = true
		case isTitle(bare) || isDegree(bare) || bare == childTitle:
		default:
			words = appendWords(words, chunk)
		}
	}
	return words, newborn
}

// asides are the characters after which titles and degrees follow a name.
const asides = ",;()"

// dottedDegree reports whether chunk is a degree written with a dot inside,
// such as "s.kep": without a comma before it, "sh" or "se" may be a name.
func dottedDegree(chunk string) bool {
	return strings.Contains(strings.TrimRight(chunk, "."), ".") && isDegree(strings.ReplaceAll(chunk, ".", ""))
}

// appendWords appends the words of chunk: runs of letters, marks and digits.
func appendWords(words []word, chunk string) []word {
	if strings.Trim(chunk, ".") == "k.h" { // kiai haji: of the titles, the one that is written with a dot inside
		return append(words, word{"kh", true})
	}
	start := -1
	for i, r := range chunk {
		switch inside := unicode.In(r, unicode.L, unicode.M, unicode.N); {
		case inside && start < 0:
			start = i
		case !inside && start >= 0:
			words = append(words, word{chunk[start:i], r == '.'})
			start = -1
		}
	}
	if start >= 0 {
		words = append(words, word{chunk[start:], false})
	}
	return words
}

// dropTitles drops the titles before a name, and reports whether the mark of a
// newborn was among them. "An." (anak, a child) needs its dot: An is also a
// name.
func dropTitles(words []word) (rest []word, newborn bool) {
	for len(words) > 0 {
		w := words[0]
		switch {
		case isBaby(w.text):
			newborn = true
		case isTitle(w.text) || w.text == childTitle && w.dotted:
		default:
			return words, newborn
		}
		words = words[1:]
	}
	return nil, newborn
}

// dropParticles returns the words without bin and binti (son, daughter of)
// where they stand between two names: one registry writes them and another
// does not.
func dropParticles(words []word) []string {
	var kept []string
	for i, w := range words {
		if isParticle(w.text) && i > 0 && i < len(words)-1 {
			continue
		}
		kept = append(kept, w.text)
	}
	return kept
}
