package phi

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type patient struct {
	ID        string    `phi:"subject"`
	NIK       string    `phi:"nik,lookup,unique"`
	Phone     *string   `phi:"phone,lookup"`
	Born      time.Time `phi:"birthdate"`
	Diagnosis []string  `phi:"clinical,label=PSY,label=HIV"`
	Serology  string    `phi:"clinical,label=HIV,in=serology,name=sero"`
	Notes     string
	Contact   struct {
		Street string `phi:"address"`
		City   string
	}
	Birth  *birth
	Clinic string `phi:"clear"`
	Meta
	//lint:ignore U1000 ignored, as everywhere in Go
	cached int
}

type birth struct {
	Mother sql.NullString `phi:"name,lookup"`
	Weight int            `phi:"clinical"`
}

type Meta struct {
	Version int    `json:"v"`
	Source  string `phi:"clear"`
}

func TestPlanOfAPatient(t *testing.T) {
	p, err := For(reflect.TypeFor[patient]())
	require.NoError(t, err)
	require.Equal(t, "patient.ID", p.Subject.Go)
	require.Nil(t, p.Record)
	require.Equal(t, []string{"clinical", "identity", "serology"}, p.Compartments)

	var got []string
	for _, f := range p.Fields {
		line := f.Go + " " + f.Name + " " + f.Kind.Name + " " + f.Compartment
		if f.Lookup {
			line += " lookup"
		}
		if f.Unique {
			line += " unique"
		}
		got = append(got, strings.TrimSpace(line+" "+strings.Join(f.Labels, ",")))
		same, ok := p.Field(f.Name)
		require.True(t, ok)
		require.Equal(t, f, *same)
	}
	require.Equal(t, []string{
		"patient.NIK NIK nik identity lookup unique",
		"patient.Phone Phone phone identity lookup",
		"patient.Born Born birthdate identity",
		"patient.Diagnosis Diagnosis clinical clinical HIV,PSY",
		"patient.Serology sero clinical serology HIV",
		"patient.Notes Notes untagged clinical",
		"patient.Contact.Street Contact.Street address identity",
		"patient.Contact.City Contact.City untagged clinical",
		"patient.Birth.Mother Birth.Mother name identity lookup",
		"patient.Birth.Weight Birth.Weight clinical clinical",
		"patient.Meta.Version Version untagged clinical",
	}, got)

	require.Len(t, p.Clear, 2)
	require.Equal(t, "Clinic", p.Clear[0].Name)
	require.Equal(t, "Source", p.Clear[1].Name)
	require.True(t, p.Clear[0].Clear)
	_, ok := p.Field("Clinic")
	require.False(t, ok, "a clear field is not a sealed one")
}

// TestTwinsOfEncodingJSON holds the promise that embedded structs flatten as
// in encoding/json.
func TestTwinsOfEncodingJSON(t *testing.T) {
	type inner struct{ A, B int }
	type T struct {
		ID string `phi:"subject"`
		inner
		*Meta
		C int
	}
	p, err := For(reflect.TypeFor[T]())
	require.NoError(t, err)
	var names []string
	for _, f := range p.Fields {
		names = append(names, f.Name)
	}
	require.Equal(t, []string{"A", "B", "Version", "C"}, names)
	b, err := json.Marshal(T{Meta: &Meta{}})
	require.NoError(t, err)
	require.Equal(t, `{"ID":"","A":0,"B":0,"v":0,"Source":"","C":0}`, string(b))
}

func TestPlanIsCompiledOnce(t *testing.T) {
	type T struct {
		ID string `phi:"subject"`
		A  int
	}
	got := make([]*Plan, 16)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], _ = For(reflect.TypeFor[T]()) })
	}
	wg.Wait()
	for _, p := range got {
		require.Same(t, got[0], p)
	}
}

type (
	recursive struct {
		ID    string `phi:"subject"`
		Child *recursive
	}
	node struct {
		Next []node
	}
	//lint:ignore U1000 that is the point
	hidden  struct{ a int }
	onlyOut struct{ N int }
	stamped struct {
		time.Time
		Zone string
	}
	binaryText string
)

