package cedar

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/rahasia/rahasia/consent"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// given are n live consents, the last of which permits treatment, HIV included.
func given(n int) []consent.Consent {
	var cs []consent.Consent
	for i := range n - 1 {
		cs = append(cs, consent.Consent{
			ID: fmt.Sprintf("c%03d", i), Purposes: []consent.Purpose{consent.Payment, consent.Operations}, Roles: []string{"clerk"}, Until: noon.AddDate(1, 0, 0),
		})
	}
	return append(cs, consent.Consent{ID: "z", Purposes: []consent.Purpose{consent.Treatment}, Sensitivity: []consent.Label{"HIV"}, Until: noon.AddDate(1, 0, 0)})
}

// policies are the same consents in Cedar, parsed: one permit each.
func policies(t testing.TB, cs []consent.Consent) *cedar.PolicySet {
	var b strings.Builder
	for _, c := range cs {
		principal := "principal"
		if len(c.Roles) > 0 {
			principal = fmt.Sprintf("principal in Role::%q", c.Roles[0])
		}
		var purposes, labels []string
		for _, p := range c.Purposes {
			purposes = append(purposes, fmt.Sprintf("Purpose::%q", p))
		}
		for _, l := range c.Sensitivity {
			labels = append(labels, fmt.Sprintf("%q", l))
		}
		fmt.Fprintf(&b, "permit (%s, action, resource) when { context.purpose in [%s] && context.now < %d && [%s].containsAll(context.labels) };\n",
			principal, strings.Join(purposes, ", "), c.Until.Unix(), strings.Join(labels, ", "))
	}
	set, err := cedar.NewPolicySetFromBytes("consents.cedar", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// entities are the purposes below TREAT that are asked for here, and the doctor.
func entities() types.EntityMap {
	uid := func(kind, id string) types.EntityUID {
		return types.NewEntityUID(types.EntityType(kind), types.String(id))
	}
	under := func(kind, id string, parents ...types.EntityUID) types.Entity {
		return types.Entity{UID: uid(kind, id), Parents: types.NewEntityUIDSet(parents...)}
	}
	m := types.EntityMap{}
	for _, e := range []types.Entity{
		under("Purpose", "TREAT"), under("Purpose", "COC", uid("Purpose", "TREAT")), under("Purpose", "HPAYMT"), under("Purpose", "HOPERAT"),
		under("Role", "doctor"), under("Role", "clerk"), under("Actor", "dr-ayu", uid("Role", "doctor")),
	} {
		m[e.UID] = e
	}
	return m
}

func request(purpose string, labels ...string) cedar.Request {
	var set []types.Value
	for _, l := range labels {
		set = append(set, types.String(l))
	}
	return cedar.Request{
		Principal: types.NewEntityUID("Actor", "dr-ayu"), Action: types.NewEntityUID("Action", "access"), Resource: types.NewEntityUID("Record", "r"),
		Context: types.NewRecord(types.RecordMap{
			"purpose": types.NewEntityUID("Purpose", types.String(purpose)), "now": types.Long(noon.Unix()), "labels": types.NewSet(set...),
		}),
	}
}

var asked = consent.Request{Purpose: "COC", Actor: "dr-ayu", Role: "doctor", Action: consent.Access}

// TestSame: what is compared decides alike.
func TestSame(t *testing.T) {
	cs := given(10)
	set, known := policies(t, cs), entities()
	for _, tt := range []struct {
		purpose string
		labels  []string
		want    bool
	}{{"COC", []string{"HIV"}, true}, {"COC", nil, true}, {"TREAT", []string{"HIV", "PSY"}, false}, {"HPAYMT", nil, false}, {"TREAT", []string{"HIV"}, true}} {
		req := asked
		req.Purpose = consent.Purpose(tt.purpose)
		data := consent.Data{}
		for _, l := range tt.labels {
			data.Sensitivity = append(data.Sensitivity, consent.Label(l))
		}
		ours := new(consent.Policy).Decide(cs, req, data, noon).Permit
		theirs, _ := cedar.Authorize(set, known, request(tt.purpose, tt.labels...))
		if ours != tt.want || (theirs == cedar.Allow) != tt.want {
			t.Errorf("%v: ours %v, Cedar's %v", tt, ours, theirs)
		}
	}
}

// BenchmarkDecide is one decision over live consents. Cedar is given policies
// that are parsed and a request that is built; limit is one prepared
// HMAC-SHA-256 of 16 bytes.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		name := fmt.Sprintf("%dconsents", n)
		cs := given(n)
		data := consent.Data{Sensitivity: []consent.Label{"HIV"}}
		b.Run("rahasia/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !new(consent.Policy).Decide(cs, asked, data, noon).Permit {
					b.Fatal("refused")
				}
			}
		})
		b.Run("limit/"+name, func(b *testing.B) {
			h, value, out := hmac.New(sha256.New, make([]byte, 32)), make([]byte, 16), make([]byte, 0, 32)
			b.ReportAllocs()
			for b.Loop() {
				h.Reset()
				h.Write(value)
				out = h.Sum(out[:0])
			}
		})
		set, known, req := policies(b, cs), entities(), request("COC", "HIV")
		b.Run("cedar/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d, _ := cedar.Authorize(set, known, req); d != cedar.Allow {
					b.Fatal("refused")
				}
			}
		})
	}
}
