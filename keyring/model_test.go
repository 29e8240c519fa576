package keyring_test

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "the seed of the first sequence of TestRestoreModel; 0: by the clock")
	modelCount = flag.Int("model.count", 250, "how many sequences TestRestoreModel runs")
)

// The model's subjects and compartments.
var (
	modelSubjects     = []string{alice, budi}
	modelCompartments = []string{"clinical", "identity"}
)

// held is what one row's keys are, wherever they are: in the row, or in the
// custodian's package.
type held struct {
	generation    uint32
	newest, older string
}

// place is one row of the model.
type place struct{ subject, compartment string }

// saved is a copy of the store, and what can be had from it.
type saved struct {
	store keyring.Store
	held  map[place]held
	loose map[string]bool
}

// model drives one world at random, and knows what must be true of it.
type model struct {
	*world
	t         *testing.T
	rng       *rand.Rand
	custodian *keyring.CustodianKey
	held      map[place]held
	ended     map[place]uint32 // the generation whose older one EndRekey took out of service
	loose     map[string]bool  // who may have a row with a key beside stubs and another package
	copies    []saved
	trail     []string
	tags      map[string]string // of erasures and rows, in hex, to subject and place
	ring      *keyring.Ring
}

func newModel(t *testing.T, seed uint64, custodian *keyring.CustodianKey) *model {
	m := &model{
		world: newWorld(t, modelCompartments...), t: t, rng: rand.New(rand.NewPCG(seed, 0)), custodian: custodian,
		held: map[place]held{}, loose: map[string]bool{}, ended: map[place]uint32{}, tags: map[string]string{},
	}
	m.Config.Custodian = custodian.Custodian()
	for _, s := range modelSubjects {
		tag := m.world.ring.ErasureTagOf(s)
		m.tags[hex.EncodeToString(tag[:])] = s
	}
	m.ring = m.open(t)
	return m
}

// told is what the journal says, read by the test itself.
type told struct {
	erased, retained map[string]bool
	named            map[keyring.Tag]bool // rows of those who are retained
	newest, floor    map[keyring.Tag]uint32
}

func (m *model) told() told {
	j := told{map[string]bool{}, map[string]bool{}, map[keyring.Tag]bool{}, map[keyring.Tag]uint32{}, map[keyring.Tag]uint32{}}
	for line := range strings.Lines(m.text(m.t)) {
		f := strings.Fields(line)
		switch who := m.tags[f[5]]; f[4] {
		case "shred":
			j.erased[who] = true
			delete(j.retained, who)
		case "retain":
			j.retained[who] = true
			for _, wipe := range f[9 : len(f)-1] {
				_, tag, _ := strings.Cut(wipe, ":")
				b, err := hex.DecodeString(tag)
				require.NoError(m.t, err)
				j.named[keyring.Tag(b)] = true
			}
		case "resume":
			delete(j.retained, who)
		case "rekey":
			for _, span := range f[6 : len(f)-1] {
				p := strings.Split(span, ":")
				tag, err := hex.DecodeString(p[1])
				require.NoError(m.t, err)
				newest, _ := strconv.ParseUint(p[2], 10, 32)
				floor, _ := strconv.ParseUint(p[3], 10, 32)
				j.newest[keyring.Tag(tag)], j.floor[keyring.Tag(tag)] = uint32(newest), uint32(floor)
			}
		}
	}
	return j
}

// keysOf returns what a served key is, its older generation too.
func keysOf(t *testing.T, k *keyring.SubjectKey) held {
	h := held{k.Generation(), token(t, k), ""}
	if a, err := k.Record(k.Generation() - 1); err == nil {
		h.older = sealed(a)
	} else {
		requireError(t, err, keyring.ErrUnknownGeneration)
	}
	return h
}