func (onlyOut) MarshalBinary() ([]byte, error) { return nil, nil }

func (binaryText) MarshalBinary() ([]byte, error) { return nil, nil }
func (*binaryText) UnmarshalBinary([]byte) error  { return nil }

// TestBadTags has one type for each rule; the error names type, field and rule.
func TestBadTags(t *testing.T) {
	type id = string
	for _, c := range []struct {
		v           any
		field, rule string
	}{
		{0, "int", "not a struct"},
		{time.Time{}, "time.Time", "not a struct"},
		{&patient{}, "*phi.patient", "not a struct"},
		{struct{ A int }{}, "struct", "no field is the subject"},
		{struct {
			ID id `phi:"subject"`
		}{}, "struct", "no field to seal"},
		{struct {
			A id `phi:"subject"`
			B id `phi:"subject"`
			C int
		}{}, "struct.B", "a second subject, after struct.A"},
		{struct {
			A id `phi:"subject"`
			B id `phi:"record"`
			C id `phi:"record"`
		}{}, "struct.C", "a second record"},
		{struct {
			A int `phi:"subject"`
		}{}, "struct.A", "not a string"},
		{struct {
			A *struct {
				ID id `phi:"subject"`
			}
		}{}, "struct.A.ID", "behind a pointer"},
		{struct {
			A id `phi:"nick"`
		}{}, "struct.A", `unknown kind "nick"`},
		{struct {
			A id `phi:""`
		}{}, "struct.A", `unknown kind ""`},
		{struct {
			A id `phi:"-"`
		}{}, "struct.A", `unknown kind "-"`},
		{struct {
			A id `phi:"untagged"`
		}{}, "struct.A", `unknown kind "untagged"`},
		{struct {
			A id `phi:" nik"`
		}{}, "struct.A", `unknown kind " nik"`},
		{struct {
			A id `phi:"nik,lokup"`
		}{}, "struct.A", `unknown option "lokup"`},
		{struct {
			A id `phi:"nik,lookup=yes"`
		}{}, "struct.A", `unknown option "lookup=yes"`},
		{struct {
			A id `phi:"nik,"`
		}{}, "struct.A", `unknown option ""`},
		{struct {
			A id `phi:"nik,label"`
		}{}, "struct.A", `unknown option "label"`},
		{struct {
			A id `phi:"nik,lookup,lookup"`
		}{}, "struct.A", `"lookup" twice`},
		{struct {
			A id `phi:"nik,lookup,unique,unique"`
		}{}, "struct.A", `"unique" twice`},
		{struct {
			A id `phi:"nik,in=a,in=b"`
		}{}, "struct.A", `"in=" twice`},
		{struct {
			A id `phi:"nik,name=a,name=a"`
		}{}, "struct.A", `"name=" twice`},
		{struct {
			A id `phi:"nik,label=HIV,label=HIV"`
		}{}, "struct.A", `label "HIV" twice`},
		{struct {
			A id `phi:"nik,label=hiv"`
		}{}, "struct.A", `bad label "hiv"`},
		{struct {
			A id `phi:"nik,label="`
		}{}, "struct.A", `bad label ""`},
		{struct {
			A id `phi:"nik,in=Identity"`
		}{}, "struct.A", `bad compartment name "Identity"`},
		{struct {
			A id `phi:"nik,in="`
		}{}, "struct.A", `bad compartment name ""`},
		{struct {
			A id `phi:"nik,in=ring"`
		}{}, "struct.A", `bad compartment name "ring"`},
		{struct {
			A id `phi:"nik,in=audit"`
		}{}, "struct.A", `bad compartment name "audit"`},
		{struct {
			A id `phi:"nik,in=1a"`
		}{}, "struct.A", `bad compartment name "1a"`},
		{struct {
			A id `phi:"nik,name="`
		}{}, "struct.A", `bad stored name ""`},
		{struct {
			A id `phi:"nik,name=naïve"`
		}{}, "struct.A", "bad stored name"},
		{struct {
			A id `phi:"nik,name=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"`
		}{}, "struct.A", "bad stored name"},
		{struct {
			Größe int
		}{}, "struct.Größe", "say name="},
		{struct {
			A id `phi:"nik,unique"`
		}{}, "struct.A", "unique without lookup"},
		{struct {
			A id `phi:"subject,lookup"`
		}{}, "struct.A", `"subject" takes no options`},
		{struct {
			A id `phi:"clear,name=x"`
		}{}, "struct.A", `"clear" takes no options`},
		{struct {
			A []string `phi:"birthdate"`
		}{}, "struct.A", `kind "birthdate" on a []string: want a time.Time`},
		{struct {
			A int64 `phi:"date"`
		}{}, "struct.A", `kind "date" on a int64`},
		{struct {
			A time.Time `phi:"birthdate,lookup"`
		}{}, "struct.A", `no lookup on kind "birthdate": low entropy`},
		{struct {
			A id `phi:"sex,lookup"`
		}{}, "struct.A", "low entropy"},
		{struct {
			A id `phi:"clinical,lookup"`
		}{}, "struct.A", "low entropy"},
		{struct {
			A id `phi:"address,lookup"`
		}{}, "struct.A", "no normaliser yet"},
		{struct {
			A []string `phi:"nik,lookup"`
		}{}, "struct.A", "not one text"},
		{struct {
			A int64 `phi:"nik,lookup"`
		}{}, "struct.A", "not one text"},
		{struct {
			a id `phi:"nik"`
		}{}, "struct.a", "not exported"},
		{struct {
			A id `phi:"nik,name=B"`
			B int
		}{}, "struct.B", `stored name "B" is also that of struct.A`},
		{struct {
			Meta
			Version int
		}{}, "struct.Version", `stored name "Version" is also that of struct.Meta.Version`},
		{recursive{}, "recursive.Child", "contains itself"},
		{struct{ A []node }{}, "struct.A", "contains itself"},
		{struct{ A any }{}, "struct.A", "cannot be sealed"},
		{struct{ A []any }{}, "struct.A", "cannot be sealed"},
		{struct{ A func() }{}, "struct.A", "cannot be sealed"},
		{struct{ A chan int }{}, "struct.A", "cannot be sealed"},
		{struct{ A complex128 }{}, "struct.A", "cannot be sealed"},
		{struct{ A uintptr }{}, "struct.A", "cannot be sealed"},
		{struct{ A map[float64]int }{}, "struct.A", "map key"},
		{struct{ A map[binaryText]int }{}, "struct.A", "map key"},
		{struct{ A **int }{}, "struct.A", "two ways to be absent"},
		{struct{ A *[]int }{}, "struct.A", "two ways to be absent"},
		{struct{ A *sql.NullInt64 }{}, "struct.A", "two ways to be absent"},
		{struct{ A sql.Null[[]byte] }{}, "struct.A", "two ways to be absent"},
		{struct{ A hidden }{}, "struct.A", "no exported field"},
		{struct{ A big.Int }{}, "struct.A", "no exported field"},
		{struct {
			A hidden `phi:"clinical"`
		}{}, "struct.A", "no exported field"},
		{struct{ A onlyOut }{}, "struct.A", "only one of MarshalBinary and UnmarshalBinary"},
		{struct{ A []onlyOut }{}, "struct.A", "only one of"},
		{struct{ A stamped }{}, "struct.A", "would lose its other fields"},
		{struct {
			A struct {
				B id `phi:"nik"`
			} `phi:"clinical"`
		}{}, "struct.A", "inside an opaque value"},
		{struct {
			A []struct {
				B id `phi:"nik"`
			}
		}{}, "struct.A", "inside an opaque value"},
		{struct {
			A struct {
				B id `phi:"nik"`
			} `phi:"clear"`
		}{}, "struct.A", "inside a clear field"},
		{struct {
			A map[string][]*struct {
				B id `phi:"nik"`
			} `phi:"clear"`
		}{}, "struct.A", "inside a clear field"},
		{struct{ *onlyIn }{}, "struct.onlyIn", "cannot be set"},
		{struct{ stamp }{}, "struct.stamp", "cannot be set"},
		{struct {
			A struct{ onlyIn } `phi:"clinical"`
		}{}, "struct.A", "would be lost"},
	} {
		_, err := For(reflect.TypeOf(c.v))
		var tag *TagError
		if !errors.As(err, &tag) {
			t.Errorf("%T: error %v", c.v, err)
			continue
		}
		if tag.Field != c.field || !strings.Contains(tag.Rule, c.rule) || tag.Type != reflect.TypeOf(c.v).String() {
			t.Errorf("%s: got %q %q", c.rule, tag.Field, tag.Rule)
		}
		if !strings.Contains(err.Error(), tag.Field) || !strings.Contains(err.Error(), tag.Rule) {
			t.Errorf("%v does not name field and rule", err)
		}
	}
	_, err := For(nil)
	require.Error(t, err)
}

