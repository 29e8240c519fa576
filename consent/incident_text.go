package consent

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Text says the report in words: what an officer needs for the notices that UU
// PDP 27/2022, article 46, asks for, to each patient and to the agency, within
// 3×24 hours: which data, when and how. What is done about it they add. Times
// are in the zone of Found.
func (r *Report) Text(in Language) string {
	w, zone := reportWordsIn(in), r.Found.Location()
	at := func(t time.Time) string { return t.In(zone).Format("2006-01-02 15:04:05 -07:00") }
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(w.title)
	line(w.made, at(r.Made))
	line(w.found, at(r.Found))
	line(w.notify, at(r.NotifyBy))
	line("")
	for _, d := range r.Domains {
		line(w.domain, d.Recipient, d.Version, d.Explained, d.Leaked, d.Chance)
		if d.Lost {
			line(w.lost)
		}
	}
	line(w.entries, r.Entries, r.Refused, r.Lookups)
	if r.Reversed > 0 {
		line(w.reversed, r.Reversed)
	}
	if r.Entries > 0 {
		line(w.span, at(r.First), at(r.Last))
	}
	list := func(word string, items []string) {
		if len(items) > 0 {
			line(word, oneLine(strings.Join(items, ", ")))
		}
	}
	list(w.actors, r.Actors)
	list(w.recipients, r.Recipients)
	line(w.patients, len(r.Patients)+r.Unnamed, len(r.Patients), r.Unnamed)
	for _, p := range r.Patients {
		line("")
		line(w.patient, oneLine(p.Subject))
		if p.Leaked {
			line(w.leaked)
		}
		if p.Entries > 0 {
			line(w.acts, p.Entries, at(p.First), at(p.Last))
		}
		list(w.actions, p.Actions)
		list(w.fields, p.Fields)
		list(w.given, p.Recipients)
	}
	line("")
	line(w.log, r.Log, strings.TrimSpace(r.Checkpoint))
	return b.String()
}

// oneLine keeps what others chose, such as an actor's name, from writing lines of
// the report.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, s)
}

// reportWords are the lines of a report in one language.
type reportWords struct {
	title, made, found, notify        string
	domain, lost                      string
	entries, span, actors, recipients string
	reversed                          string
	patients, patient, leaked, acts   string
	actions, fields, given            string
	log                               string
}

func reportWordsIn(in Language) reportWords {
	if in == Indonesian {
		return reportWords{
			title: "LAPORAN INSIDEN", made: "Dibuat: %s", found: "Diketahui: %s",
			notify:   "Pemberitahuan tertulis kepada pasien dan lembaga (UU 27/2022 Pasal 46, 3×24 jam sejak waktu di atas): paling lambat %s",
			domain:   "Pseudonim yang bocor: domain penerima %s, versi %d, menjelaskan %d dari %d (peluang kebetulan paling besar %.2g)",
			lost:     "  kunci versi ini sudah tidak ada, sehingga penerima ini belum dapat disingkirkan",
			entries:  "Catatan audit yang sesuai: %d; percobaan yang ditolak: %d; pencarian tanpa nama pasien: %d",
			reversed: "Token yang dibalikkan atau diterjemahkan, yang pasiennya tidak diketahui log: %d",
			span:     "Antara %s dan %s", actors: "Pelaku: %s", recipients: "Penerima: %s",
			patients: "Pasien terdampak: %d; dikenali: %d; tidak dapat dikenali lagi atau tidak ada dalam daftar: %d",
			patient:  "Pasien %s", leaked: "  pseudonimnya termasuk yang bocor", acts: "  %d catatan, %s sampai %s",
			actions: "  tindakan: %s", fields: "  data: %s", given: "  diberikan kepada: %s",
			log: "Log audit: %d catatan dibaca dan diverifikasi. Tanda pemeriksaan (checkpoint):\n%s",
		}
	}
	return reportWords{
		title: "INCIDENT REPORT", made: "Made: %s", found: "Found: %s",
		notify:   "Written notice to the patients and the agency (UU PDP 27/2022, article 46, 3×24 hours from the time above): by %s",
		domain:   "Leaked pseudonyms: the domain of recipient %s, version %d, explains %d of %d (by chance with at most %.2g)",
		lost:     "  the key of this version is gone, so this recipient is not cleared",
		entries:  "Audit entries that fit: %d; attempts that were refused: %d; searches, which name no patient: %d",
		reversed: "Tokens turned back or translated, whose patients the log does not know: %d",
		span:     "Between %s and %s", actors: "Actors: %s", recipients: "Recipients: %s",
		patients: "Patients affected: %d; named: %d; who cannot be named any more, or are not in the list: %d",
		patient:  "Patient %s", leaked: "  their pseudonym is among the leaked ones", acts: "  %d entries, %s to %s",
		actions: "  acts: %s", fields: "  data: %s", given: "  given to: %s",
		log: "Audit log: %d entries were read and verified. Checkpoint:\n%s",
	}
}
