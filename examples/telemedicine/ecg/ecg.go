// Package ecg reads electrocardiograms in the form of PhysioNet's WFDB: a header
// of text and samples in format 212, of two leads, as the MIT-BIH Arrhythmia
// Database has them. https://physionet.org/physiotools/wag/header-5.htm and
// signal-5.htm describe both.
package ecg

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrFormat: not a header or samples of the form that this package reads. It
// repeats nothing of what was read: a header's comments are about the patient.
var ErrFormat = errors.New("ecg: not WFDB with two leads in format 212")

// Leads is how many leads a recording has.
const Leads = 2

// frame is how many bytes hold one sample of each lead: two numbers of 12 bits.
const frame = 3

// The largest header, rate and recording that are read: an hour, at 1,000 a second.
const (
	maxHeader  = 4 << 10
	maxRate    = 1000
	maxSeconds = 3600
)

// Header says how samples lie.
type Header struct {
	Rate    int // samples of each lead in a second
	Samples int // of each lead
	Leads   [Leads]Lead
	File    string // of the samples, as the header names it: whoever wrote it is not trusted
}

// Lead is one of them.
type Lead struct {
	Name     string
	Gain     float64 // units of the recorder in a millivolt
	Zero     int     // what the recorder wrote for 0 mV
	Checksum int16   // the sum of all samples
}

// Parse reads a header.
func Parse(text []byte) (Header, error) {
	var lines []string
	for line := range strings.Lines(string(text[:min(len(text), maxHeader+1)])) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if len(text) > maxHeader || !utf8.Valid(text) || len(lines) != 1+Leads {
		return Header{}, fmt.Errorf("%w: lines of the header", ErrFormat)
	}
	var h Header
	record := strings.Fields(lines[0])
	if len(record) < 4 || record[1] != strconv.Itoa(Leads) {
		return Header{}, fmt.Errorf("%w: record line", ErrFormat)
	}
	var errRate, errSamples error
	h.Rate, errRate = strconv.Atoi(record[2])
	h.Samples, errSamples = strconv.Atoi(record[3])
	if errRate != nil || errSamples != nil || h.Rate < 1 || h.Rate > maxRate || h.Samples < 1 || h.Samples > maxSeconds*h.Rate {
		return Header{}, fmt.Errorf("%w: rate or length", ErrFormat)
	}
	for i := range h.Leads {
		var err error
		if h.Leads[i], err = parseLead(strings.Fields(lines[1+i])); err != nil {
			return Header{}, fmt.Errorf("lead %d: %w", i+1, err)
		}
	}
	h.File = strings.Fields(lines[1])[0]
	return h, nil
}

// parseLead reads: file, format, gain, resolution, zero, first value, checksum,
// block, name.
func parseLead(fields []string) (Lead, error) {
	if len(fields) < 9 || fields[1] != "212" {
		return Lead{}, fmt.Errorf("%w: signal line", ErrFormat)
	}
	gain, _, _ := strings.Cut(fields[2], "/") // the unit, of which mV is the default
	gain, baseline, _ := strings.Cut(gain, "(")
	l := Lead{Name: strings.Join(fields[8:], " ")}
	var errs [3]error
	l.Gain, errs[0] = strconv.ParseFloat(gain, 64)
	l.Zero, errs[1] = strconv.Atoi(fields[4])
	sum, err := strconv.ParseInt(fields[6], 10, 16)
	l.Checksum, errs[2] = int16(sum), err
	if baseline != "" {
		l.Zero, err = strconv.Atoi(strings.TrimSuffix(baseline, ")"))
	}
	if l.Gain == 0 {
		l.Gain = 200 // what WFDB takes where a recorder did not say
	}
	if errors.Join(errs[0], errs[1], errs[2], err) != nil || !(l.Gain >= 1 && l.Gain <= 1e5) || len(l.Name) > 40 {
		return Lead{}, fmt.Errorf("%w: signal line", ErrFormat)
	}
	return l, nil
}

// Size is how many bytes the samples take.
func (h *Header) Size() int64 { return int64(h.Samples) * frame }

// Seconds is how long the recording is.
func (h *Header) Seconds() float64 { return float64(h.Samples) / float64(h.Rate) }

// Read returns the samples [from, to) of each lead in millivolts, and reads
// nothing else of r.
func (h *Header) Read(r io.ReaderAt, from, to int) ([Leads][]float64, error) {
	var out [Leads][]float64
	if from < 0 || to > h.Samples || from >= to {
		return out, fmt.Errorf("%w: no such part", ErrFormat)
	}
	raw := make([]byte, (to-from)*frame)
	if _, err := r.ReadAt(raw, int64(from)*frame); err != nil && !errors.Is(err, io.EOF) {
		return out, err
	}
	for i := 0; i < len(raw); i += frame {
		for k, v := range samples([frame]byte(raw[i:])) {
			out[k] = append(out[k], float64(v-h.Leads[k].Zero)/h.Leads[k].Gain)
		}
	}
	return out, nil
}

// samples are the two numbers of a frame: their low bytes are its first and third,
// and between those lie their high four bits, signed.
func samples(b [frame]byte) [Leads]int {
	return [Leads]int{signed(int(b[0]) | int(b[1]&0x0f)<<8), signed(int(b[2]) | int(b[1]>>4)<<8)}
}

func signed(v int) int { return (v ^ 0x800) - 0x800 }

// Check copies samples from r to w and checks that they are those that the header
// is of: their number, and the sum of each lead. What was copied before an error
// is to be thrown away.
func (h *Header) Check(w io.Writer, r io.Reader) error {
	in := bufio.NewReader(io.LimitReader(r, h.Size()+1))
	var sums [Leads]int16
	for range h.Samples {
		var b [frame]byte
		if _, err := io.ReadFull(in, b[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: too few samples", ErrFormat)
		} else if err != nil {
			return err
		}
		for k, v := range samples(b) {
			sums[k] += int16(v)
		}
		if _, err := w.Write(b[:]); err != nil {
			return err
		}
	}
	if _, err := in.ReadByte(); err == nil {
		return fmt.Errorf("%w: too many samples", ErrFormat)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	for k, l := range h.Leads {
		if sums[k] != l.Checksum {
			return fmt.Errorf("%w: samples and header are not of one recording", ErrFormat)
		}
	}
	return nil
}
