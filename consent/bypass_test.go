package consent

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

// reveals are the exported methods that give plaintext. Each needs its entry in
// the log first; a method that is not here must give none at all.
var reveals = []string{"Records.Open", "Records.OpenAll", "Table.Rows", "Table.WriteCSV"}

// needles are what nobody may see who has no entry in the log.
var needles = []string{ayu.NIK, ayu.Name, *ayu.Phone, ayu.Diagnosis[0], ayu.Serology, ayu.Family, ayu.Notes}

// surface is a whole deployment, and what its exported methods are called with.
type surface struct {
	cfg   *Config
	log   *sql.DB
	roots []any
	args  map[reflect.Type]func(n int) any // by parameter type; n counts those of one type in a call
}

func newSurface(t *testing.T) *surface {
	t.Helper()
	ctx := context.Background()
	cfg, _, log := apart(t)
	r := people(t, cfg)
	inbox, to, app := intakeClinic(t, cfg)
	branch := intakeOf[person](t, "person", to)
	row := sealed(t, r, ayu)
	id, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{AnyLabel}})
	require.NoError(t, err)
	require.NoError(t, cfg.AddRecipient(ctx, "ui-2026"))
	item, err := branch.Seal(&ayu, careTag)
	require.NoError(t, err)
	req := Request{Purpose: Treatment, Actor: "dr-ayu", Recipient: "ui-2026", Gate: study.Gate}
	rows := each([]stored{{ayu.ID, row.Sealed}})
	table, err := r.Export(ctx, rows, req)
	require.NoError(t, err)
	checkpoint, err := cfg.Log.Checkpoint(ctx)
	require.NoError(t, err)
	key, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "custodian"))
	require.NoError(t, err)
	s := &surface{cfg: cfg, log: log, roots: []any{r, branch, table, cfg, cfg.Ledger, cfg.Log, &cfg.Policy}}
	s.args = map[reflect.Type]func(int) any{
		reflect.TypeFor[context.Context](): func(int) any {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			t.Cleanup(cancel)
			return ctx
		},
		reflect.TypeFor[string]():                              func(n int) any { return []string{ayu.ID, id, "clerk"}[min(n, 2)] },
		reflect.TypeFor[*person]():                             func(n int) any { return &person{ID: []string{ayu.ID, "p-other"}[min(n, 1)]} },
		reflect.TypeFor[[]*person]():                           func(int) any { return []*person{{ID: ayu.ID}} },
		reflect.TypeFor[envelope.Sealed]():                     func(int) any { return row.Sealed },
		reflect.TypeFor[iter.Seq2[*person, envelope.Sealed]](): func(int) any { return rows },
		reflect.TypeFor[Request]():                             func(int) any { return req },
		reflect.TypeFor[Tag]():                                 func(int) any { return careTag },
		reflect.TypeFor[Consent]():                             func(int) any { return Consent{Subject: ayu.ID, Purposes: []Purpose{Payment}} },
		reflect.TypeFor[[]Consent]():                           func(int) any { return []Consent{} },
		reflect.TypeFor[*sql.Tx](): func(int) any {
			tx, err := app.Begin()
			require.NoError(t, err)
			t.Cleanup(func() { _ = tx.Rollback() })
			return tx
		},
		reflect.TypeFor[*envelope.Inbox]():       func(int) any { return inbox },
		reflect.TypeFor[envelope.Item]():         func(int) any { return item },
		reflect.TypeFor[[]byte]():                func(int) any { return checkpoint },
		reflect.TypeFor[io.Writer]():             func(int) any { return new(bytes.Buffer) },
		reflect.TypeFor[keyring.Retention]():     func(int) any { return untilNextYear() },
		reflect.TypeFor[*keyring.CustodianKey](): func(int) any { return key },
		reflect.TypeFor[iter.Seq[string]]():      func(int) any { return slices.Values([]string{ayu.ID}) },
		reflect.TypeFor[time.Time]():             func(int) any { return noon },
	}
	return s
}

// call calls a method and returns all that it gave: in its results, in what its
// arguments point to, and in what its sequences yield.
func (s *surface) call(name string, m reflect.Value) (given string) {
	defer func() {
		if p := recover(); p != nil {
			given += fmt.Sprint(p) // of a zero argument, say
		}
	}()
	t := m.Type()
	seen := map[reflect.Type]int{}
	args := make([]reflect.Value, t.NumIn())
	for i := range args {
		in := t.In(i)
		if t.IsVariadic() && i == len(args)-1 {
			in = in.Elem()
		}
		args[i] = reflect.Zero(in)
		if make := s.args[in]; make != nil {
			args[i] = reflect.ValueOf(make(seen[in])).Convert(in)
		}
		seen[in]++
	}
	if name == "Records.Lookup" {
		args[1], args[2] = reflect.ValueOf("NIK"), reflect.ValueOf(ayu.NIK)
	}
	if t.IsVariadic() {
		args[len(args)-1] = reflect.ValueOf("Name") // Update's
	}
	out := m.Call(args)
	var b strings.Builder
	args = slices.DeleteFunc(args, func(v reflect.Value) bool { return v.Kind() == reflect.String }) // what the caller wrote is no news
	for _, v := range slices.Concat(out, args) {
		s.write(&b, v)
	}
	return b.String()
}