type onlyIn struct{ N int }

type stamp struct{ N int }

func (stamp) MarshalBinary() ([]byte, error) { return nil, nil }
func (*stamp) UnmarshalBinary([]byte) error  { return nil }

// TestMalformedTag: package reflect reads such a tag as none at all.
func TestMalformedTag(t *testing.T) {
	for _, tag := range []reflect.StructTag{`phi:nik`, `json:"a" phi:nik`, `phi: "nik"`} {
		_, err := parseTag(reflect.StructField{Name: "A", Tag: tag})
		require.ErrorContains(t, err, "malformed struct tag", string(tag))
	}
	got, err := parseTag(reflect.StructField{Name: "A", Tag: `json:"phi"`})
	require.NoError(t, err)
	require.False(t, got.present)
}

func TestLeavesAreNotWalked(t *testing.T) {
	type T struct {
		ID   string `phi:"subject"`
		When time.Time
		At   *time.Time
		Null sql.NullTime
		Any  sql.Null[int]
		Addr netip.Addr
		Box  struct {
			Low, High float64
		} `phi:"clinical"`
		Several []struct{ A, B int }
		Days    map[string]time.Time
	}
	p, err := For(reflect.TypeFor[T]())
	require.NoError(t, err)
	require.Len(t, p.Fields, 8)
}

