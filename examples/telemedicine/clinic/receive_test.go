package clinic

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
)

// A thief has the branch's credential and writes into the table of arrivals.
type thief struct {
	t *testing.T
	c *Clinic
}

func burgled(t *testing.T) thief {
	t.Helper()
	c, err := Open(t.Context(), Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return thief{t, c}
}

func person(nik string) *Patient {
	return &Patient{NIK: nik, Name: "Siti Rekaan", Phone: "081200007777", Born: time.Date(1990, 12, 3, 0, 0, 0, 0, time.UTC), Sex: "female", Address: "Jalan Rekaan 7"}
}

// registered is a patient of the clinic.
func (x thief) registered(choices ...string) (u User, arrival string) {
	x.t.Helper()
	p := person("3171014312900001")
	portal, err := x.c.Branch().Register(x.t.Context(), p, choices)
	require.NoError(x.t, err)
	require.Equal(x.t, Received, x.state(portal.Arrival))
	return User{Name: portal.Name, Role: Self, Patient: p.ID}, portal.Arrival
}

// send puts items into the table, and returns what became of them.
func (x thief) send(record, choices envelope.Item) string {
	x.t.Helper()
	id := envelope.NewID()
	_, err := x.c.db.ExecContext(x.t.Context(), `INSERT INTO arrivals (id, at, record, choices, state) VALUES ($1, 0, $2, $3, $4)`, id, []byte(record), []byte(choices), Waiting)
	require.NoError(x.t, err)
	return x.state(id)
}

func (x thief) state(id string) (state string) {
	x.t.Helper()
	require.NoError(x.t, x.c.Receive(x.t.Context()))
	require.NoError(x.t, x.c.db.QueryRowContext(x.t.Context(), `SELECT state FROM arrivals WHERE id = $1`, id).Scan(&state))
	return state
}

func (x thief) items(id string, keys ...string) (record, choices envelope.Item) {
	x.t.Helper()
	p := person("3171014312900002")
	p.ID, p.Branch = id, "branch-depok"
	record, err := x.c.branch.records.Seal(p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented, Policy: noticeVersion})
	require.NoError(x.t, err)
	said, err := json.Marshal(keys)
	require.NoError(x.t, err)
	choices, err = x.c.branch.choices.Seal(id, said)
	require.NoError(x.t, err)
	return record, choices
}

// allowed is what a patient allows now.
func (x thief) allowed(u User) (keys []string) {
	x.t.Helper()
	all, err := x.c.Allowed(x.t.Context(), u)
	require.NoError(x.t, err)
	for _, a := range all {
		if a.Now {
			keys = append(keys, a.Key)
		}
	}
	return keys
}

// Whoever has the branch's credential gives no consent for a patient whom the clinic
// has, and writes no record over theirs.
func TestStolenCredential(t *testing.T) {
	x := burgled(t)
	u, _ := x.registered()
	record, choices := x.items(u.Patient, "treatment", "hiv")
	require.Equal(t, Refused, x.send(record, choices))
	other, _ := x.items(envelope.NewID(), "treatment")
	require.Equal(t, Refused, x.send(other, choices), "a stranger's record with the patient's choices")
	require.Empty(t, x.allowed(u))
	chart, err := x.c.Own(t.Context(), u)
	require.NoError(t, err)
	require.Equal(t, "3171014312900001", chart.Patient.NIK)
}

// What a patient withdrew does not come back with the registration that gave it.
func TestReplayedChoices(t *testing.T) {
	x := burgled(t)
	u, arrival := x.registered("treatment", "research")
	var record, choices []byte
	require.NoError(t, x.c.db.QueryRowContext(t.Context(), `SELECT record, choices FROM arrivals WHERE id = $1`, arrival).Scan(&record, &choices))
	require.NoError(t, x.c.Withdraw(t.Context(), u, "research"))
	require.Equal(t, []string{"treatment"}, x.allowed(u))
	require.Equal(t, Refused, x.send(record, choices))
	require.Equal(t, []string{"treatment"}, x.allowed(u))
}

// What cannot be taken in is put aside, and holds up nobody who comes after it.
func TestPoisonedArrival(t *testing.T) {
	x := burgled(t)
	u, _ := x.registered()
	officer := User{Name: "dpo-dewi", Role: Officer}
	late, allowing := x.items(u.Patient, "treatment") // sealed before the patient was erased
	require.NoError(t, x.c.AskErasure(t.Context(), u))
	_, err := x.c.Erase(t.Context(), officer, u.Patient)
	require.NoError(t, err)
	require.Equal(t, Refused, x.send(late, allowing))
	for _, keys := range [][]string{{"everything"}, {"hiv"}, make([]string, 1000)} {
		record, choices := x.items(envelope.NewID(), keys...)
		require.Equal(t, Refused, x.send(record, choices))
	}
	_, choices := x.items(envelope.NewID())
	require.Equal(t, Refused, x.send(choices, choices), "no record")
	record, _ := x.items(envelope.NewID())
	require.Equal(t, Refused, x.send(record, record), "no choices")
	require.Equal(t, Refused, x.send([]byte("junk"), []byte{}))
	id := envelope.NewID()
	require.Equal(t, Received, x.send(x.items(id, "treatment")))
}

// What a branch sent opens with the inbox's key whatever became of the patient's own:
// it goes with them.
func TestErasedArrival(t *testing.T) {
	x := burgled(t)
	u, arrival := x.registered("treatment")
	require.NoError(t, x.c.AskErasure(t.Context(), u))
	_, err := x.c.Erase(t.Context(), User{Name: "dpo-dewi", Role: Officer}, u.Patient)
	require.NoError(t, err)
	var record, choices []byte
	require.NoError(t, x.c.db.QueryRowContext(t.Context(), `SELECT record, choices FROM arrivals WHERE id = $1`, arrival).Scan(&record, &choices))
	require.Empty(t, record)
	require.Empty(t, choices)
}

// However many sign in at once, two passwords are hashed.
func TestSignInTurns(t *testing.T) {
	x := burgled(t)
	for range hashesAtOnce {
		x.c.hashes <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	tried := make(chan error)
	go func() {
		_, err := x.c.SignIn(ctx, "nobody", "rahasia-demo")
		tried <- err
	}()
	select {
	case err := <-tried:
		require.Fail(t, "it did not wait", err)
	case <-time.After(time.Second):
	}
	cancel()
	require.ErrorIs(t, <-tried, context.Canceled)
	<-x.c.hashes
	_, err := x.c.SignIn(t.Context(), "nobody", "rahasia-demo")
	require.ErrorIs(t, err, ErrNotFound)
}

// A label and what it needs, given and withdrawn at once: what stays never lets in
// whom the patient has shut out.
func TestAllowWhileWithdrawing(t *testing.T) {
	x := burgled(t)
	u, _ := x.registered("treatment")
	for range 25 {
		var both sync.WaitGroup
		both.Go(func() { _ = x.c.Allow(t.Context(), u, "hiv") })
		both.Go(func() { _ = x.c.Withdraw(t.Context(), u, "treatment") })
		both.Wait()
		require.NotContains(t, x.allowed(u), "hiv")
		require.NoError(t, x.c.Allow(t.Context(), u, "treatment"))
	}
}
