package consent

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// TestUpdateOfAGrownType: the compartment that a type has gained takes the
// record's facts of collection over, labels included.
func TestUpdateOfAGrownType(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	small, err := NewRecords[nameOnly]("p", cfg)
	require.NoError(t, err)
	grown, err := NewRecords[named]("p", cfg)
	require.NoError(t, err)
	tag := Tag{Purpose: Treatment, Basis: Contract, Consent: "form-7", Policy: "2026-01", Sensitivity: []Label{"PSY"}, Retain: time.Unix(1<<33, 0)}
	row, err := small.Seal(ctx, &nameOnly{"p", "Ayu"}, tag)
	require.NoError(t, err)
	id, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}, Sensitivity: []Label{"PSY"}})
	require.NoError(t, err)
	out := named{ID: "p"}
	require.NoError(t, grown.Open(ctx, &out, row.Sealed, care))
	require.Equal(t, named{ID: "p", Name: "Ayu"}, out)
	next, err := grown.Update(ctx, row.Sealed, &named{ID: "p", Diag: "J45"}, care, "Diag")
	require.NoError(t, err)
	out = named{ID: "p"}
	require.NoError(t, grown.Open(ctx, &out, next.Sealed, care))
	require.Equal(t, named{"p", "Ayu", "J45"}, out)
	reading, err := grown.codec.Begin(ctx, &named{ID: "p"}, next.Sealed)
	require.NoError(t, err)
	got, err := parseTag(reading.Tag("clinical"))
	require.NoError(t, err)
	require.Equal(t, sectionTag{Purpose: Treatment, Basis: Contract, Consent: "form-7", Policy: "2026-01", Confidentiality: Normal, Sensitivity: []Label{"PSY"}, Retain: 1 << 33}, got)

	type more struct {
		ID     string `phi:"subject"`
		Name   string `phi:"name"`
		Diag   string `phi:"clinical"`
		Family string `phi:"sensitive"`
	}
	larger, err := NewRecords[more]("p", cfg)
	require.NoError(t, err)
	row, err = grown.Seal(ctx, &named{"p", "Ayu", "J45"}, tag)
	require.NoError(t, err)
	third, err := larger.Update(ctx, row.Sealed, &more{ID: "p", Family: "x"}, care, "Family")
	require.NoError(t, err)
	reading, err = larger.codec.Begin(ctx, &more{ID: "p"}, third.Sealed)
	require.NoError(t, err)
	got, err = parseTag(reading.Tag("sensitive"))
	require.NoError(t, err)
	require.Equal(t, []Label{"PSY"}, got.Sensitivity, "also where only one of the older sections carries them")

	require.NoError(t, cfg.Withdraw(ctx, "p", id, "clerk"))
	_, err = cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	out = named{ID: "p"}
	require.ErrorIs(t, grown.Open(ctx, &out, next.Sealed, care), ErrDenied)
}

// TestUpdateTokens: the named lookup fields' tokens and no others, the zero
// one for a field that holds no value any more; what is not named may be anything.
func TestUpdateTokens(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	row := sealed(t, r, ayu, Treatment)
	full := ayu
	full.Phone = new("0810 0000 0002")
	malformed := person{ID: ayu.ID, NIK: "12345", Phone: new("call me"), Diagnosis: []string{"R05 Cough"}}
	for name, tt := range map[string]struct {
		src    person
		fields []string
		want   []string
		zero   bool
	}{
		"one of two":                {full, []string{"Phone", "Name"}, []string{"Phone"}, false},
		"cleared":                   {person{ID: ayu.ID}, []string{"Phone"}, []string{"Phone"}, true},
		"none":                      {full, []string{"Name"}, nil, false},
		"malformed where not named": {malformed, []string{"Diagnosis"}, nil, false},
	} {
		next, err := r.Update(ctx, row.Sealed, &tt.src, care, tt.fields...)
		require.NoError(t, err, name)
		require.Len(t, next.Tokens, len(tt.want), name)
		for _, f := range tt.want {
			token, ok := next.Tokens[f]
			require.True(t, ok, name)
			require.Equal(t, tt.zero, token.IsZero(), name)
		}
	}
	_, err := r.Update(ctx, row.Sealed, &malformed, care, "NIK")
	require.ErrorAs(t, err, new(*pseudo.FormatError))
}

