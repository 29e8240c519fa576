package pseudo

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNames lists spellings that are one name, each group apart from the
// others. The first of a group is its canonical form.
func TestNames(t *testing.T) {
	groups := [][]string{
		{"ardianto putra",
			"Ardianto Putra", "ARDIANTO  PUTRA", " Ardianto\tPutra ", "Ardianto\u00a0Putra", "Árdianto Putra",
			"Ａｒｄｉａｎｔｏ Ｐｕｔｒａ", "Ardianto-Putra", "Tn. Ardianto Putra", "TN ARDIANTO PUTRA", "Ardianto Putra, Tn.",
			"dr. Ardianto Putra", "Dr. dr. Ardianto Putra, Sp.PD", "Prof.Dr.Ardianto Putra", "H. Ardianto Putra", "Dr Ir H Ardianto Putra",
			"Ardianto Putra, S.Kep., Ns.", "Ardianto Putra, S.Kep, Ns, M.Kes", "Ardianto Putra S.Kep., M.Kes.", "Ardianto Putra S.H.",
			"apt. Ardianto Putra, S.Farm.", "Ardianto Putra, Sp.A(K)", "drg. Ardianto Putra, SpKG", "Ardianto Putra, SH, MH",
			"Ardianto Putra (Alm)", "(Alm.) Ardianto Putra", "Bpk. Ardianto Putra", "An. Ardianto Putra", "Ardianto Putra, An.",
			"Ardianto bin Putra", "Ardianto\u200b Putra", "Ardianto, Putra"},
		{"maruf amin",
			"Ma'ruf Amin", "Ma’ruf Amin", "Maʼruf Amin", "Ma`ruf Amin", "Ma´ruf Amin", "KH. Ma'ruf Amin", "Prof. Dr. K.H. Ma'ruf Amin"},
		{"siti aminah", "Ny. Siti Aminah", "Siti Aminah, Ny", "Hj. Siti Aminah, A.Md.Keb", "Siti binti Aminah"},
		{"by ny siti aminah", "By. Ny. Siti Aminah", "By Ny Siti Aminah", "Bayi Ny. Siti Aminah", "BY.NY.SITI AMINAH", "Bayi Ibu Siti Aminah", "By. Siti Aminah", "Siti Aminah (By)", "Siti Aminah, By. Ny."},
		{"by ny siti aminah 1", "By. Ny. Siti Aminah 1"}, // the first of twins
		{"an nisa", "An Nisa", "AN NISA"},                // not a child called Nisa
		{"nisa", "An. Nisa"},
		{"m yusuf", "M. Yusuf", "M.Yusuf", "M Yusuf"},
		{"hasan m yusuf", "Hasan, M.Yusuf"}, // not a degree
		{"budi se", "Budi SE"},              // without dots and comma it may be a name
		{"bin", "Bin"},
		{"ahmad bin", "Ahmad bin"},
		{"raden ajeng kartini", "Raden Ajeng Kartini"},
		{"strasse", "Straße"},
		{"jose", "José", "Jose\u0301"},
		{"李明", "李明"},
		{"обама", "Обама"},
	}
	seen := map[string]string{}
	for _, group := range groups {
		for _, spelling := range group {
			got, err := Name.Normalize(spelling)
			require.NoError(t, err, spelling)
			require.Equal(t, group[0], got, spelling)
			again, err := Name.Normalize(got)
			require.NoError(t, err)
			require.Equal(t, got, again, spelling)
		}
		require.Empty(t, seen[group[0]])
		seen[group[0]] = group[0]
	}
}

// TestAttackNewbornIsNotItsMother: a child that is registered under the
// mother's name must not share her token.
func TestAttackNewbornIsNotItsMother(t *testing.T) {
	mother, err := Name.Normalize("Ny. Rosita Dewi")
	require.NoError(t, err)
	for _, child := range []string{"By.Ny. ROSITA DEWI", "By. Rosita Dewi", "Bayi Ny Rosita Dewi", "Rosita Dewi (By)", "Ny. Rosita Dewi, By."} {
		got, err := Name.Normalize(child)
		require.NoError(t, err)
		require.NotEqual(t, mother, got, child)
	}
}

// TestTitleTablesAreCanonical: an entry that folding would change is never
// found.
func TestTitleTablesAreCanonical(t *testing.T) {
	for _, w := range []string{"dr", "skep", "mkes", "spthtkl", "amdkeb", "bin", "by"} {
		folded, ok := fold(w)
		require.True(t, ok)
		require.Equal(t, w, folded)
		require.True(t, isTitle(w) || isDegree(w) || isParticle(w) || isBaby(w), w)
	}
	for _, w := range []string{"", "putra", "siti", "an", "m", "s", "sp"} {
		require.False(t, isTitle(w) || isDegree(w) || isParticle(w) || isBaby(w), w)
	}
}