// check compares every subject, as r serves it, with the model. With learn, the
// subject of what was just done may have a new key or a new generation.
func (m *model) check(r *keyring.Ring, learn string) {
	m.t.Helper()
	j, rows := m.told(), keyring.Rows(m.Store)
	for _, s := range modelSubjects {
		for _, c := range modelCompartments {
			at := place{s, c}
			tag := r.TagOf(c, s)
			row, there := rows[tag]
			keys, err := r.Subject(m.t.Context(), s, c)
			switch {
			case j.erased[s]:
				requireError(m.t, err, keyring.ErrShredded)
				continue
			case j.retained[s]:
				requireError(m.t, err, keyring.ErrRetained)
				continue
			case !there:
				requireError(m.t, err, keyring.ErrNoSubjectKey)
				continue
			case row.State == keyring.Destroyed: // by an entry that was lost with a journal
				requireError(m.t, err, keyring.ErrJournalLost)
				continue
			case row.State == keyring.Retained, row.Generation < j.newest[tag]:
				requireError(m.t, err, keyring.ErrRolledBack)
				continue
			}
			require.NoError(m.t, err)
			now, was := keysOf(m.t, keys[0]), m.held[at]
			if now != was && s == learn {
				made := was == held{}
				rekeyed := now.generation == was.generation+1 && now.older == was.newest
				if made || rekeyed {
					m.held[at] = now
					continue
				}
			}
			m.requireHeld(j, tag, at, now)
		}
	}
}

// requireHeld compares what is served with what there was. After EndRekey the
// older generation is not served, and once it was journalled it may be gone.
func (m *model) requireHeld(j told, tag keyring.Tag, at place, now held) {
	was := m.held[at]
	if was.older != "" && j.floor[tag] == was.generation {
		m.ended[at] = was.generation
		require.Empty(m.t, now.older, "%v: below the floor", at)
	}
	if now.older == "" && m.ended[at] == was.generation {
		was.older = ""
	}
	require.Equal(m.t, was, now, "%v", at)
}

// checkRecovery brings back, in a copy, every retained subject by the custodian's
// key, and compares.
func (m *model) checkRecovery() {
	m.t.Helper()
	v := &world{medium: &journal.Memory{}}
	v.Config = m.Config
	v.Store, v.Journal = keyring.Backup(m.Store), keyring.NewJournal(v.medium)
	v.rewrite(m.t, m.text(m.t))
	r := v.open(m.t)
	defer r.Close()
	j, rows := m.told(), keyring.Rows(v.Store)
	for _, s := range modelSubjects {
		stubs, stale, any, gone := false, false, false, false
		for _, c := range modelCompartments {
			tag := r.TagOf(c, s)
			row, there := rows[tag]
			any = any || there
			gone = gone || there && row.State == keyring.Destroyed // by an entry that was lost with a journal
			stubs = stubs || there && row.State == keyring.Retained
			stale = stale || there && m.held[place{s, c}].generation < j.newest[tag]
		}
		if j.erased[s] || gone || !any || !j.retained[s] && !stubs {
			continue
		}
		err := r.EndRetention(m.t.Context(), s, m.custodian)
		if stale {
			requireError(m.t, err, keyring.ErrRolledBack)
			continue
		}
		if m.apart(j, rows, s) {
			requireError(m.t, err, keyring.ErrCorrupt)
			continue
		}
		require.NoError(m.t, err)
		for _, c := range modelCompartments {
			if _, there := rows[r.TagOf(c, s)]; !there {
				continue
			}
			keys, err := r.Subject(m.t.Context(), s, c)
			require.NoError(m.t, err)
			m.requireHeld(j, r.TagOf(c, s), place{s, c}, keysOf(m.t, keys[0]))
		}
	}
}

