package web

import (
	"math"
	"slices"
	"strconv"

	"github.com/rahasia/rahasia/examples/telemedicine/ecg"
)

// drawing is a part of an ECG as an SVG draws it, in millimetres: 25 of them are
// a second and 10 a millivolt, as on paper.
type drawing struct {
	Width, Height float64 // of the paper
	Leads         []trace
	Seconds       []mark
}

// Foot is where the seconds stand, below the paper, and Total how high all is.
func (d drawing) Foot() float64  { return d.Height + 4 }
func (d drawing) Total() float64 { return d.Height + mmSquare }

type trace struct {
	Name     string
	Points   string  // of a polyline
	Pulse    string  // 1 mV for 0.2 s, by which the scale can be checked
	Label    float64 // where the name stands
	Low, Top float64 // the least and the greatest, in mV
}

type mark struct {
	X    float64
	Text int // seconds
}

const (
	mmSecond    = 25
	mmMillivolt = 10
	mmLeft      = 10 // room for the pulse
	mmSquare    = 5
)

// draw draws samples that begin at a second.
func draw(h ecg.Header, second int, mv [ecg.Leads][]float64) drawing {
	d := drawing{Width: mmLeft + onePart*mmSecond + mmSquare}
	for k, samples := range mv {
		low, top := slices.Min(samples), slices.Max(samples)
		// Each lead has as much room as it needs, in whole squares.
		above := math.Ceil((math.Max(top, 1)*mmMillivolt+3)/mmSquare) * mmSquare
		below := math.Ceil((math.Max(-low, 0)*mmMillivolt+3)/mmSquare) * mmSquare
		base := d.Height + above
		d.Leads = append(d.Leads, trace{
			Name: h.Leads[k].Name, Points: points(samples, h.Rate, base), Label: d.Height + 4.2, Low: low, Top: top,
			Pulse: "M1 " + number(base) + "H2.5V" + number(base-mmMillivolt) + "H7.5V" + number(base) + "H9",
		})
		d.Height += above + below
	}
	for i := range onePart + 1 {
		d.Seconds = append(d.Seconds, mark{mmLeft + float64(i*mmSecond), second + i})
	}
	return d
}

func points(samples []float64, rate int, base float64) string {
	var b []byte
	for i, v := range samples {
		b = strconv.AppendFloat(b, mmLeft+float64(i)*mmSecond/float64(rate), 'f', 2, 64)
		b = append(b, ',')
		b = strconv.AppendFloat(b, base-v*mmMillivolt, 'f', 2, 64)
		b = append(b, ' ')
	}
	return string(b)
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
