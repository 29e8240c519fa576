package envelope

import (
	"bytes"
	"context"
	"crypto/hpke"
	"database/sql"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
)

func newInbox(t testing.TB, name string, ring *keyring.Ring) *Inbox {
	t.Helper()
	inbox, err := NewInbox(name, ring)
	require.NoError(t, err)
	return inbox
}

// enrol returns a sender's intake, by way of its file.
func enrol(t testing.TB, inbox *Inbox, sender string) *Intake {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credential")
	require.NoError(t, inbox.Enrol(context.Background(), sender, path))
	intake, err := OpenIntake(path)
	require.NoError(t, err)
	return intake
}

func sealItem(t testing.TB, intake *Intake, subject, payload string) Item {
	t.Helper()
	i, err := intake.Seal(subject, []byte(payload))
	require.NoError(t, err)
	return i
}

func TestInbox(t *testing.T) {
	ctx := context.Background()
	inbox := newInbox(t, "branches", newRing(t, "r", "inbox/branches"))
	intake := enrol(t, inbox, "solo-1")
	require.Equal(t, "solo-1", intake.Sender())
	ids := map[[32]byte]bool{}
	// Around the ends of chunks, where the last one is empty or nearly so.
	for _, n := range []int{0, 1, 40, 41, chunked.Size - 3000, chunked.Size - 16 - 4, chunked.Size - 4, chunked.Size, 2*chunked.Size - 20, 1 << 20} {
		payload := bytes.Repeat([]byte{0}, n)
		i, err := intake.Seal("p1", payload)
		require.NoError(t, err)
		require.Equal(t, cap(i), len(i), "the size is known before")
		require.NoError(t, checkItem(i))
		got, err := inbox.Open(ctx, i)
		require.NoError(t, err)
		require.False(t, ids[got.ID])
		ids[got.ID] = true
		require.NotNil(t, got.Payload)
		require.Equal(t, Received{Inbox: "branches", Version: 1, Sender: "solo-1", Subject: "p1", ID: got.ID, Payload: payload}, got)
	}
	require.Len(t, sealItem(t, intake, "p1", ""), 1216+len("solo-1")+64, "the overhead that SPEC names")
	again := sealItem(t, intake, "p1", "")
	one, err := inbox.Open(ctx, again)
	require.NoError(t, err)
	two, err := inbox.Open(ctx, again)
	require.NoError(t, err)
	require.Equal(t, one, two, "one id an item")
}

func TestInboxSlices(t *testing.T) {
	ctx := context.Background()
	inbox := newInbox(t, "branches", newRing(t, "r", "inbox/branches"))
	room := bytes.Repeat([]byte{7}, 200)
	i, err := enrol(t, inbox, "s").Seal("p1", room[:20])
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{7}, 200), room)
	space := append(bytes.Clone(i), bytes.Repeat([]byte{9}, 100)...)
	got, err := inbox.Open(ctx, space[:len(i)])
	require.NoError(t, err)
	require.Equal(t, append(bytes.Clone(i), bytes.Repeat([]byte{9}, 100)...), space)
	clear(space)
	clear(room)
	require.Equal(t, bytes.Repeat([]byte{7}, 20), got.Payload)
	require.Equal(t, "s", got.Sender)
}

func TestInboxRefusals(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", "inbox/branches")
	inbox := newInbox(t, "branches", ring)
	_, err := NewInbox("branches", nil)
	require.ErrorIs(t, err, ErrEmpty)
	_, err = NewInbox("", ring)
	require.ErrorIs(t, err, ErrEmpty)
	_, err = NewInbox(strings.Repeat("x", 123), ring)
	require.ErrorIs(t, err, ErrLimit)

	path := filepath.Join(t.TempDir(), "c")
	for _, sender := range []string{"", "a b", "a/b", "ä", "a\n", strings.Repeat("x", 65), "a@b", "a[b", "a\x7f"} {
		require.ErrorIs(t, inbox.Enrol(ctx, sender, path), keyring.ErrName, sender)
	}
	require.NoFileExists(t, path)
	require.ErrorIs(t, newInbox(t, "none", ring).Enrol(ctx, "s", path), keyring.ErrNoKeyset)
	require.ErrorIs(t, newInbox(t, "branches", ring.Only()).Enrol(ctx, "s", path), keyring.ErrNotGranted)
	require.NoFileExists(t, path)
	require.ErrorIs(t, inbox.Enrol(ctx, "s", filepath.Join(path, "none")), os.ErrNotExist)
	require.NoError(t, inbox.Enrol(ctx, strings.Repeat("x", 64), path))
	require.ErrorIs(t, inbox.Enrol(ctx, "s", path), keyring.ErrExists)

	intake, err := OpenIntake(path)
	require.NoError(t, err)
	_, err = intake.Seal("", nil)
	require.ErrorIs(t, err, ErrEmpty)
	_, err = intake.Seal(strings.Repeat("s", 256), nil)
	require.ErrorIs(t, err, ErrLimit)
	_, err = intake.Seal("p1", make([]byte, maxPayload+1))
	require.ErrorIs(t, err, ErrLimit)
	i := sealItem(t, intake, strings.Repeat("s", 255), "x")
	_, err = inbox.Open(ctx, i)
	require.NoError(t, err)
	for name, want := range map[string]error{"none": keyring.ErrNoKeyset, "a b": keyring.ErrName} {
		_, err = newInbox(t, name, ring).Open(ctx, i)
		require.ErrorIs(t, err, want)
		require.NotErrorIs(t, err, ErrOpen)
	}
	require.NoError(t, ring.Close())
	_, err = inbox.Open(ctx, i)
	require.ErrorIs(t, err, keyring.ErrClosed)
	require.NotErrorIs(t, err, ErrOpen)
	sealItem(t, intake, "p1", "the sealing side needs no ring")
}

