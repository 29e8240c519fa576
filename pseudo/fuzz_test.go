package pseudo

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// fuzzKind checks what holds for every normaliser: it does not panic, its
// error contains nothing of the value, and a canonical form is its own.
func fuzzKind(f *testing.F, kind Kind, shape func(string) bool, seeds ...string) {
	for _, s := range append(seeds, "", " ", "\x00", "\xff\xfe", sandboxNIK, "0810-0000-0001", "Dr. Ma'ruf, S.Kep.") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := kind.Normalize(value)
		if err != nil {
			if got != "" {
				t.Errorf("an error and %q", got)
			}
			fixed := (&FormatError{Kind: kind, Rule: strings.Join(rules(), " ")}).Error()
			if w, leaked := leaks(err.Error(), value); leaked && !strings.Contains(fixed, w) {
				t.Errorf("error %q contains %q of the value", err, w)
			}
			return
		}
		if !shape(got) {
			t.Errorf("%q gives %q, which has not the shape of %s", value, got, kind)
		}
		again, err := kind.Normalize(got)
		if err != nil || again != got {
			t.Errorf("%q gives %q, and that gives %q, %v", value, got, again, err)
		}
	})
}

func rules() []string {
	return []string{ruleNIKDigits, ruleNIKDay, ruleNIKMonth, rulePhoneText, rulePhoneWorld, rulePhoneTrunk, rulePhonePrefix, rulePhoneLocal,
		ruleNameSize, ruleNameEmpty, ruleNameText, ruleUTF8, ruleSubject, ruleBPJS, ruleKK, ruleEmailSize, ruleEmailShape, ruleEmailLocal, ruleEmailDomain,
		ruleMRNFacility, ruleMRNNumber, rulePassportState, rulePassportNumber, ruleDate, ruleRegion}
}

func FuzzNIK(f *testing.F) {
	fuzzKind(f, NIK, func(s string) bool {
		day, month := s[6:8], s[8:10]
		return isDigits(s, 16) && (day >= "01" && day <= "31" || day >= "41" && day <= "71") && month >= "01" && month <= "12"
	}, "9271 0603 1200 0001", "9271067112000001", "9271-0600-1200-0001", "９２７１０６０３１２０００００１")
}

func FuzzPhone(f *testing.F) {
	fuzzKind(f, Phone, func(s string) bool {
		return len(s) >= 9 && len(s) <= 16 && s[0] == '+' && s[1] != '0' && isDigits(s[1:], len(s)-1)
	}, "+62 (0)810 0000 0001", "(+62) 810", "6281000000001", "+1 202 555 0100", "00165655500", "+44 (0)20 7946 0000", "\u202a+62 810\u2011000")
}

func FuzzName(f *testing.F) {
	fuzzKind(f, Name, func(s string) bool {
		if s == "" || strings.TrimSpace(s) != s || strings.Contains(s, "  ") || !utf8.ValidString(s) {
			return false
		}
		letter := false
		for _, r := range s {
			letter = letter || unicode.IsLetter(r)
			if r != ' ' && !unicode.In(r, unicode.L, unicode.M, unicode.N) || 'A' <= r && r <= 'Z' {
				return false
			}
		}
		return letter
	}, "Prof.Dr.K.H. Ma’ruf Amin", "By. Ny. Siti Aminah 1", "Titin (By)", "An. Nisa", "ahmad bin bin abdullah", "ﷺ", "Ǆ İstanbul ß",
		"a\u0345\u0301\u0327", "\u1e9e\u0130\u03a3", "각", "´a", "dr dr by by x", "x bin", "a, bin b", "K.H. , , K.H. x", strings.Repeat("ﷺ", 300))
}

func FuzzSubject(f *testing.F) {
	fuzzKind(f, Subject, func(s string) bool { return len(s) <= 255 && utf8.ValidString(s) }, "P02478375538", strings.Repeat("é", 128))
}

func FuzzBPJS(f *testing.F) {
	fuzzKind(f, BPJS, func(s string) bool { return isDigits(s, 13) }, "0001-2345-67890", "０００１２３４５６７８９０")
}

func FuzzKK(f *testing.F) {
	fuzzKind(f, KK, func(s string) bool { return isDigits(s, 16) }, "3171-0103-1220-0001")
}

func FuzzEmail(f *testing.F) {
	fuzzKind(f, Email, func(s string) bool {
		local, domain, ok := strings.Cut(s, "@")
		return ok && local != "" && len(local) <= 64 && strings.Contains(domain, ".") && len(s) <= 254 && ascii(s) && s == strings.ToLower(s) &&
			!strings.Contains(s, "..") && !strings.ContainsAny(s, ` <>,;:"`) && !strings.Contains(domain, "@")
	}, "Budi.Santoso+x@Example.CO.ID", "a@b@c.id", "\u0130@example.id", "K\u212a@example.id", "\u200bbudi@xn--mnchen-3ya.example\u200b")
}