// TestFoundBy: the token proves the record to Update as to Open, also to a role
// that may not see the field itself; a type without lookup fields has none.
func TestFoundBy(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	cfg.Roles = map[string][]string{"analyst": {"clinical"}}
	r := people(t, cfg)
	budi := ayu
	budi.ID, budi.NIK, budi.Phone = "p-budi", "9271060312000001", nil
	row, other := sealed(t, r, ayu, Treatment), sealed(t, r, budi)
	req := Request{Purpose: Treatment, Actor: "a", Role: "analyst", FoundBy: row.Tokens["NIK"]}
	got, err := open(r, ayu.ID, row.Sealed, req)
	require.IsType(t, &WithheldError{}, err)
	require.Equal(t, person{ID: ayu.ID, Diagnosis: ayu.Diagnosis, Notes: ayu.Notes}, got, "the NIK goes no further")
	_, err = r.Update(ctx, row.Sealed, &ayu, req, "Notes")
	require.NoError(t, err)
	req.FoundBy = other.Tokens["NIK"]
	_, err = open(r, ayu.ID, row.Sealed, req)
	require.ErrorIs(t, err, ErrTokenMismatch)
	_, err = r.Update(ctx, row.Sealed, &ayu, req, "Notes")
	require.ErrorIs(t, err, ErrTokenMismatch)

	cfg.Roles = nil
	v, err := NewRecords[named]("named", cfg)
	require.NoError(t, err)
	plain, err := v.Seal(ctx, &named{ayu.ID, "Ayu", "J45"}, careTag)
	require.NoError(t, err)
	req.Role = ""
	require.ErrorIs(t, v.Open(ctx, &named{ID: ayu.ID}, plain.Sealed, req), pseudo.ErrField)
}

// TestEntriesTell: who, which consents, which record; and the true reason.
func TestEntriesTell(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu)
	for _, c := range []Consent{{ID: "a-plain"}, {ID: "b-hiv", Sensitivity: []Label{"HIV"}}} {
		c.Subject, c.Purposes = ayu.ID, []Purpose{Treatment}
		_, err := cfg.Give(ctx, c)
		require.NoError(t, err)
		require.Equal(t, []string{c.ID}, lastOf(t, cfg, ayu.ID).Consents)
	}
	_, err := open(r, ayu.ID, row.Sealed, care)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"a-plain", "b-hiv"}, lastOf(t, cfg, ayu.ID).Consents)
	_, err = cfg.Give(ctx, Consent{ID: "no", Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: true})
	require.NoError(t, err)
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, ErrDenied)
	require.Equal(t, []string{"no"}, lastOf(t, cfg, ayu.ID).Consents)

	for want, req := range map[Reason]Request{
		MaySearch: {Purpose: Marketing, Actor: "a"}, Unknown: {Purpose: "X", Actor: "a"}, NoRole: {Purpose: Treatment, Actor: "a", Role: "r"},
	} {
		_, err := r.Lookup(ctx, "NIK", ayu.NIK, req)
		require.Equal(t, want != MaySearch, err != nil)
		e := last(t, cfg.Log)
		require.Equal(t, want, e.Reason)
		require.Equal(t, []string{"NIK"}, e.Fields)
	}

	visits, err := NewRecords[visit]("visit", cfg)
	require.NoError(t, err)
	rows, err := visits.SealAll(ctx, []*visit{{ID: "p", Visit: "1"}, {ID: "p", Visit: "2"}, {ID: "p", Visit: "3"}}, careTag)
	require.NoError(t, err)
	require.ErrorIs(t, visits.Open(ctx, &visit{ID: "p", Visit: "2"}, rows[1].Sealed, care), ErrDenied)
	h, err := cfg.Log.History(ctx, "p")
	require.NoError(t, err)
	var records []string
	for _, e := range h {
		records = append(records, e.Record)
	}
	require.Equal(t, []string{"1", "2", "3", "2"}, records)
	h, err = cfg.Log.History(ctx, ayu.ID)
	require.NoError(t, err)
	require.Equal(t, ayu.ID, h[0].Record, "a type without a record id has one record a patient")
}

// TestUpdateNotGranted: the log says that a key was lacking, and nothing of an erasure.
func TestUpdateNotGranted(t *testing.T) {
	cfg := memoryConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	part := *cfg
	part.Provision = false
	part.Ring = cfg.Ring.Only("identity", "clinical", auditCompartment)
	narrow, err := NewRecords[named]("person", &part)
	require.NoError(t, err)
	_, err = narrow.Update(context.Background(), row.Sealed, &named{ID: ayu.ID, Name: "x"}, care, "Name")
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	require.Equal(t, KeyNotGranted, last(t, cfg.Log).Reason)
	require.NotErrorIs(t, err, envelope.ErrOpen)
}