func TestTextAndValue(t *testing.T) {
	p, err := For(reflect.TypeFor[patient]())
	require.NoError(t, err)
	field := func(name string) *Field {
		f, ok := p.Field(name)
		require.True(t, ok)
		return f
	}
	phone := "0810-0000-0001"
	full := patient{ID: "p1", NIK: "9271060312000001", Phone: &phone, Birth: &birth{Mother: sql.NullString{String: "Ibu", Valid: true}}}
	null := patient{Birth: &birth{}}
	for _, c := range []struct {
		f    *Field
		of   patient
		text string
		ok   bool
	}{
		{p.Subject, full, "p1", true},
		{field("NIK"), full, "9271060312000001", true},
		{field("Phone"), full, phone, true},
		{field("Birth.Mother"), full, "Ibu", true},
		{field("NIK"), null, "", true},
		{field("Phone"), null, "", false},
		{field("Birth.Mother"), null, "", false},
		{field("Birth.Mother"), patient{}, "", false},
	} {
		text, ok := c.f.Text(reflect.ValueOf(c.of))
		require.Equal(t, c.text, text, c.f.Go)
		require.Equal(t, c.ok, ok, c.f.Go)
	}
	_, ok := field("Birth.Weight").Value(reflect.ValueOf(patient{}))
	require.False(t, ok)
	require.Panics(t, func() { field("Diagnosis").Text(reflect.ValueOf(full)) })
}