// TestInboxErasure: the sealing side cannot know; the opening side refuses.
func TestInboxErasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		a, b := processes(t, "r", "inbox/branches", "clinical")
		inbox, there := newInbox(t, "branches", a), newInbox(t, "branches", b.Only("inbox/branches"))
		intake := enrol(t, inbox, "s")
		for _, id := range []string{"erased", "kept"} {
			_, err := a.CreateSubject(ctx, id, "clinical")
			require.NoError(t, err)
		}
		_, err := a.Shred(ctx, "erased")
		require.NoError(t, err)
		_, err = a.Retain(ctx, "kept", keyring.Retention{Until: time.Now().Add(time.Hour), Basis: "a test"})
		require.NoError(t, err)
		erased, kept := sealItem(t, intake, "erased", "x"), sealItem(t, intake, "kept", "x")
		time.Sleep(5 * time.Second)
		for _, inbox := range []*Inbox{inbox, there} {
			got, err := inbox.Open(ctx, erased)
			require.ErrorIs(t, err, keyring.ErrShredded)
			require.NotErrorIs(t, err, ErrOpen)
			require.Zero(t, got)
			_, err = inbox.Open(ctx, kept)
			require.ErrorIs(t, err, keyring.ErrRetained)
		}
	})
}

// TestInboxRotation: old credentials seal until their version is destroyed, and
// are then refused; a rotation by another process is found at once.
func TestInboxRotation(t *testing.T) {
	ctx := context.Background()
	a, b := processes(t, "r", "inbox/branches")
	inbox, there := newInbox(t, "branches", a), newInbox(t, "branches", b)
	old := enrol(t, inbox, "s")
	_, err := there.Open(ctx, sealItem(t, old, "p1", "x"))
	require.NoError(t, err)
	_, err = a.Rotate(ctx, "inbox/branches")
	require.NoError(t, err)
	young := enrol(t, inbox, "s")
	got, err := there.Open(ctx, sealItem(t, young, "p1", "x"))
	require.NoError(t, err)
	require.EqualValues(t, 2, got.Version)
	late := sealItem(t, old, "p1", "in the queue")
	_, err = inbox.Open(ctx, late)
	require.NoError(t, err)
	require.NoError(t, a.SetState(ctx, "inbox/branches", 1, keyring.Suspended))
	_, err = inbox.Open(ctx, late)
	require.ErrorIs(t, err, ErrOpen)
	require.ErrorIs(t, err, keyring.ErrUnknownVersion)
	_, err = inbox.Open(ctx, sealItem(t, young, "p1", "x"))
	require.NoError(t, err)
	require.Len(t, inbox.keys().byVersion, 1, "the private key of the suspended version is forgotten")
}

func TestInboxForms(t *testing.T) {
	i := sealItem(t, enrol(t, newInbox(t, "branches", newRing(t, "r", "inbox/branches")), "s"), "p1", "x")
	testForms(t, i, &i)
}

// TestInboxTypes: nothing that an intake can do opens anything.
func TestInboxTypes(t *testing.T) {
	var methods []string
	for m := range reflect.TypeFor[*Intake]().Methods() {
		methods = append(methods, m.Name)
	}
	require.Equal(t, []string{"Format", "LogValue", "Seal", "Sender"}, methods)
	private := reflect.TypeFor[hpke.PrivateKey]()
	for field := range reflect.TypeFor[intake]().Fields() {
		require.False(t, field.Type.Implements(private), field.Name)
	}
}