// write writes all that a holder of v can reach by exported means.
func (s *surface) write(b *strings.Builder, v reflect.Value) {
	switch {
	case !v.IsValid() || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface || v.Kind() == reflect.Func) && v.IsNil():
		return
	case v.Kind() == reflect.Func:
		if v.Type().NumIn() != 1 || v.Type().In(0).Kind() != reflect.Func {
			return
		}
		yield := v.Type().In(0)
		v.Call([]reflect.Value{reflect.MakeFunc(yield, func(args []reflect.Value) []reflect.Value {
			for _, a := range args {
				s.write(b, a)
			}
			return []reflect.Value{reflect.ValueOf(true)}
		})})
		return
	}
	switch x := v.Interface().(type) {
	case error:
		b.WriteString(x.Error())
		return
	case *bytes.Buffer:
		b.Write(x.Bytes())
		return
	}
	fmt.Fprintf(b, "%+v ", v.Interface())
	if j, err := json.Marshal(v.Interface()); err == nil {
		b.Write(j)
	}
}

func plaintext(s string) bool {
	return slices.ContainsFunc(needles, func(n string) bool { return strings.Contains(s, n) })
}

// methods calls f with every exported method of what s consists of.
func (s *surface) methods(f func(name string, m reflect.Value)) {
	for _, root := range s.roots {
		v := reflect.ValueOf(root)
		for i := range v.NumMethod() {
			typ, _, _ := strings.Cut(v.Type().Elem().Name(), "[")
			f(typ+"."+v.Type().Method(i).Name, v.Method(i))
		}
	}
}

// one calls only the named method, on a surface of its own.
func one(t *testing.T, name string, before func(*surface)) (s *surface, given string) {
	t.Helper()
	s = newSurface(t)
	if before != nil {
		before(s)
	}
	s.methods(func(n string, m reflect.Value) {
		if n == name {
			given = s.call(n, m)
		}
	})
	return s, given
}

// TestBypass calls every exported method: one that gives plaintext has its entry
// in the log before, in the file; and where the log's disk is full, or another
// holds it locked, none gives any.
func TestBypass(t *testing.T) {
	var all []string
	newSurface(t).methods(func(name string, _ reflect.Value) { all = append(all, name) })
	require.Greater(t, len(all), 30)
	for _, name := range all {
		t.Run(name, func(t *testing.T) {
			before := 0
			s, given := one(t, name, func(s *surface) { before = len(entries(t, s.cfg.Log)) })
			require.Equal(t, slices.Contains(reveals, name), plaintext(given), "gives plaintext")
			if plaintext(given) {
				e := last(t, s.cfg.Log)
				require.Greater(t, len(entries(t, s.cfg.Log)), before)
				require.Equal(t, "dr-ayu", e.Actor)
				require.Subset(t, e.Fields, []string{"Diagnosis"})
			}
			_, given = one(t, name, func(s *surface) { stick(t, s.log, "consent_log") })
			require.False(t, plaintext(given), "with a full disk")
			if slices.Contains(reveals, name) {
				require.Contains(t, given, ErrAudit.Error())
			}
		})
	}
	for _, name := range reveals {
		require.Contains(t, all, name)
		t.Run("slow/"+name, func(t *testing.T) {
			_, given := one(t, name, func(s *surface) {
				tx, err := s.log.Begin() // takes the write lock
				require.NoError(t, err)
				t.Cleanup(func() { _ = tx.Rollback() })
				ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
				t.Cleanup(cancel)
				s.args[reflect.TypeFor[context.Context]()] = func(int) any { return ctx }
				rows := s.args[reflect.TypeFor[iter.Seq2[*person, envelope.Sealed]]()](0).(iter.Seq2[*person, envelope.Sealed])
				s.roots[2], err = s.roots[0].(*Records[person]).Export(ctx, rows, s.args[reflect.TypeFor[Request]()](0).(Request))
				require.NoError(t, err)
			})
			require.False(t, plaintext(given))
		})
	}
}

// TestBypassRollback: the entry of what Accept took in outlives the caller's transaction.
func TestBypassRollback(t *testing.T) {
	cfg := memoryConfig(t)
	r := people(t, cfg)
	inbox, to, db := intakeClinic(t, cfg)
	item, err := intakeOf[person](t, "person", to).Seal(&ayu, careTag)
	require.NoError(t, err)
	rolledBack(t, r, db, inbox, item)
	require.Equal(t, "accept", lastOf(t, cfg, ayu.ID).Action)
}