// TestKinds holds the table: sorted, found by name, and a lookup either
// allowed or refused for a stated reason.
func TestHoldsTime(t *testing.T) {
	type loop struct {
		Next []*loop
		At   map[string]struct{ time.Time }
	}
	type endless struct{ Next []endless }
	for _, v := range []any{time.Time{}, &time.Time{}, sql.NullTime{}, sql.Null[time.Time]{}, []time.Time{}, [1]*time.Time{}, map[int]time.Time{}, loop{}} {
		require.True(t, HoldsTime(reflect.TypeOf(v)), "%T", v)
	}
	for _, v := range []any{"", 1, []string{}, time.Duration(0), big.Int{}, netip.Addr{}, sql.NullString{}, endless{}} {
		require.False(t, HoldsTime(reflect.TypeOf(v)), "%T", v)
	}
}

func TestKinds(t *testing.T) {
	last := ""
	for _, k := range Kinds() {
		require.Less(t, last, k.Name)
		last = k.Name
		got, ok := KindByName(k.Name)
		require.True(t, ok)
		require.Equal(t, k, got)
		require.Equal(t, k.Lookup, k.Why == "", k.Name)
		require.True(t, validCompartment(k.Compartment))
		require.Contains(t, []Form{Drop, Keep, Year}, k.Form)
	}
	for _, name := range []string{"", "untagged", "NIK", "zzz", "subject", "record", "clear"} {
		_, ok := KindByName(name)
		require.False(t, ok, name)
	}
	var lookup []string
	for _, k := range Kinds() {
		if k.Lookup {
			lookup = append(lookup, k.Name)
		}
	}
	require.Equal(t, []string{"bpjs", "contact-phone", "email", "kk", "mrn", "name", "nik", "nik-ibu", "passport", "phone"}, lookup)
	require.Equal(t, Drop, Untagged().Form, "an untagged field is never exported")
	Kinds()[0].Name = "changed"
	require.NotEqual(t, "changed", Kinds()[0].Name)
}

// TestKindsInDocs: the tables of the package documentation and of SPEC.md say
// what the code says.
func TestKindsInDocs(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	spec, err := os.ReadFile("../../docs/SPEC.md")
	require.NoError(t, err)
	said := map[string]string{} // by kind, from SPEC: compartment and lookup
	for line := range strings.Lines(string(spec)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		names, _, _ := strings.Cut(cells[1], ":")
		for name := range strings.SplitSeq(names, ",") {
			said[strings.TrimSpace(name)] = strings.TrimSpace(cells[2]) + " " + strings.TrimSpace(cells[4])
		}
	}
	for _, k := range Kinds() {
		lookup := "yes"
		if !k.Lookup {
			lookup = "no: " + k.Why
		}
		require.Contains(t, string(doc), fmt.Sprintf("//\t%-14s %-12s %-12s %s\n", k.Name, k.Compartment, k.Form, lookup))
		require.Equal(t, k.Compartment+" "+lookup, said[k.Name], k.Name)
	}
}

// FuzzTag: whatever the tag, parsing ends in a plan or a rule.
func FuzzTag(f *testing.F) {
	for _, s := range []string{"nik,lookup,unique", "clear", "subject", "clinical,label=HIV,in=a,name=b", "", "-", ",", "nik,,", "nik,name=\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted, err := json.Marshal(s)
		if err != nil {
			return
		}
		got, err := parseTag(reflect.StructField{Name: "A", Tag: reflect.StructTag(Key + ":" + string(quoted))})
		if err != nil || !got.present {
			return
		}
		roles := 0
		for _, is := range []bool{got.role != "", got.clear, got.kind.Name != ""} {
			if is {
				roles++
			}
		}
		if roles != 1 || got.lookup && !got.kind.Lookup || got.unique && !got.lookup ||
			got.in != "" && !validCompartment(got.in) || got.name != "" && !validName(got.name) {
			t.Errorf("%q parsed as %+v", s, got)
		}
	})
}
