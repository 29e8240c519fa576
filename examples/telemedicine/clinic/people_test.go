package clinic_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/seed"
)

// peopled opens a seeded clinic on SQLite, and returns a function that finds an
// account.
func peopled(t *testing.T, n int) (*clinic.Clinic, func(string) clinic.User) {
	t.Helper()
	c, err := clinic.Open(t.Context(), clinic.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.NoError(t, seed.Run(t.Context(), c, n, func(string, int, int) {}))
	return c, func(name string) clinic.User {
		t.Helper()
		u, err := c.User(t.Context(), name)
		require.NoError(t, err)
		return u
	}
}

func TestSelf(t *testing.T) {
	c, user := peopled(t, 5)
	ctx := t.Context()
	self, doctor := user("p-0001"), user("dr-ayu")

	t.Run("all of the own record, and nobody else's", func(t *testing.T) {
		for name, chosen := range map[string]int{"p-0001": 5, "p-0002": 2, "p-0003": 0} {
			chart, err := c.Own(ctx, user(name))
			require.NoError(t, err)
			require.Equal(t, user(name).Patient, chart.Patient.ID)
			require.Empty(t, chart.Withheld)
			require.NotEmpty(t, chart.Visits)
			for _, v := range chart.Visits {
				require.Empty(t, v.Withheld, "labels included")
			}
			data, err := c.Data(ctx, user(name))
			require.NoError(t, err)
			require.Equal(t, chart.Patient.NIK, data.NIK)
			require.Len(t, data.Visits, len(chart.Visits))
			allowed := 0
			for _, a := range data.Allowed {
				if a.Allowed {
					allowed++
				}
			}
			require.Equal(t, chosen, allowed)
			text, err := json.Marshal(data)
			require.NoError(t, err)
			require.NotContains(t, string(text), "null")
		}
	})
	t.Run("what is taken back counts at once, with what needs it", func(t *testing.T) {
		require.NoError(t, c.Withdraw(ctx, self, "treatment"))
		_, err := c.Chart(ctx, doctor, self.Patient, clinic.Why{})
		require.ErrorIs(t, err, consent.ErrDenied)
		require.Equal(t, []string{"research", "showcase"}, now(t, c, self))
		require.ErrorIs(t, c.Allow(ctx, self, "hiv"), clinic.ErrInput, "it would allow treatment by itself")
		require.NoError(t, c.Allow(ctx, self, "treatment"))
		require.NoError(t, c.Allow(ctx, self, "treatment"), "twice is once")
		require.NoError(t, c.Allow(ctx, self, "hiv"))
		require.Equal(t, []string{"treatment", "hiv", "research", "showcase"}, now(t, c, self))
		_, err = c.Chart(ctx, doctor, self.Patient, clinic.Why{})
		require.NoError(t, err)
		all, err := c.Allowed(ctx, self)
		require.NoError(t, err)
		require.Len(t, all[0].Past, 2)
		require.True(t, all[0].Past[0].Ended.IsZero())
		require.True(t, all[0].Past[1].Ended.After(all[0].Past[1].At))
		require.False(t, all[0].Since.IsZero())
		require.ErrorIs(t, c.Allow(ctx, self, "everything"), clinic.ErrInput)
		require.ErrorIs(t, c.Withdraw(ctx, self, "everything"), clinic.ErrInput)
	})
	t.Run("who looked, an act at a time", func(t *testing.T) {
		_, err := c.Chart(ctx, doctor, self.Patient, clinic.Why{Justification: "unconscious"})
		require.NoError(t, err)
		events, err := c.History(ctx, self)
		require.NoError(t, err)
		first := events[0]
		require.Equal(t, []any{"dr-ayu", "open", consent.EmergencyTreatment, "done", consent.InEmergency, "unconscious"},
			[]any{first.Actor, first.Action, first.Purpose, first.Outcome, first.Reason, first.Justification})
		require.Equal(t, 1, first.Types["patient"])
		require.NotZero(t, first.Types["visit"])
		require.Contains(t, first.Fields, "NIK")
		require.Equal(t, []string{"Counselling"}, first.Withheld)
		require.True(t, slices.ContainsFunc(events, func(e clinic.Event) bool {
			return e.Actor == "dr-ayu" && e.Outcome == "refused" && e.Reason == consent.Ended
		}))
		require.True(t, slices.ContainsFunc(events, func(e clinic.Event) bool {
			return e.Actor == "p-0001" && e.Action == "withdraw" && slices.Equal(e.Choices, []string{"counselling", "hiv", "treatment"})
		}))
		require.True(t, slices.IsSortedFunc(events, func(a, b clinic.Event) int { return b.At.Compare(a.At) }))
	})
	t.Run("what is checked without the clinic", func(t *testing.T) {
		keys, err := c.Published(ctx)
		require.NoError(t, err)
		file, err := c.Proof(ctx, self)
		require.NoError(t, err)
		entries, err := consent.CheckExtract(file, keys.Log...)
		require.NoError(t, err)
		require.NotEmpty(t, entries)
		for name, wrong := range map[string]func() ([]consent.Entry, error){
			"another key": func() ([]consent.Entry, error) { return consent.CheckExtract(file, keys.Receipts[0]) },
			"no key":      func() ([]consent.Entry, error) { return consent.CheckExtract(file) },
			"other words": func() ([]consent.Entry, error) {
				return consent.CheckExtract(bytes.Replace(file, []byte(`"dr-ayu"`), []byte(`"dr-eva"`), 1), keys.Log...)
			},
		} {
			_, err := wrong()
			require.Error(t, err, name)
		}

		all, err := c.Allowed(ctx, self)
		require.NoError(t, err)
		for _, in := range []consent.Language{consent.English, consent.Indonesian} {
			require.EventuallyWithT(t, func(t *assert.CollectT) { // receipts know whole seconds
				text, err := c.Receipt(ctx, self, all[0].Past[1].ID, in)
				require.NoError(t, err)
				r, err := consent.CheckReceipt(text, keys.Receipts...)
				require.NoError(t, err)
				require.Equal(t, []any{"withdrawn", in}, []any{r.EventState, r.Language})
			}, 3*time.Second, 100*time.Millisecond)
		}
		_, err = c.Receipt(ctx, user("p-0002"), all[0].Past[0].ID, consent.English)
		require.ErrorIs(t, err, clinic.ErrNotFound, "another's")
		_, err = c.Receipt(ctx, self, "", consent.English)
		require.ErrorIs(t, err, clinic.ErrNotFound)
	})
	t.Run("erasure is asked for, and not decided", func(t *testing.T) {
		asked, err := c.Erasure(ctx, self)
		require.NoError(t, err)
		require.Nil(t, asked)
		require.NoError(t, c.AskErasure(ctx, self))
		require.NoError(t, c.AskErasure(ctx, self), "twice is once")
		asked, err = c.Erasure(ctx, self)
		require.NoError(t, err)
		require.False(t, asked.Asked.IsZero())
		require.True(t, asked.Done.IsZero())
		_, err = c.Own(ctx, self)
		require.NoError(t, err)
		require.NoError(t, c.UnaskErasure(ctx, self))
		asked, err = c.Erasure(ctx, self)
		require.NoError(t, err)
		require.Nil(t, asked)
	})
	t.Run("nobody but a patient", func(t *testing.T) {
		for _, u := range []clinic.User{doctor, user("clerk-budi"), user("ui-citra"), user("dpo-dewi"), {}} {
			u.Patient = self.Patient
			_, err := c.Own(ctx, u)
			require.ErrorIs(t, err, clinic.ErrForbidden)
			_, err = c.History(ctx, u)
			require.ErrorIs(t, err, clinic.ErrForbidden)
			_, err = c.Data(ctx, u)
			require.ErrorIs(t, err, clinic.ErrForbidden)
			_, err = c.Proof(ctx, u)
			require.ErrorIs(t, err, clinic.ErrForbidden)
			_, err = c.Allowed(ctx, u)
			require.ErrorIs(t, err, clinic.ErrForbidden)
			_, err = c.Receipt(ctx, u, "treatment@takeover", consent.English)
			require.ErrorIs(t, err, clinic.ErrForbidden)
			_, err = c.Erasure(ctx, u)
			require.ErrorIs(t, err, clinic.ErrForbidden)
			require.ErrorIs(t, c.Allow(ctx, u, "research"), clinic.ErrForbidden)
			require.ErrorIs(t, c.Withdraw(ctx, u, "research"), clinic.ErrForbidden)
			require.ErrorIs(t, c.AskErasure(ctx, u), clinic.ErrForbidden)
			require.ErrorIs(t, c.UnaskErasure(ctx, u), clinic.ErrForbidden)
		}
	})
}

// now are the keys of what somebody allows.
func now(t *testing.T, c *clinic.Clinic, u clinic.User) []string {
	t.Helper()
	all, err := c.Allowed(t.Context(), u)
	require.NoError(t, err)
	var keys []string
	for _, a := range all {
		if a.Now {
			keys = append(keys, a.Key)
		}
	}
	return keys
}

func TestBranchRefusesHalfAChoice(t *testing.T) {
	c, _ := peopled(t, 1)
	p := clinic.Patient{NIK: "9901014101900001", Name: "Sari Contoh", Phone: "+62 810 0000 9999", Sex: "female", Address: "Jalan Rekaan 1"}
	p.Born = p.Born.AddDate(1989, 0, 0)
	_, err := c.Branch().Register(t.Context(), &p, []string{"hiv"})
	require.ErrorIs(t, err, clinic.ErrInput)
	_, err = c.Branch().Register(t.Context(), &p, []string{"hiv", "treatment"})
	require.NoError(t, err)
}

func TestStudy(t *testing.T) {
	if testing.Short() {
		t.Skip("tables of 120 patients")
	}
	c, user := peopled(t, 120)
	ctx := t.Context()
	citra := user("ui-citra")
	ask := clinic.Question{Of: clinic.Patients, Purpose: consent.Research, K: clinic.MinK}

	t.Run("what is hidden is chosen, and what is left out has a reason", func(t *testing.T) {
		for keep, hidden := range map[string]string{"Born": "Sex", "Sex": "Born"} {
			q := ask
			q.Keep = keep
			s, err := c.Study(ctx, citra, q)
			require.NoError(t, err)
			require.False(t, s.Refused)
			for _, col := range s.Columns {
				if col.Name == hidden {
					require.Equal(t, "hidden", col.Form)
				}
				if col.Name == keep {
					require.NotEqual(t, "hidden", col.Form)
				}
			}
			require.Equal(t, 120, len(s.Rows)+s.Out())
			require.Equal(t, len(s.Rows), s.People())
			for _, a := range s.Alike {
				require.GreaterOrEqual(t, a.People, clinic.MinK)
			}
			require.Contains(t, s.LeftOut, clinic.LeftOut{Reason: consent.NoConsent, N: 24})
			for _, direct := range []string{"Wibowo", "9929", "+62", "Rekaan"} {
				require.NotContains(t, string(s.CSV), direct)
			}
		}
	})
	t.Run("the gate refuses, and says so", func(t *testing.T) {
		q := ask
		q.K = 500
		s, err := c.Study(ctx, citra, q)
		require.NoError(t, err)
		require.True(t, s.Refused)
		require.Empty(t, s.CSV)
		require.Empty(t, s.Rows)
		require.Equal(t, []clinic.LeftOut{{Reason: consent.TooFew, N: 96}, {Reason: consent.NoConsent, N: 24}}, s.LeftOut)
	})
	t.Run("visits, of which the HIV tests stay here", func(t *testing.T) {
		q := ask
		q.Of = clinic.Visits
		s, err := c.Study(ctx, citra, q)
		require.NoError(t, err)
		require.NotEmpty(t, s.Rows)
		require.Equal(t, clinic.Column{Name: "Serology", Form: "withheld"}, s.Columns[3])
		require.NotContains(t, string(s.CSV), "reactive")
		require.Less(t, s.People(), len(s.Rows))
	})
	t.Run("who takes it back is in no new table, under no pseudonym twice", func(t *testing.T) {
		before, err := c.Study(ctx, citra, ask)
		require.NoError(t, err)
		again, err := c.Study(ctx, citra, ask)
		require.NoError(t, err)
		require.ElementsMatch(t, names(t, before), names(t, again), "one institution's pseudonyms last")
		require.NotEqual(t, names(t, before), names(t, again), "their order says nothing")
		other, err := c.Study(ctx, user("itb-eko"), ask)
		require.NoError(t, err)
		require.Len(t, other.Rows, len(before.Rows))
		for _, name := range names(t, other) {
			require.NotContains(t, names(t, before), name, "another's pseudonyms")
		}
		require.NoError(t, c.Withdraw(ctx, user("p-0001"), "research"))
		after, err := c.Study(ctx, citra, ask)
		require.NoError(t, err)
		require.Len(t, after.Rows, len(before.Rows)-1)
	})
	t.Run("whose tables", func(t *testing.T) {
		made, err := c.Made(ctx, citra)
		require.NoError(t, err)
		require.NotEmpty(t, made)
		require.True(t, made[0].Here)
		_, err = c.StudyOf(citra, made[0].ID)
		require.NoError(t, err)
		_, err = c.StudyOf(user("itb-eko"), made[0].ID)
		require.ErrorIs(t, err, clinic.ErrNotFound)
		theirs, err := c.Made(ctx, user("itb-eko"))
		require.NoError(t, err)
		require.Len(t, theirs, 1)
	})
	t.Run("what is no question, and who is no researcher", func(t *testing.T) {
		for _, q := range []clinic.Question{
			{Of: clinic.Patients, Purpose: consent.Research, K: 10}, {Of: clinic.Patients, Purpose: consent.Treatment, K: 11},
			{Of: "files", Purpose: consent.Research, K: 11}, {Of: clinic.Patients, Purpose: consent.Research, K: 11, Keep: "NIK"},
			{Of: clinic.Patients, Purpose: consent.Research, K: 1001},
		} {
			_, err := c.Study(ctx, citra, q)
			require.ErrorIs(t, err, clinic.ErrInput, q)
		}
		for _, name := range []string{"dr-ayu", "clerk-budi", "p-0001", "dpo-dewi"} {
			_, err := c.Study(ctx, user(name), ask)
			require.ErrorIs(t, err, clinic.ErrForbidden)
			_, err = c.Made(ctx, user(name))
			require.ErrorIs(t, err, clinic.ErrForbidden)
			_, err = c.StudyOf(user(name), "x")
			require.ErrorIs(t, err, clinic.ErrForbidden)
		}
		require.ErrorIs(t, c.AddAccount(ctx, clinic.User{Name: "x", Role: clinic.Researcher}, seed.Password), clinic.ErrInput, "for no institution")
	})
}

func names(t *testing.T, s *clinic.Study) []string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(string(s.CSV))).ReadAll()
	require.NoError(t, err)
	var all []string
	for _, row := range rows[1:] {
		all = append(all, row[0])
	}
	return all
}

func TestList(t *testing.T) {
	require.Equal(t, []string{"A", "B"}, clinic.List(`["A","B"]`))
	require.Equal(t, []string{"[not a list"}, clinic.List("[not a list"))
	require.Equal(t, []string{""}, clinic.List(""))
}