// TestInboxConcurrent: one inbox, one intake, many goroutines, and a rotation.
func TestInboxConcurrent(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", "inbox/branches")
	inbox := newInbox(t, "branches", ring)
	intake := enrol(t, inbox, "s")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				i, err := intake.Seal("p1", []byte("x"))
				if err == nil {
					_, err = inbox.Open(ctx, i)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	_, err := ring.Rotate(ctx, "inbox/branches")
	require.NoError(t, err)
	wg.Wait()
}

// rejected requires that an item is refused as ErrOpen, and nothing released.
func rejected(t *testing.T, inbox *Inbox, i Item, what ...any) {
	t.Helper()
	got, err := inbox.Open(context.Background(), i)
	if !errors.Is(err, ErrOpen) || !reflect.ValueOf(got).IsZero() {
		t.Fatalf("%v: %v", what, err)
	}
}

func TestAttackItemBytes(t *testing.T) {
	inbox := newInbox(t, "branches", newRing(t, "r", "inbox/branches"))
	i := sealItem(t, enrol(t, inbox, "solo-1"), "p1", "payload")
	for at := range i {
		for bit := range 8 {
			bad := bytes.Clone(i)
			bad[at] ^= 1 << bit
			rejected(t, inbox, bad, "byte", at, "bit", bit)
		}
	}
	for at := range itemFixed + len("solo-1") {
		for x := 1; x < 256; x++ {
			bad := bytes.Clone(i)
			bad[at] ^= byte(x)
			rejected(t, inbox, bad, "byte", at, "xor", x)
		}
	}
	for n := range i {
		rejected(t, inbox, i[:n], "cut to", n)
	}
	for _, n := range []int{1, 16, 63, 64, 128, 1000} {
		rejected(t, inbox, append(bytes.Clone(i), make([]byte, n)...), "longer by", n)
	}
}

// TestAttackItemChunks: the chunks of a longer item, which the MAC does not
// cover themselves.
func TestAttackItemChunks(t *testing.T) {
	inbox := newInbox(t, "branches", newRing(t, "r", "inbox/branches"))
	intake := enrol(t, inbox, "s")
	i := sealItem(t, intake, "p1", strings.Repeat("x", 50_000))
	other := sealItem(t, intake, "p1", strings.Repeat("y", 50_000))
	require.Equal(t, len(i), len(other))
	const bodyStride = chunked.Size + chunked.Overhead
	start := itemFixed + 1 + inboxEnc + itemMAC + chunked.HeadSize
	for at := start; at < len(i); at += 61 {
		bad := bytes.Clone(i)
		bad[at] ^= 1
		rejected(t, inbox, bad, "byte", at)
	}
	for chunk := start; chunk < len(i); chunk += bodyStride {
		bad := bytes.Clone(i)
		copy(bad[chunk:], other[chunk:min(chunk+bodyStride, len(other))])
		rejected(t, inbox, bad, "chunk of another at", chunk)
		rejected(t, inbox, i[:chunk], "cut at", chunk)
	}
	swapped := bytes.Clone(i)
	copy(swapped[start:], i[start+bodyStride:start+2*bodyStride])
	copy(swapped[start+bodyStride:], i[start:start+bodyStride])
	rejected(t, inbox, swapped, "two chunks swapped")
	for _, n := range []int{start, start - chunked.HeadSize, start - chunked.HeadSize - itemMAC} {
		rejected(t, inbox, append(bytes.Clone(i[:n]), other[n:]...), "mixed at", n)
	}
}

// TestAttackSender: a sender can write as no other, nor take another's item over,
// whatever it knows.
func TestAttackSender(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", "inbox/branches", "inbox/vendors")
	inbox := newInbox(t, "branches", ring)
	good, evil := enrol(t, inbox, "good"), enrol(t, inbox, "evil")
	theirs := sealItem(t, good, "p1", "payload")

	as := *evil.state() // evil's keys, good's name
	as.sender = "good"
	forged, err := (&Intake{state: func() *intake { return &as }}).Seal("p1", []byte("x"))
	require.NoError(t, err)
	rejected(t, inbox, forged, "in another's name")

	var p itemParts
	require.NoError(t, p.parse(theirs))
	taken := bytes.Clone(theirs)
	copy(taken[itemFixed:], "evil")
	place := evil.state().itemPlace
	mac := place.mac(evil.state().mac, taken[:len(p.head)], p.body)
	copy(taken[len(p.head):], mac[:])
	require.NoError(t, checkItem(taken))
	rejected(t, inbox, taken, "another's item as one's own")

	mine := sealItem(t, evil, "p2", "other") // another's encapsulation, one's own body
	copy(mine[itemFixed+4:len(p.head)], p.enc)
	require.NoError(t, p.parse(mine))
	mac = place.mac(evil.state().mac, p.head, p.body)
	copy(mine[len(p.head):], mac[:])
	rejected(t, inbox, mine, "another's encapsulation")

	anyone := *good.state() // who has only the public key
	anyone.mac, err = secret.NewMAC(secret.Random())
	require.NoError(t, err)
	forged, err = (&Intake{state: func() *intake { return &anyone }}).Seal("p1", nil)
	require.NoError(t, err)
	rejected(t, inbox, forged, "without a credential")

	_, err = inbox.Open(ctx, theirs)
	require.NoError(t, err)
}

// TestAttackItemPlace: an item opens in its inbox and ring alone, and under its
// version.
func TestAttackItemPlace(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", "inbox/branches", "inbox/vendors")
	inbox := newInbox(t, "branches", ring)
	intake := enrol(t, inbox, "s")
	i := sealItem(t, intake, "p1", "payload")
	rejected(t, newInbox(t, "vendors", ring), i, "another inbox")
	rejected(t, newInbox(t, "branches", newRing(t, "r", "inbox/branches")), i, "another ring of the same id")

	ks, err := ring.Keyset(ctx, "inbox/branches")
	require.NoError(t, err)
	var p itemParts
	require.NoError(t, p.parse(i))
	opens := func(change func(*itemPlace), remac bool) bool {
		place := itemPlace{"r", "branches", "s", 1}
		change(&place)
		q := p
		if remac { // as if the MAC bound nothing: what else does
			key, err := ks.Derive(place.version, inboxSenderLabel, place.inbox, place.sender)
			require.NoError(t, err)
			mac, err := secret.NewMAC(key)
			require.NoError(t, err)
			q.mac = place.mac(mac, p.head, p.body)
		}
		_, err := inbox.open(ks, &place, &q)
		if err != nil {
			require.ErrorIs(t, err, ErrOpen)
		}
		return err == nil
	}
	require.True(t, opens(func(*itemPlace) {}, false))
	require.True(t, opens(func(*itemPlace) {}, true))
	_, err = ring.Rotate(ctx, "inbox/branches")
	require.NoError(t, err)
	ks, err = ring.Keyset(ctx, "inbox/branches")
	require.NoError(t, err)
	for name, change := range map[string]func(*itemPlace){
		"ring": func(p *itemPlace) { p.ring = "r2" }, "inbox": func(p *itemPlace) { p.inbox = "branches2" },
		"sender": func(p *itemPlace) { p.sender = "t" }, "version": func(p *itemPlace) { p.version = 2 },
		"boundary": func(p *itemPlace) { p.ring, p.inbox = "rb", "ranches" },
	} {
		require.False(t, opens(change, false), name)
		require.False(t, opens(change, true), name)
	}
	younger := bytes.Clone(i)
	binary.BigEndian.PutUint32(younger[3:], 2)
	rejected(t, inbox, younger, "as of another version, which is there")
	binary.BigEndian.PutUint32(younger[3:], 9)
	_, err = inbox.Open(ctx, younger)
	require.ErrorIs(t, err, ErrOpen)
	require.ErrorIs(t, err, keyring.ErrUnknownVersion)
}

// TestAttackItemVersion: another KEM or format is an error of its own.
func TestAttackItemVersion(t *testing.T) {
	i := sealItem(t, enrol(t, newInbox(t, "branches", newRing(t, "r", "inbox/branches")), "s"), "p1", "x")
	for at, b := range map[int]byte{0: 0x32, 1: 0x65, 2: 0x7b} {
		bad := bytes.Clone(i)
		bad[at] = b
		require.ErrorIs(t, checkItem(bad), ErrVersion)
	}
}

// TestAttackItemContent: what an enrolled sender could seal and Seal does not.
func TestAttackItemContent(t *testing.T) {
	ctx := context.Background()
	inbox := newInbox(t, "branches", newRing(t, "r", "inbox/branches"))
	in := enrol(t, inbox, "s").state()
	sealed := func(content []byte) Item {
		enc, input, err := in.encapsulate()
		require.NoError(t, err)
		return in.seal(enc, input, content)
	}
	got, err := inbox.Open(ctx, sealed(appendContent(nil, "p1", []byte("payload"))))
	require.NoError(t, err)
	require.Equal(t, "payload", string(got.Payload))
	for name, content := range contents() {
		rejected(t, inbox, sealed(content), name)
	}
	for _, content := range [][]byte{nil, make([]byte, 47), append([]byte{1, 's', endMark}, make([]byte, 46)...)} {
		require.ErrorIs(t, checkItem(sealed(content)), ErrFormat)
	}
	uncommitted := in.itemPlace // all right but for the commitment, which the MAC covers
	enc, input, err := in.encapsulate()
	require.NoError(t, err)
	i := in.head(nil, enc)
	key, head := chunked.New(input, bodyContext(i))
	head[chunked.HeadSize-1] ^= 1
	mac := uncommitted.mac(in.mac, i, head)
	rejected(t, inbox, key.Seal(slices.Concat(i, mac[:], head[:]), appendContent(nil, "p1", nil)), "another commitment")

	enc = make([]byte, inboxEnc) // HPKE itself refuses a curve point of small order
	input, err = secret.NewExpander(secret.Random())
	require.NoError(t, err)
	rejected(t, inbox, in.seal(enc, input, appendContent(nil, "p1", nil)), "small order")
}

// TestInboxReplay: an item is accepted once, in the transaction of its record,
// and again only if that was rolled back.
func TestInboxReplay(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.Open(filepath.Join(t.TempDir(), "app.db"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		testReplay(t, db)
	})
	t.Run("postgres", func(t *testing.T) { testReplay(t, pgtest.Open(t, pgtest.Start(t).Database(t))) })
}

func testReplay(t *testing.T, db *sql.DB) {
	ctx := context.Background()
	for _, table := range []string{
		"CREATE TABLE rahasia_accepted (inbox TEXT NOT NULL, version BIGINT NOT NULL, id BYTEA PRIMARY KEY)",
		"CREATE TABLE visits (payload TEXT NOT NULL)",
	} {
		_, err := db.Exec(table)
		require.NoError(t, err)
	}
	inbox := newInbox(t, "branches", newRing(t, "r", "inbox/branches"))
	intake := enrol(t, inbox, "s")
	accept := func(i Item, commit bool) error {
		got, err := inbox.Open(ctx, i)
		require.NoError(t, err)
		tx, err := db.Begin()
		require.NoError(t, err)
		defer func() { _ = tx.Rollback() }()
		if err := got.Accept(ctx, tx); err != nil {
			return err
		}
		_, err = tx.Exec("INSERT INTO visits (payload) VALUES ($1)", string(got.Payload))
		require.NoError(t, err)
		if commit {
			require.NoError(t, tx.Commit())
		}
		return nil
	}
	one, two := sealItem(t, intake, "p1", "x"), sealItem(t, intake, "p1", "x")
	require.NoError(t, accept(one, false))
	require.NoError(t, accept(one, true), "the first was rolled back")
	err := accept(one, true)
	require.ErrorIs(t, err, ErrReplayed)
	require.NotErrorIs(t, err, ErrOpen)
	require.NoError(t, accept(two, true), "another item")
	var n int
	require.NoError(t, db.QueryRow("SELECT count(*) FROM visits").Scan(&n))
	require.Equal(t, 2, n)

	tx, err := db.Begin()
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	require.ErrorIs(t, new(Received).Accept(ctx, tx), ErrEmpty)
	require.ErrorIs(t, (*Received)(nil).Accept(ctx, tx), ErrEmpty)
	require.ErrorIs(t, (&Received{Inbox: "branches"}).Accept(ctx, tx), ErrEmpty)
	require.ErrorIs(t, (&Received{ID: [32]byte{1}}).Accept(ctx, tx), ErrEmpty)
	require.NoError(t, tx.Rollback())
	got, err := inbox.Open(ctx, sealItem(t, intake, "p1", "x"))
	require.NoError(t, err)
	err = got.Accept(ctx, tx)
	require.Error(t, err, "a transaction that is over")
	require.NotErrorIs(t, err, ErrReplayed)

	// A table that would not notice a repeat accepts nothing.
	for _, table := range []string{"DROP TABLE rahasia_accepted", "CREATE TABLE rahasia_accepted (inbox TEXT NOT NULL, version BIGINT NOT NULL, id BYTEA NOT NULL)"} {
		_, err := db.Exec(table)
		require.NoError(t, err)
	}
	tx, err = db.Begin()
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	require.Error(t, got.Accept(ctx, tx))
}
