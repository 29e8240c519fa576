package web

import (
	"slices"
	"strings"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// link is a page in the head of all others.
type link struct {
	Href, Words string
	Here        bool
}

// Nav are the links of the reader's role.
func (v View) Nav() []link {
	all := slices.Clone(map[string][]link{
		clinic.Doctor: {{Href: "/doctor", Words: "doctor.home"}},
		clinic.Clerk:  {{Href: "/clerk", Words: "clerk.home"}, {Href: "/clerk/register", Words: "clerk.register"}},
		clinic.Self: {
			{Href: "/patient", Words: "patient.home"}, {Href: "/patient/history", Words: "patient.history"},
			{Href: "/patient/choices", Words: "patient.choices"}, {Href: "/patient/rights", Words: "patient.rights"},
		},
		clinic.Researcher: {{Href: "/researcher", Words: "researcher.home"}},
		clinic.Officer: {
			{Href: "/officer", Words: "officer.nav.home"}, {Href: "/officer/thief", Words: "officer.nav.thief"}, {Href: "/officer/keys", Words: "officer.nav.keys"},
			{Href: "/officer/audit", Words: "officer.nav.audit"}, {Href: "/officer/reviews", Words: "officer.nav.reviews"},
			{Href: "/officer/incident", Words: "officer.nav.incident"}, {Href: "/officer/erasures", Words: "officer.nav.erasures"},
		},
	}[v.User.Role])
	const charts = "/doctor/patients/"
	if below, ok := strings.CutPrefix(v.at, charts); ok && v.User.Role == clinic.Doctor { // the chart that the page belongs to
		id, _, _ := strings.Cut(below, "/")
		all = append(all, link{Href: charts + id, Words: "doctor.chart"})
	}
	for i := range all {
		all[i].Here = all[i].Href == v.at || (i > 0 && strings.HasPrefix(v.at, all[i].Href+"/"))
	}
	return all
}
