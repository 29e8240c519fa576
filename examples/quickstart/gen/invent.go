package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// dice draws for one patient. Each patient has dice of its own, seeded by name,
// so that adding one changes no other.
type dice struct{ pcg *rand.PCG }

func invent(name string) dice {
	h := sha256.Sum256([]byte("rahasia/quickstart/v1/" + name))
	return dice{rand.NewPCG(binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:]))}
}

// below draws from 0 to n-1. The bias of the remainder does not matter here, and
// PCG's stream is fixed for good while the methods of rand.Rand are not.
func (d dice) below(n int) int { return int(d.pcg.Uint64() % uint64(n)) }

func (d dice) between(low, high int) int { return low + d.below(high-low+1) }

func one[T any](d dice, list []T) T { return list[d.below(len(list))] }

// complete gives a patient what every one of them has in the quickstart: a NIK
// and the clinic it is treated at.
func (d dice) complete(p *patient) {
	if len(p.Identifier) == 0 || p.Identifier[0].System != nikSystem {
		p.Identifier = []identifier{{Extension: marked(), System: nikSystem, Value: d.nik(p.Gender, p.BirthDate)}}
	}
	p.Organization = &reference{Extension: marked(), Display: one(d, clinics[:])}
}

// nik invents a number in the shape of a NIK: region 99xxxx, which is nobody's,
// day (plus 40 for a woman), month and year of birth, and a serial.
func (d dice) nik(gender, birthDate string) string {
	born, err := time.Parse(time.DateOnly, birthDate)
	if err != nil {
		panic("gen: a source has a birth date that is none") // the input is fixed
	}
	day := born.Day()
	if gender == "female" {
		day += 40
	}
	return fmt.Sprintf("99%04d%02d%02d%02d%04d", d.between(101, 9999), day, born.Month(), born.Year()%100, d.between(1, 9999))
}

// phone gives invented number n of 999; 0001 to 0099 are left to tests.
func phone(n int) string { return fmt.Sprintf("+62 810 0000 %04d", n) }

// address joins a real regency to a street that does not exist.
func (d dice) address() address {
	r := one(d, regencies[:])
	street := fmt.Sprintf("Jalan Rekaan %s Nomor %d, RT %03d/RW %03d", one(d, flowers[:]), d.between(1, 180), d.between(1, 12), d.between(1, 15))
	return address{Extension: marked(), Line: []string{street}, City: r.name, State: r.province, Country: "ID"}
}

func (d dice) note(p *patient) {
	p.Extension = append(p.Extension, extension{URL: noteURL, String: one(d, notes[:])})
}

//go:embed names.json
var namesJSON []byte

// generated invents the patients that bring the whole to 120.
func generated(fs.FS) ([]*bundle, error) {
	var names struct {
		First, Last struct{ Female, Male []string }
	}
	if err := json.Unmarshal(namesJSON, &names); err != nil {
		return nil, err
	}
	var out []*bundle
	for i := range 45 {
		d := invent(fmt.Sprint("generated/", i))
		p := &patient{ResourceType: "Patient", ID: derivedID(fmt.Sprint("generated/", i)), BirthDate: d.date(1940, 2018)}
		first, last := names.First.Male, names.Last.Male
		p.Gender = "male"
		if i%2 == 1 {
			first, last = names.First.Female, names.Last.Female
			p.Gender = "female"
		}
		words := []string{one(d, first), one(d, last)}
		if d.below(3) == 0 {
			words = slices.Insert(words, 1, one(d, first))
		}
		p.Name = []humanName{{Use: "official", Text: strings.Join(words, " ")}}
		p.Telecom = []contactPoint{{Extension: marked(), System: "phone", Value: phone(400 + i + 1)}}
		p.Address = []address{d.address()}
		d.complete(p)
		d.note(p)
		rest := d.history(p)
		if i%8 == 3 {
			rest = append(rest, d.serology(p, [...]coding{reactive, nonReactive}[i/8%2]))
		}
		out = append(out, newBundle("generated", p, rest...))
	}
	return out, nil
}

// date draws a day between the first of January of one year and the 28th of
// December of another.
func (d dice) date(from, to int) string {
	return fmt.Sprintf("%04d-%02d-%02d", d.between(from, to), d.between(1, 12), d.between(1, 28))
}

