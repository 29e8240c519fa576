package pseudo

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/lp"
)

// patients are the numbers of one small clinic.
func patients(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("92710603120%05d", i+1)
	}
	return list
}

// broken returns how many cells of a column an attacker resolves who has no
// key: a dictionary of every value, hashed in every way that has been found in
// the wild and in every way that uses only what this library publishes.
func broken(column [][]byte, values []string) int {
	found := 0
	dictionary := guesses(values)
	for _, cell := range column {
		for _, g := range dictionary {
			if bytes.Contains(cell, g) {
				found++
				break
			}
		}
	}
	return found
}

func guesses(values []string) [][]byte {
	var list [][]byte
	add := func(sum []byte) {
		head, tail := sum[:min(8, len(sum))], sum[max(0, len(sum)-8):]
		list = append(list, head, tail,
			[]byte(hex.EncodeToString(head)), []byte(base64.RawStdEncoding.EncodeToString(head[:6])), []byte(base64.RawURLEncoding.EncodeToString(head[:6])))
	}
	public := [][]byte{nil, make([]byte, 32), []byte(tokenLabel), []byte(study), []byte("nik"),
		lp.Append(nil, tokenLabel, study, "nik", "1")}
	for _, v := range values {
		list = append(list, []byte(v), []byte(v[8:]))
		b := []byte(v)
		s1, s256, s512, m := sha1.Sum(b), sha256.Sum256(b), sha512.Sum512(b), md5.Sum(b)
		add(s1[:])
		add(s256[:])
		add(s512[:])
		add(m[:])
		for _, key := range public { // a "keyed" hash whose key everybody has
			h := hmac.New(sha256.New, key)
			h.Write(b)
			add(h.Sum(nil))
			s := sha256.Sum256(append(bytes.Clone(key), b...))
			add(s[:])
		}
	}
	return list
}

// TestSaboteurUnkeyedColumn: the check above finds nothing in a column of
// tokens, and everything in columns as others have made them. The first half
// alone would also pass with a blind check.
func TestSaboteurUnkeyedColumn(t *testing.T) {
	ctx := context.Background()
	d := open(t, newRing(t, study), study)
	values := patients(50)
	honest := make([][]byte, 0, len(values))
	for _, r := range d.Tokens(ctx, NIK, values) {
		require.NoError(t, r.Err)
		honest = append(honest, r.Token.Bytes(), []byte(r.Token.String()))
	}
	require.Zero(t, broken(honest, values))

	for name, sabotage := range map[string]func(string) []byte{
		"plain":           func(v string) []byte { return []byte(v) },
		"SHA-256":         func(v string) []byte { s := sha256.Sum256([]byte(v)); return s[:] },
		"SHA-256, hex":    func(v string) []byte { s := sha256.Sum256([]byte(v)); return []byte(hex.EncodeToString(s[:])) },
		"MD5, base64":     func(v string) []byte { s := md5.Sum([]byte(v)); return []byte(base64.StdEncoding.EncodeToString(s[:])) },
		"in token's form": func(v string) []byte { s := sha256.Sum256([]byte(v)); return Token{1, [16]byte(s[:16])}.Bytes() },
		"last 16 bytes":   func(v string) []byte { s := sha256.Sum256([]byte(v)); return Token{1, [16]byte(s[16:])}.Bytes() },
		"known key": func(v string) []byte {
			h := hmac.New(sha256.New, lp.Append(nil, tokenLabel, study, "nik", "1"))
			h.Write([]byte(v))
			return h.Sum(nil)[:16]
		},
		"domain as salt": func(v string) []byte { s := sha256.Sum256([]byte(study + v)); return s[:16] },
	} {
		column := make([][]byte, len(values))
		for i, v := range values {
			column[i] = sabotage(v)
		}
		require.Equal(t, len(values), broken(column, values), name)
	}
}

// TestUnlinkable: of the same people, two domains, two kinds, two versions and
// two rings share no token, and no run of 8 bytes of one.
func TestUnlinkable(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, study, insurer)
	tables := map[string]*Domain{"study": open(t, ring, study), "insurer": open(t, ring, insurer), "study elsewhere": open(t, newRing(t, study), study)}
	seen := map[string]string{}
	add := func(table string, kind Kind, d *Domain) {
		for _, r := range d.Tokens(ctx, kind, patients(200)) {
			require.NoError(t, r.Err)
			for i := 0; i+8 <= 16; i++ {
				run := string(r.Token.mac[i : i+8])
				if other, ok := seen[run]; ok {
					t.Fatalf("%s and %s are linked", table, other)
				}
				seen[run] = table
			}
		}
	}
	for name, d := range tables {
		add(name+", NIK", NIK, d)
		add(name+", subject", Subject, d)
	}
	_, err := ring.Rotate(ctx, study)
	require.NoError(t, err)
	add("study, next version", NIK, tables["study"])
}

// TestAttackMotherAndNewborn: a mother's NIK on her newborn's record has no
// token in common with her own record, and neither finds the other.
func TestAttackMotherAndNewborn(t *testing.T) {
	ctx := context.Background()
	x, _ := newIndex(t)
	nik := motherNIK
	mother, err := x.Tokens(ctx, &patient{ID: "P1", NIK: nik})
	require.NoError(t, err)
	newborn, err := x.Tokens(ctx, &patient{ID: "P2", Mother: &nik})
	require.NoError(t, err)
	require.NotEqual(t, mother["NIK"], newborn["mother_nik"])
	_, ok, err := x.Matches(ctx, &patient{ID: "P2", Mother: &nik}, mother["NIK"])
	require.NoError(t, err)
	require.False(t, ok)
}

// TestAttackSwappedTokenColumns: who finds a record by a token that was moved
// there from another record or column learns it.
func TestAttackSwappedTokenColumns(t *testing.T) {
	ctx := context.Background()
	x, _ := newIndex(t)
	a, b := full(), &patient{ID: "P2", NIK: "9104224509000003", Name: "Elizabeth Dior"}
	ofA, err := x.Tokens(ctx, a)
	require.NoError(t, err)
	ofB, err := x.Tokens(ctx, b)
	require.NoError(t, err)
	for _, c := range []struct {
		src *patient
		tok Token
	}{{a, ofB["NIK"]}, {a, ofB["Name"]}, {b, ofA["NIK"]}, {b, ofA["Name"]}, {b, ofA["Contact.Mobile"]}} {
		_, ok, err := x.Matches(ctx, c.src, c.tok)
		require.NoError(t, err)
		require.False(t, ok)
	}
	// within one record, a token names the column that it belongs to
	field, ok, err := x.Matches(ctx, a, ofA["Name"])
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "Name", field)
}

// TestAttackChangedToken: no single-bit change of a token matches.
func TestAttackChangedToken(t *testing.T) {
	ctx := context.Background()
	x, _ := newIndex(t)
	tokens, err := x.Tokens(ctx, full())
	require.NoError(t, err)
	for bit := range 21 * 8 {
		raw := tokens["NIK"].Bytes()
		raw[bit/8] ^= 1 << (bit % 8)
		changed, err := TokenFromBytes(raw)
		if err != nil {
			continue
		}
		_, ok, _ := x.Matches(ctx, full(), changed)
		require.False(t, ok, "bit %d", bit)
	}
}
