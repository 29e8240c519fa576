package clinic

import (
	_ "embed"

	"github.com/rahasia/rahasia/consent"
)

// NoticeText is the privacy notice in a language, exactly as patients see it: a
// receipt holds its hash.
func NoticeText(in consent.Language) string {
	if in == consent.Indonesian {
		return noticeID
	}
	return noticeEN
}

var (
	//go:embed notice/en.txt
	noticeEN string
	//go:embed notice/id.txt
	noticeID string
)

// notice is what a receipt says besides what the ledger knows.
func notice(in consent.Language) consent.Notice {
	n := consent.Notice{
		URI: "https://klinik-rahasia.example/notice/" + noticeVersion, Text: NoticeText(in), Language: in,
		Controllers: []consent.Party{{
			ID: "klinik-rahasia", Name: "Klinik Rahasia", Address: "Jalan Rekaan 1, Depok", Contact: "privasi@klinik-rahasia.example", Type: "clinic",
		}},
		Information: []string{"identity and contact", "allergies and conditions", "visits", "files such as ECGs"},
		Storage:     []string{"ID"},
		Retention:   "25 years from the last visit (Permenkes 24/2022, article 39)",
		Withdrawal:  "the page \"What I allow\" of the clinic, at any time",

		Jurisdiction: "ID",
	}
	if in == consent.Indonesian {
		n.Information = []string{"identitas dan kontak", "alergi dan penyakit", "kunjungan", "berkas seperti EKG"}
		n.Retention = "25 tahun sejak kunjungan terakhir (Permenkes 24/2022 pasal 39)"
		n.Withdrawal = "halaman \"Izin saya\" klinik, kapan saja"
	}
	return n
}