// checkAtRest: nothing that is erased or retained has a key in its row, but what
// the entry does not know of.
func (m *model) checkAtRest() {
	j := m.told()
	for _, s := range modelSubjects {
		for _, c := range modelCompartments {
			tag := m.ring.TagOf(c, s)
			row, there := keyring.Rows(m.Store)[tag]
			if there && (j.erased[s] || j.retained[s] && j.named[tag] && !m.loose[s] && !m.behind(j, s)) {
				require.NotEqual(m.t, keyring.Active, row.State, "%s in %s", s, c)
			}
		}
		if row, there := keyring.Rows(m.Store)[m.ring.CustodyTagOf(s)]; there && j.erased[s] {
			require.Equal(m.t, keyring.Destroyed, row.State, "the package of %s", s)
		}
	}
}

// behind reports whether a row of s is from before a rekeying, beside a package
// that may have the newer key: both stay as they are then, and serve nobody.
func (m *model) behind(j told, s string) bool {
	rows := keyring.Rows(m.Store)
	_, other := rows[m.ring.CustodyTagOf(s)]
	return other && slices.ContainsFunc(modelCompartments, func(c string) bool {
		row, there := rows[m.ring.TagOf(c, s)]
		return there && row.State == keyring.Active && row.Generation < j.newest[row.Tag]
	})
}

// do does one verb of a subject, by a process that may die at some call.
func (m *model) do(verb, s string, crash bool) {
	ctx := m.t.Context()
	r := m.ring
	if crash {
		cfg := m.Config
		after := m.rng.IntN(2) == 0
		if m.rng.IntN(4) == 0 {
			cfg.Journal = keyring.NewJournal(&faultyJournal{Memory: m.medium, at: 1, after: after})
		} else {
			cfg.Store = &faultyStore{Store: m.Store, at: int32(3 + m.rng.IntN(9)), after: after}
		}
		var err error
		if r, err = keyring.Open(ctx, cfg); err != nil {
			requireError(m.t, err, errStore)
			return
		}
		defer r.Close()
	}
	var err error
	switch verb {
	case "create":
		names := modelCompartments[:1+m.rng.IntN(2)]
		_, err = r.CreateSubject(ctx, s, names...)
	case "retain":
		_, err = r.Retain(ctx, s, keyring.Retention{Until: time.Now().Add(time.Duration(1+m.rng.IntN(5)) * time.Hour), Basis: "Permenkes 24/2022"})
	case "end":
		err = r.EndRetention(ctx, s, m.custodian)
	case "rekey":
		err = r.Rekey(ctx, s)
	case "endrekey":
		time.Sleep(61 * time.Second)
		err = r.EndRekey(ctx, s)
	case "shred":
		_, err = r.ShredRetained(ctx, s, "a court")
	case "rotate":
		_, err = r.Rotate(ctx, modelCompartments[m.rng.IntN(2)])
	case "rewrap":
		_, err = r.Rewrap(ctx, keyring.Rewrapping{})
	}
	if err == nil {
		return
	}
	// Never ErrCorrupt but where a restored store has lost the package with the rows.
	ok := errors.Is(err, errStore) && crash
	for _, e := range []error{keyring.ErrShredded, keyring.ErrRetained, keyring.ErrState, keyring.ErrNoSubjectKey, keyring.ErrRolledBack} {
		ok = ok || errors.Is(err, e)
	}
	ok = ok || verb == "end" && errors.Is(err, keyring.ErrCorrupt) && strings.Contains(err.Error(), "gone") && (m.empty(s) || m.apart(m.told(), keyring.Rows(m.Store), s))
	ok = ok || errors.Is(err, keyring.ErrJournalLost) && m.buried(s) // by an entry that was lost with a journal
	require.True(m.t, ok, "%s: %v", verb, err)
	m.trail = append(m.trail, "("+err.Error()+")")
}

// buried reports whether the store has a tombstone of s.
func (m *model) buried(s string) bool {
	return slices.ContainsFunc(modelCompartments, func(c string) bool {
		return keyring.Rows(m.Store)[m.ring.TagOf(c, s)].State == keyring.Destroyed
	})
}

