package region

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write table.tsv anew")

// source returns the lists as they were extracted: by code, the names in the
// order of the lists, empty where a list does not have the code.
func source(t *testing.T) (codes []string, names map[string][]string) {
	t.Helper()
	file, err := os.ReadFile("testdata/wilayah.tsv")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
	head := []string{"kode"}
	for _, year := range lists() {
		head = append(head, strconv.Itoa(year))
	}
	require.Equal(t, strings.Join(head, "\t"), lines[0])
	names = map[string][]string{}
	for _, line := range lines[1:] {
		cells := strings.Split(line, "\t")
		require.Len(t, cells, len(head))
		codes = append(codes, cells[0])
		names[cells[0]] = cells[1:]
	}
	require.True(t, slices.IsSorted(codes))
	return codes, names
}

// TestTable makes the table anew from the extract.
func TestTable(t *testing.T) {
	codes, names := source(t)
	var b strings.Builder
	for _, code := range codes {
		bits, latest := 0, ""
		for i, name := range names[code] {
			if name != "" {
				bits, latest = bits|1<<i, name
			}
		}
		fmt.Fprintf(&b, "\n%s\t%d\t%s", code, bits, written(latest))
	}
	b.WriteString("\n")
	if *update {
		require.NoError(t, os.WriteFile("table.tsv", []byte(b.String()), 0o644))
		return
	}
	require.True(t, b.String() == table, "go test ./pseudo/region -run Table -update")
	require.Less(t, len(table), 20_000)
}

// written returns a name as the list of 2025 writes names; the older ones are
// in capitals and abbreviate.
func written(name string) string {
	words := strings.Fields(name)
	for i, w := range words {
		if w != strings.ToUpper(w) {
			continue
		}
		if words[i] = w[:1] + strings.ToLower(w[1:]); w == "KAB." {
			words[i] = "Kabupaten"
		}
	}
	return strings.Join(words, " ")
}

// TestFindEveryCode: each code of each list is found, with the years of the
// lists that have it, and no other is.
func TestFindEveryCode(t *testing.T) {
	_, names := source(t)
	find := func(code string) {
		got, ok := Find(code)
		want, listed := names[code]
		require.Equal(t, listed, ok, code)
		if !ok {
			require.Equal(t, Place{}, got)
			return
		}
		require.Equal(t, code, got.Code)
		var in []int
		for i, year := range lists() {
			if want[i] != "" {
				in = append(in, year)
			}
		}
		require.Equal(t, in, got.Years, code)
		require.NotEmpty(t, got.Name)
		require.Equal(t, strings.TrimSpace(got.Name), got.Name)
		require.NotEqual(t, strings.ToUpper(got.Name), got.Name, code)
	}
	for n := range 100 {
		find(fmt.Sprintf("%02d", n))
	}
	for n := range 10_000 {
		find(fmt.Sprintf("%04d", n))
	}
}

func TestFind(t *testing.T) {
	all := []int{2015, 2017, 2020, 2022, 2023, 2025}
	for _, want := range []Place{
		{"31", "Daerah Khusus Ibukota Jakarta", all},
		{"3171", "Kota Administrasi Jakarta Pusat", all},
		{"3172", "Kota Administrasi Jakarta Utara", all}, // a space follows it in the source
		{"1212", "Kabupaten Toba", all},                  // Toba Samosir until 2020
		{"9101", "Kabupaten Merauke", []int{2015, 2017, 2020, 2022}},
		{"93", "Papua Selatan", []int{2023, 2025}},
		{"9301", "Kabupaten Merauke", []int{2023, 2025}},
		{"96", "Papua Barat Daya", []int{2025}},
	} {
		got, ok := Find(want.Code)
		require.True(t, ok, want.Code)
		require.Equal(t, want, got)
	}
	for _, code := range []string{"", "3", "317", "317101", "31.71", "00", "54", "3100", "6473", "\n11", "1\t", "11\t63", "３１", "Aceh", "-1"} {
		_, ok := Find(code)
		require.False(t, ok, "%q", code)
	}
}