// history invents two to four visits with vital signs, some with a laboratory
// panel, and one to four conditions that fit sex and age.
func (d dice) history(p *patient) []resource {
	born, err := time.Parse(time.DateOnly, p.BirthDate)
	if err != nil {
		panic("gen: a source has a birth date that is none")
	}
	tall := d.between(148, 182)
	if p.Gender == "female" {
		tall -= 8
	}
	var out []resource
	for visit := range d.between(2, 4) {
		at := fmt.Sprintf("%sT%02d:%02d:00+07:00", d.date(2019+visit, 2019+visit), d.between(8, 16), d.between(0, 59))
		age := 2019 + visit - born.Year()
		height := min(tall, 74+6*age)
		out = append(out, d.vitals(p, at, height)...)
		if d.below(2) == 0 {
			out = append(out, d.panel(p, at)...)
		}
	}
	return append(out, d.conditions(p, 2023-born.Year())...)
}

func (d dice) vitals(p *patient, at string, height int) []resource {
	weight := d.between(170, 310) * height * height / 10000 // tenths of a kilogram, from a BMI of 17.0 to 31.0
	bmi := weight * 10000 / (height * height)
	out := []resource{
		measured(p, at, coding{loinc, "8302-2", "Body Height"}, height, 0, "cm"),
		measured(p, at, coding{loinc, "29463-7", "Body Weight"}, weight, 1, "kg"),
		measured(p, at, coding{loinc, "39156-5", "Body Mass Index"}, bmi, 1, "kg/m2"),
		d.pressure(p, at),
	}
	for _, m := range signs {
		out = append(out, measured(p, at, m.coding, d.between(m.low, m.high), m.decimals, m.unit))
	}
	return out
}

func (d dice) panel(p *patient, at string) []resource {
	var out []resource
	for _, m := range laboratory {
		if d.below(3) > 0 {
			out = append(out, measured(p, at, m.coding, d.between(m.low, m.high), m.decimals, m.unit))
		}
	}
	return out
}

func (d dice) pressure(p *patient, at string) *observation {
	o := newObservation(p, at, coding{loinc, "55284-4", "Blood Pressure"})
	part := func(code, display string, low, high int) component {
		return component{concept{[]coding{{loinc, code, display}}}, &quantity{number(d.between(low, high), 0), "mm[Hg]"}}
	}
	o.Component = []component{
		part("8462-4", "Diastolic Blood Pressure", 58, 98),
		part("8480-6", "Systolic Blood Pressure", 100, 162),
	}
	return o
}

// serology invents an HIV test. Its security label is what keeps it apart from
// the other observations.
func (d dice) serology(p *patient, result coding) *observation {
	at := fmt.Sprintf("%sT10:00:00+07:00", d.date(2021, 2022))
	o := newObservation(p, at, coding{loinc, "56888-1", "HIV 1+2 Ab+HIV1 p24 Ag [Presence] in Serum or Plasma by Immunoassay"})
	o.Meta = &meta{Security: []coding{{System: actCode, Code: "HIV"}}}
	o.Concept = &concept{[]coding{result}}
	return o
}

func newObservation(p *patient, at string, code coding) *observation {
	return &observation{
		ResourceType: "Observation", ID: derivedID("observation/" + p.ID + "/" + at + "/" + code.Code), Status: "final",
		Code: concept{[]coding{code}}, Subject: subject(p.ID), Effective: at,
	}
}

func measured(p *patient, at string, code coding, value, decimals int, unit string) *observation {
	o := newObservation(p, at, code)
	o.Quantity = &quantity{number(value, decimals), unit}
	return o
}

// number writes value / 10^decimals, decimals at most 1, without floating point.
func number(value, decimals int) json.Number {
	if decimals == 0 {
		return json.Number(fmt.Sprint(value))
	}
	return json.Number(fmt.Sprintf("%d.%d", value/10, value%10))
}

func (d dice) conditions(p *patient, age int) []resource {
	var out []resource
	var had []string
	for range d.between(1, 4) {
		k := one(d, diseases[:])
		if age < k.from || slices.Contains(had, k.Code) || k.gender != "" && k.gender != p.Gender {
			continue
		}
		had = append(had, k.Code)
		out = append(out, newCondition(p, k.coding, d.date(2019, 2022)))
	}
	if out == nil {
		out = append(out, newCondition(p, diseases[0].coding, d.date(2019, 2022)))
	}
	return out
}

func newCondition(p *patient, code coding, onset string) *condition {
	return &condition{
		ResourceType: "Condition", ID: derivedID("condition/" + p.ID + "/" + code.Code),
		Code: concept{[]coding{code}}, Subject: subject(p.ID), Onset: onset,
	}
}