// apart reports whether the store has no package of s, and none of the rows by which
// the journal retains s: a row was put back when the journal was lost, so the new one
// does not name it, and the store is a copy from before the others. What it holds is
// not lost, and serves nobody.
func (m *model) apart(j told, rows map[keyring.Tag]keyring.KeyRecord, s string) bool {
	_, sealed := rows[m.ring.CustodyTagOf(s)]
	return !sealed && !slices.ContainsFunc(modelCompartments, func(c string) bool {
		tag := m.ring.TagOf(c, s)
		_, there := rows[tag]
		return there && j.named[tag]
	})
}

// empty reports whether the store has no row of s.
func (m *model) empty(s string) bool {
	return !slices.ContainsFunc(modelCompartments, func(c string) bool {
		_, there := keyring.Rows(m.Store)[m.ring.TagOf(c, s)]
		return there
	})
}

func (m *model) save() {
	m.copies = append(m.copies, saved{keyring.Backup(m.Store), maps.Clone(m.held), maps.Clone(m.loose)})
}

// restore puts a copy of the store in its place, and replays. If the copy lacks
// a keyset's revision, the journal is given up, or the copy.
func (m *model) restore(from saved) {
	now := saved{keyring.Backup(m.Store), m.held, m.loose}
	text := m.text(m.t)
	keyring.PutBack(m.Store, from.store)
	m.held, m.loose = maps.Clone(from.held), maps.Clone(from.loose)
	if m.rng.IntN(4) == 0 { // without a custodian nothing is lost either
		cfg := m.Config
		cfg.Custodian = keyring.Custodian{}
		if err := keyring.Replay(m.t.Context(), cfg); err != nil && !errors.Is(err, keyring.ErrRolledBack) && !errors.Is(err, keyring.ErrJournalLost) {
			requireError(m.t, err, keyring.ErrEmpty)
		}
	}
	err := keyring.Replay(m.t.Context(), m.Config)
	if err == nil {
		m.checkAtRest()
		return
	}
	if m.rng.IntN(2) == 0 && errors.Is(err, keyring.ErrRolledBack) {
		m.trail = append(m.trail, "(back)")
		keyring.PutBack(m.Store, now.store)
		m.held, m.loose = now.held, now.loose
		require.Equal(m.t, text, m.text(m.t))
		return
	}
	if !errors.Is(err, keyring.ErrJournalLost) { // of a copy that belongs to a journal that was lost
		requireError(m.t, err, keyring.ErrRolledBack)
		m.checkAtRest()
	}
	m.lose()
}

// lose loses the journal, or its end, and makes one anew. Whoever is out of
// service in the store stays so.
func (m *model) lose() {
	m.trail = append(m.trail, "(lose)")
	shut := map[string]keyring.State{}
	for _, s := range modelSubjects {
		for _, c := range modelCompartments {
			if row, there := keyring.Rows(m.Store)[m.ring.TagOf(c, s)]; there && row.State > shut[s] {
				shut[s] = row.State
			}
		}
	}
	if lines := strings.SplitAfter(m.text(m.t), "\n"); m.rng.IntN(2) == 0 {
		m.rewrite(m.t, "")
	} else {
		m.rewrite(m.t, strings.Join(lines[:m.rng.IntN(len(lines))], ""))
	}
	switch err := keyring.Reseed(m.t.Context(), m.Config); {
	case err == nil:
	case errors.Is(err, keyring.ErrExists) && len(shut) == 0: // the store is level with what is left
	case errors.Is(err, keyring.ErrExists): // and has tombstones or stubs that Replay wrote ahead
		m.rewrite(m.t, "")
		require.NoError(m.t, keyring.Reseed(m.t.Context(), m.Config))
	default:
		requireError(m.t, err, keyring.ErrRolledBack) // older than what is left
		m.rewrite(m.t, "")
		require.NoError(m.t, keyring.Reseed(m.t.Context(), m.Config))
	}
	// A key beside a package stays: the journal that is left does not say which is newer.
	for _, s := range modelSubjects {
		_, sealed := keyring.Rows(m.Store)[m.ring.CustodyTagOf(s)]
		m.loose[s] = m.loose[s] || sealed
	}
	require.NoError(m.t, keyring.Replay(m.t.Context(), m.Config))
	m.checkAtRest()
	j := m.told()
	for s, state := range shut {
		switch state {
		case keyring.Destroyed:
			require.True(m.t, j.erased[s])
		case keyring.Retained:
			require.True(m.t, j.erased[s] || j.retained[s])
		}
	}
}