func FuzzMRN(f *testing.F) {
	fuzzKind(f, MRN, func(s string) bool {
		facility, number, ok := strings.Cut(s, "|")
		return ok && facility != "" && number != "" && ascii(s) && len(facility) <= 128 && len(number) <= 32 && number == strings.ToUpper(number) &&
			strings.Trim(number, "-") == number && !strings.ContainsAny(number, " ./|") && !strings.Contains(number, "--") && !strings.Contains(facility, " ")
	}, "3171012|00-12-34", "https://rs.example/mrn|RM/2020/1-23", "a|1\u00ad2", "a|\u212a", "a|1-", "|", "a|12-34-", "a|12--34")
}

func FuzzPassport(f *testing.F) {
	fuzzKind(f, Passport, func(s string) bool {
		state, number, ok := strings.Cut(s, "|")
		return ok && (len(state) == 3 || state == "D") && state != "DEU" && len(number) >= 5 && len(number) <= 9 && ascii(s) && s == strings.ToUpper(s) &&
			!strings.ContainsAny(s, " <-.")
	}, "idn|x 123 4567<", "D<<|C01X00T47", "deu|c01x00t47", "\u0131dn|X1234567")
}

func FuzzDate(f *testing.F) {
	fuzzKind(f, Date, func(s string) bool {
		return len(s) == 4 || len(s) == 7 && s[4] == '-' || len(s) == 10 && s[4] == '-' && s[7] == '-' && s > "0001"
	}, "1990", "1990-12", "2000-02-29", "0000-01-01", "1990-1-3", "03/12/1990")
}

func FuzzRegion(f *testing.F) {
	fuzzKind(f, Region, func(s string) bool {
		return isDigits(s, len(s)) && (len(s) == 2 || len(s) == 4 || len(s) == 6 || len(s) == 10) && s[:2] != "00"
	}, "31.71.01.1001", "3171", "31.7101", "3100", "..31..")
}

// ascii reports whether s is printable ASCII.
func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// FuzzParseToken: what parses writes the same text, but for case and the
// letters that are read as 0 and 1.
func FuzzParseToken(f *testing.F) {
	text := sample().String()
	for _, s := range []string{text, strings.ToLower(text), text[:34], text + "0", strings.ReplaceAll(text, "0", "O"), Token{version: 1}.String(), ""} {
		f.Add(s)
	}
	fuzzTokenText(f, ParseToken, "pseudo: not a token: want 35 characters is a digit of base 32 the check symbol does not fit unknown format key version")
}

// FuzzTokenFromBytes: what parses writes the same bytes, and the text form
// holds the same token.
func FuzzTokenFromBytes(f *testing.F) {
	good := sample().Bytes()
	for _, b := range [][]byte{good, good[:20], append(good, 0), make([]byte, 21), nil} {
		f.Add(b)
	}
	fuzzTokenBytes(f, TokenFromBytes, ParseToken)
}

// fuzzTokenText: what parses writes the same text, but for case and the letters
// that are read as 0 and 1; fixed is what every error says.
func fuzzTokenText[T storedToken](f *testing.F, parse func(string) (T, error), fixed string) {
	canonical := strings.NewReplacer("O", "0", "I", "1", "L", "1")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := parse(s)
		if err != nil {
			if !tok.IsZero() {
				t.Error("an error and a token")
			}
			if w, leaked := leaks(err.Error(), s); leaked && !strings.Contains(fixed, w) {
				t.Errorf("error %q contains %q", err, w)
			}
			return
		}
		if tok.IsZero() {
			t.Error("no error and no token")
		}
		if want := canonical.Replace(strings.ToUpper(s)); tok.String() != want {
			t.Errorf("%q parses and writes %q", s, tok)
		}
	})
}

// fuzzTokenBytes holds the binary form of a kind of token to its text form.
func fuzzTokenBytes[T storedToken](f *testing.F, fromBytes func([]byte) (T, error), parse func(string) (T, error)) {
	f.Fuzz(func(t *testing.T, b []byte) {
		tok, err := fromBytes(b)
		if err != nil {
			if !tok.IsZero() {
				t.Error("an error and a token")
			}
			return
		}
		if tok.IsZero() || string(tok.Bytes()) != string(b) {
			t.Errorf("%x parses and writes %x", b, tok.Bytes())
		}
		if back, err := parse(tok.String()); err != nil || back != tok {
			t.Errorf("%s: %v", tok, err)
		}
	})
}
