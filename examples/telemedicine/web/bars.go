package web

import (
	"time"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// barChart is a picture of columns, drawn by its page as SVG: what was opened lies
// below, what was refused on top. Lengths are in the picture's own units.
type barChart struct {
	Width, Height int
	Bars          []bar
	Lines         []barLine
}

type bar struct {
	X, Width int
	Parts    []barPart
	Label    string // below it; empty: none
	From     time.Time
	Total    int
}

type barPart struct {
	Y, Height int
	Kind      string // a class of style.css: done, emergency, refused
}

type barLine struct {
	Y     int
	Count int
}

// The picture's units: what is left free for words, and how high the columns are.
const (
	chartLeft  = 40
	chartTop   = 12
	chartRight = 8
	chartTall  = 150
	chartFoot  = 26
	chartWide  = 720
)

// Middle is where the words below a bar stand.
func (b bar) Middle() int { return b.X + b.Width/2 }

// barsOf draws openings, a column for each step of time.
func barsOf(times []clinic.Openings, layout string) barChart {
	c := barChart{Width: chartWide, Height: chartTop + chartTall + chartFoot}
	most := 0
	for _, t := range times {
		most = max(most, t.Total())
	}
	top := roundUp(most)
	for _, n := range []int{0, top / 2, top} {
		c.Lines = append(c.Lines, barLine{chartTop + chartTall - n*chartTall/top, n})
	}
	wide := (chartWide - chartLeft - chartRight) / max(len(times), 1)
	zone := clinic.Zone()
	for i, t := range times {
		col := bar{X: chartLeft + i*wide + wide/6, Width: wide - wide/3, From: t.From, Total: t.Total()}
		if (len(times)-1-i)%4 == 0 { // the newest has one
			col.Label = t.From.In(zone).Format(layout)
		}
		y := chartTop + chartTall
		for _, p := range []struct {
			n    int
			kind string
		}{{t.Done, "done"}, {t.Emergency, "emergency"}, {t.Refused, "refused"}} {
			if p.n == 0 {
				continue
			}
			tall := max(p.n*chartTall/top, 2) // what happened once is seen
			y -= tall
			col.Parts = append(col.Parts, barPart{y, tall, p.kind})
		}
		c.Bars = append(c.Bars, col)
	}
	return c
}

// roundUp is the next even number that is easy to read off.
func roundUp(n int) int {
	for step := 2; ; step *= 10 {
		for _, times := range []int{1, 2, 5} {
			if n <= step*times {
				return step * times
			}
		}
	}
}