// rowBack puts one row with a key back in the place of its stub.
func (m *model) rowBack() {
	from := m.copies[m.rng.IntN(len(m.copies))]
	at := place{modelSubjects[m.rng.IntN(2)], modelCompartments[m.rng.IntN(2)]}
	tag := m.ring.TagOf(at.compartment, at.subject)
	old, was := keyring.Rows(from.store)[tag]
	now, is := keyring.Rows(m.Store)[tag]
	if was && is && old.State == keyring.Active && now.State == keyring.Retained && from.held[at] == m.held[at] {
		keyring.Rows(m.Store)[tag] = old
		m.loose[at.subject] = true
		m.trail = append(m.trail, fmt.Sprint("(", at, ")"))
	}
}

// step does one thing at random.
func (m *model) step() {
	verbs := []string{"create", "create", "retain", "retain", "end", "end", "rekey", "endrekey", "rewrap", "save", "save", "restore", "restore", "row", "row"}
	switch m.rng.IntN(48) {
	case 0:
		verbs = []string{"shred"}
	case 1:
		verbs = []string{"rotate"}
	case 2, 3:
		verbs = []string{"lose"}
	}
	verb, s := verbs[m.rng.IntN(len(verbs))], modelSubjects[m.rng.IntN(4)/3] // one of them more often
	crash, copied := m.rng.IntN(3) == 0, false
	m.trail = append(m.trail, fmt.Sprint(verb, " ", s, " ", crash))
	switch verb {
	case "save":
		m.save()
	case "restore":
		if len(m.copies) > 0 {
			m.restore(m.copies[m.rng.IntN(len(m.copies))])
		}
	case "lose":
		m.lose()
	case "row":
		if len(m.copies) > 0 {
			m.rowBack()
		}
	default:
		m.do(verb, s, crash)
		if copied = m.rng.IntN(4) == 0; copied {
			m.save() // as it is after a crash
			m.trail = append(m.trail, "(save)")
		}
	}
	if verb == "save" {
		return
	}
	_ = m.ring.Close()
	m.ring = m.open(m.t)
	m.check(m.ring, s)
	if copied {
		m.copies[len(m.copies)-1].held = maps.Clone(m.held) // what the check learned
	}
	m.checkRecovery()
}

// Whatever comes in whatever order (creation, retention, rekeying, erasure, a
// crash at any call, a store restored, a row put back, a journal lost): nobody
// gets a key of a subject who was erased or is retained, everybody gets the keys
// that there were, and the custodian can bring back each retained one.
func TestRestoreModel(t *testing.T) {
	custodian, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "custodian"))
	require.NoError(t, err)
	first := *modelSeed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	count := *modelCount
	if testing.Short() {
		count /= 5
	}
	seeds := []uint64{1005562, 2000390, 1795359537693022559} // that once failed
	for i := range count {
		seeds = append(seeds, first+uint64(i))
	}
	for _, seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			m := newModel(t, seed, custodian)
			defer func() {
				if t.Failed() {
					t.Logf("go test ./keyring -run TestRestoreModel -model.seed=%d -model.count=1\n%s", seed, strings.Join(m.trail, "\n"))
				}
			}()
			if m.rng.IntN(8) > 0 { // so that the first steps do not all fail
				for _, s := range modelSubjects {
					m.do("create", s, false)
					m.check(m.ring, s)
				}
				m.save()
			}
			for range 16 {
				m.step()
			}
			_ = m.ring.Close()
		})
		if t.Failed() {
			return
		}
	}
}
