package envelope

import (
	"context"
	"database/sql"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/phi"
)

// chart has a field of every encoding, in a walked struct and outside.
type chart struct {
	ID        string `phi:"subject"`
	Encounter string `phi:"record"`
	Name      string `phi:"name"`
	Born      time.Time
	Alive     bool
	Weight    *float32
	Visits    uint16
	Score     sql.Null[int]
	Photo     []byte
	From      netip.Addr
	Codes     []string `phi:"sensitive,label=HIV,name=codes"`
	Ranges    map[string][]box
	Home      struct {
		Street sql.NullString `phi:"address"`
		City   string         `phi:"region"`
	}
	Clinic string `phi:"clear"`
}

// TestTypesSchema: what rows store does not change unnoticed. To accept a
// change, write the new schema into the file.
func TestTypesSchema(t *testing.T) {
	want, err := os.ReadFile("testdata/schema.golden")
	require.NoError(t, err)
	c := newCodec[chart](t, "chart", newRing(t, "r"))
	require.Equal(t, string(want), c.Schema())
}

// generated looks like a type of generated code: no tags, and fields that are
// not exported.
type generated struct {
	//lint:ignore U1000 ignored, as everywhere in Go
	state   int
	Id      string
	Nik     *string
	Result  string
	Address *generatedAddress
	Site    string
}

type generatedAddress struct {
	//lint:ignore U1000 ignored, as everywhere in Go
	state  int
	Street string
	City   string
}

func TestTypesPlan(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", "clinical", "identity")
	plan := Plan{"Id": "subject", "Nik": "nik,name=nik", "Address.Street": "address", "Site": "clear"}
	c, err := NewCodecWith[generated]("lab", ring, plan)
	require.NoError(t, err)
	require.Equal(t, "lab\nclinical\tAddress.City\ttext\nclinical\tResult\ttext\nidentity\tAddress.Street\ttext\nidentity\tnik\ttext\n", c.Schema())
	src := generated{Id: "p1", Nik: ptr("9271060312000001"), Result: "negatif", Address: &generatedAddress{Street: "Jl. Contoh 1"}, Site: "A"}
	row := seal(t, c, &src)
	dst := generated{Id: "p1", Site: "A"}
	require.NoError(t, c.Open(ctx, &dst, row))
	require.Equal(t, src, dst)

	// A type with tags of the same meaning reads the same rows.
	type tagged struct {
		ID  string `phi:"subject"`
		NIK string `phi:"nik,name=nik"`
	}
	same := tagged{ID: "p1"}
	require.NoError(t, newCodec[tagged](t, "lab", ring).Open(ctx, &same, row))
	require.Equal(t, "9271060312000001", same.NIK)

	for name, bad := range map[string]Plan{
		"no subject":   {"Nik": "nik"},
		"no field":     {"Id": "subject", "Nick": "nik"},
		"empty path":   {"Id": "subject", "": "nik"},
		"bad tag":      {"Id": "subject", "Nik": "nick"},
		"two subjects": {"Id": "subject", "Site": "subject"},
		"inside clear": {"Id": "subject", "Address": "clear", "Address.Street": "address"},
		"inside kind":  {"Id": "subject", "Address": "clinical", "Address.Street": "address"},
		"not exported": {"Id": "subject", "state": "clinical"},
	} {
		_, err := NewCodecWith[generated]("lab", ring, bad)
		var tag *phi.TagError
		require.ErrorAs(t, err, &tag, name)
	}
	_, err = NewCodecWith[tagged]("lab", ring, Plan{"NIK": "clinical"})
	require.ErrorContains(t, err, "tag of its own")
	plan["Nik"] = "nick"
	require.NoError(t, c.Open(ctx, &dst, row), "the caller's map is not kept")
}

// TestTypesStates is the table of what may have become of a stored field, by
// the state of its value.
func TestTypesStates(t *testing.T) {
	type old struct {
		ID string `phi:"subject"`
		V  *string
		W  *string
	}
	type unknown struct { // no longer has V
		ID string `phi:"subject"`
		W  *string
	}
	type added struct {
		ID  string `phi:"subject"`
		V   *string
		W   *string
		New *string
	}
	type renamed struct {
		ID    string  `phi:"subject"`
		Other *string `phi:"clinical,name=V"`
		W     *string
	}
	type lost struct { // renamed without name=
		ID    string `phi:"subject"`
		Other *string
		W     *string
	}
	type moved struct {
		ID string  `phi:"subject"`
		V  *string `phi:"clinical,in=lab"`
		W  *string
	}
	ctx := context.Background()
	ring := newRing(t, "r", "clinical", "lab")
	for name, v := range map[string]*string{"nil": nil, "empty": ptr(""), "value": ptr("x")} {
		row := seal(t, newCodec[old](t, "t", ring), &old{ID: "p1", V: v, W: ptr("w")})
		over := ptr("over")

		whole := old{ID: "p1", V: over, W: over}
		require.NoError(t, newCodec[old](t, "t", ring).Open(ctx, &whole, row))
		require.Equal(t, old{"p1", v, ptr("w")}, whole, name)

		withheld := old{ID: "p1", V: over, W: over}
		require.NoError(t, newCodec[old](t, "t", ring).Open(ctx, &withheld, row, "W"))
		require.Equal(t, old{"p1", over, ptr("w")}, withheld, "%s: not asked for, not touched", name)

		u := unknown{ID: "p1"}
		require.NoError(t, newCodec[unknown](t, "t", ring).Open(ctx, &u, row))
		require.Equal(t, unknown{"p1", ptr("w")}, u, name)
		carrier := newCodec[unknown](t, "t", ring)
		r, err := carrier.Begin(ctx, &u, row)
		require.NoError(t, err)
		carried, err := carrier.Reseal(ctx, r, &unknown{ID: "p1", W: ptr("new")}, []string{"W"}, nil)
		require.NoError(t, err)
		require.NoError(t, newCodec[old](t, "t", ring).Open(ctx, &whole, carried))
		require.Equal(t, old{"p1", v, ptr("new")}, whole, "%s: carried", name)

		a := added{ID: "p1", New: over}
		require.NoError(t, newCodec[added](t, "t", ring).Open(ctx, &a, row))
		require.Equal(t, added{"p1", v, ptr("w"), nil}, a, name)

		n := renamed{ID: "p1", Other: over}
		require.NoError(t, newCodec[renamed](t, "t", ring).Open(ctx, &n, row))
		require.Equal(t, renamed{"p1", v, ptr("w")}, n, name)

		l := lost{ID: "p1", Other: over}
		require.NoError(t, newCodec[lost](t, "t", ring).Open(ctx, &l, row))
		require.Equal(t, lost{"p1", nil, ptr("w")}, l, name)

		m := moved{ID: "p1", V: over, W: over}
		err = newCodec[moved](t, "t", ring).Open(ctx, &m, row)
		if v == nil { // it is stored nowhere
			require.NoError(t, err)
			require.Equal(t, moved{"p1", nil, ptr("w")}, m)
			continue
		}
		require.ErrorIs(t, err, ErrCompartment, name)
		require.NotErrorIs(t, err, ErrOpen)
		require.Equal(t, moved{"p1", over, over}, m, name)
	}
}
