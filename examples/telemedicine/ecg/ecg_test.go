package ecg_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/ecg"
)

func recording(t testing.TB) (header, data []byte) {
	t.Helper()
	header, err := os.ReadFile("../seed/data/100_1min.hea")
	require.NoError(t, err)
	data, err = os.ReadFile("../seed/data/100_1min.dat")
	require.NoError(t, err)
	return header, data
}

// The header of record 100 says what its first samples are, and the sums of all.
func TestRecord(t *testing.T) {
	header, data := recording(t)
	h, err := ecg.Parse(header)
	require.NoError(t, err)
	require.Equal(t, 360, h.Rate)
	require.Equal(t, int64(len(data)), h.Size())
	require.InDelta(t, 60, h.Seconds(), 0)
	require.Equal(t, "MLII", h.Leads[0].Name)
	require.Equal(t, "V5", h.Leads[1].Name)

	mv, err := h.Read(bytes.NewReader(data), 0, 1)
	require.NoError(t, err)
	require.InDelta(t, (995-1024)/200.0, mv[0][0], 1e-9)
	require.InDelta(t, (1011-1024)/200.0, mv[1][0], 1e-9)

	var copied bytes.Buffer
	require.NoError(t, h.Check(&copied, bytes.NewReader(data)))
	require.Equal(t, data, copied.Bytes())
}

func TestNegativeSamples(t *testing.T) {
	h, err := ecg.Parse([]byte("r 2 100 1\nr 212 100(-5)/mV 12 0 0 0 0 I\nr 212 0 12 7 0 0 0 II\n"))
	require.NoError(t, err)
	mv, err := h.Read(bytes.NewReader([]byte{0xff, 0x8f, 0x01}), 0, 1) // -1 and -2047
	require.NoError(t, err)
	require.InDelta(t, 0.04, mv[0][0], 1e-9)
	require.InDelta(t, (-2047-7)/200.0, mv[1][0], 1e-9)
}

func TestHeadersRefused(t *testing.T) {
	good := "r 2 360 10\nr 212 200 11 0 0 0 0 I\nr 212 200 11 0 0 0 0 II\n"
	_, err := ecg.Parse([]byte(good))
	require.NoError(t, err)
	for name, text := range map[string]string{
		"empty":        "",
		"one lead":     "r 1 360 10\nr 212 200 11 0 0 0 0 I\n",
		"other format": strings.Replace(good, " 212 ", " 16 ", 1),
		"rate":         strings.Replace(good, "360", "99999", 1),
		"length":       strings.Replace(good, " 10\n", " 99999999\n", 1),
		"eleven days":  strings.Replace(good, " 360 10\n", " 1 950400\n", 1), // a page would list each ten seconds of it
		"no length":    strings.Replace(good, " 10\n", "\n", 1),
		"gain":         strings.Replace(good, " 200 ", " NaN ", 1),
		"baseline":     strings.Replace(good, " 200 ", " 200(x) ", 1),
		"checksum":     strings.Replace(good, " 0 0 0 I\n", " 0 99999 0 I\n", 1),
		"long name":    strings.Replace(good, " I\n", " "+strings.Repeat("I", 41)+"\n", 1),
		"long":         good + "#" + strings.Repeat(" ", 5000),
	} {
		_, err := ecg.Parse([]byte(text))
		require.ErrorIs(t, err, ecg.ErrFormat, name)
	}
}

func TestSamplesRefused(t *testing.T) {
	header, data := recording(t)
	h, err := ecg.Parse(header)
	require.NoError(t, err)
	changed := bytes.Clone(data)
	changed[3000]++
	for name, in := range map[string][]byte{"short": data[:len(data)-1], "long": append(bytes.Clone(data), 0), "changed": changed} {
		require.ErrorIs(t, h.Check(&bytes.Buffer{}, bytes.NewReader(in)), ecg.ErrFormat, name)
	}
	for _, part := range [][2]int{{-1, 5}, {5, 5}, {0, h.Samples + 1}} {
		_, err := h.Read(bytes.NewReader(data), part[0], part[1])
		require.ErrorIs(t, err, ecg.ErrFormat)
	}
}

func FuzzParse(f *testing.F) {
	header, _ := recording(f)
	f.Add(header)
	f.Add([]byte("r 2 360 10\nr 212 200(3)/mV 11 0 0 0 0 I\nr 212 0 11 0 0 0 0 II\n# comment\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := ecg.Parse(text)
		if err != nil {
			require.ErrorIs(t, err, ecg.ErrFormat)
			return
		}
		require.Positive(t, h.Size())
		require.LessOrEqual(t, len(h.Leads[0].Name), 40)
	})
}