// TestAttackFlippedRow turns over bits all through a row that is wholly
// permitted: nothing comes out, and the log does not say that it did.
func TestAttackFlippedRow(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
	row := sealed(t, r, ayu)
	_, err := r.cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment, Research}, Sensitivity: []Label{"HIV"}})
	require.NoError(t, err)
	outcomes := map[string]int{}
	for i := 0; i < len(row.Sealed); i += 5 {
		bad := slices.Clone(row.Sealed)
		bad[i] ^= 0x10
		got, err := open(r, ayu.ID, bad, care)
		require.Error(t, err, i)
		require.Equal(t, person{ID: ayu.ID}, got, i)
		outcomes[last(t, r.cfg.Log).Outcome]++
	}
	require.Zero(t, outcomes["done"])
	require.NotZero(t, outcomes["failed"], "flipped in a field: found out after the decision")
	require.NotZero(t, outcomes["refused"], "flipped in a manifest: found out before")

	bad := slices.Clone(row.Sealed)
	bad[len(bad)-1] ^= 1
	_, err = r.Update(ctx, bad, &ayu, care, "Name")
	require.ErrorIs(t, err, envelope.ErrOpen)
	table, err := r.Export(ctx, func(yield func(*person, envelope.Sealed) bool) {
		_ = yield(&person{ID: ayu.ID}, bad) && yield(&person{ID: ayu.ID}, row.Sealed)
	}, study)
	require.NoError(t, err)
	for cells, err := range table.Rows() {
		if err != nil {
			require.ErrorIs(t, err, envelope.ErrOpen)
			require.Nil(t, cells)
		}
	}
}

// TestAttackLeafForms: leaves in a genuine tree that no log writes.
func TestAttackLeafForms(t *testing.T) {
	ctx := context.Background()
	leaf := func(t *testing.T, l *Log, version uint32, plain []byte, pad func([]byte) []byte) []byte {
		ks, err := l.ring.Keyset(ctx, evidence.TreeKeyset)
		require.NoError(t, err)
		aead, err := ks.Sealer(ks.Primary(), labelLogSeal)
		require.NoError(t, err)
		sum, opening := commit(labelLogCommit, plain)
		head := append(binary.BigEndian.AppendUint32([]byte{leafFormat}, version), sum[:]...)
		return secret.SealRandom(aead, head, pad(opening), l.bound(nil, head))
	}
	good, err := encode(&logBody{Action: "a", Outcome: "done"})
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		make func(*testing.T, *Log) []byte
		want error
	}{
		"as the log writes":  {func(t *testing.T, l *Log) []byte { return leaf(t, l, 1, good, evidence.Pad) }, nil},
		"empty":              {func(*testing.T, *Log) []byte { return nil }, ErrTampered},
		"no version":         {func(*testing.T, *Log) []byte { return []byte{leafFormat, 0, 0} }, ErrTampered},
		"another format":     {func(*testing.T, *Log) []byte { return make([]byte, 99) }, ErrTampered},
		"an unknown version": {func(t *testing.T, l *Log) []byte { return leaf(t, l, 9, good, evidence.Pad) }, keyring.ErrUnknownVersion},
		"no seal":            {func(*testing.T, *Log) []byte { return append([]byte{leafFormat, 0, 0, 0, 1}, make([]byte, 32)...) }, ErrTampered},
		"no padding":         {func(t *testing.T, l *Log) []byte { return leaf(t, l, 1, good, slices.Clone[[]byte]) }, ErrTampered},
		"no entry":           {func(t *testing.T, l *Log) []byte { return leaf(t, l, 1, []byte{0x80}, evidence.Pad) }, ErrTampered},
		"an entry and more":  {func(t *testing.T, l *Log) []byte { return leaf(t, l, 1, append(slices.Clone(good), 0), evidence.Pad) }, ErrTampered},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := memoryConfig(t)
			require.NoError(t, cfg.Log.tree().Append(ctx, tt.make(t, cfg.Log)))
			_, err := cfg.Log.Verify(ctx)
			require.ErrorIs(t, err, tt.want)
			_, err = NewRecords[visit]("visit", cfg)
			require.ErrorIs(t, err, tt.want, "the newest entry is read at the start")
		})
	}
}
