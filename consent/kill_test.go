package consent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

// TestKillActs breaks the log after each entry of an act, as a crash there would:
// the act fails, nothing opens by it, and done again it comes to its end.
func TestKillActs(t *testing.T) {
	ctx := context.Background()
	for name, tt := range map[string]struct {
		entries int // that the act writes
		make    func(*testing.T, *deployed) (act func() error, done func() bool)
	}{
		"accept": {1, func(t *testing.T, d *deployed) (func() error, func() bool) {
			inbox, to, app := intakeClinic(t, d.cfg)
			item, err := intakeOf[person](t, "person", to).Seal(&ayu, careTag)
			require.NoError(t, err)
			return func() error { _, err := accepting(t, d.r, app, inbox, item); return err }, func() bool {
				_, err := accepting(t, d.r, app, inbox, item)
				require.ErrorIs(t, err, envelope.ErrReplayed)
				return true
			}
		}},
		"erase": {2, func(t *testing.T, d *deployed) (func() error, func() bool) {
			return func() error { _, err := d.cfg.Erase(ctx, ayu.ID, "clerk"); return err }, func() bool { return d.refuses(keyring.ErrShredded) }
		}},
		"withdraw": {1, func(t *testing.T, d *deployed) (func() error, func() bool) {
			return func() error { return d.cfg.WithdrawAll(ctx, ayu.ID, "clerk") }, func() bool { return d.refuses(ErrDenied) }
		}},
		"rebind": {3, func(t *testing.T, d *deployed) (func() error, func() bool) {
			_, err := d.cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Research}, Refused: true})
			require.NoError(t, err)
			var moved envelope.Sealed
			return func() (err error) {
					moved, err = d.r.Rebind(ctx, d.row, &person{ID: ayu.ID}, &person{ID: "p-other"}, registrar)
					require.Equal(t, err == nil, moved != nil)
					return err
				}, func() bool {
					return d.r.codec.Open(ctx, &person{ID: "p-other"}, moved) == nil
				}
		}},
	} {
		for n := range tt.entries {
			t.Run(fmt.Sprintf("%s after %d", name, n), func(t *testing.T) {
				d := deploy(t)
				act, done := tt.make(t, d)
				mend := d.failAfter(t, n)
				require.ErrorIs(t, act(), ErrAudit)
				mend()
				if err := act(); name != "withdraw" { // which is in force since the first time
					require.NoError(t, err)
				}
				require.True(t, done())
				_, err := d.cfg.Log.Verify(ctx)
				require.NoError(t, err)
			})
		}
		t.Run(name+" writes no more", func(t *testing.T) {
			d := deploy(t)
			act, _ := tt.make(t, d)
			d.failAfter(t, tt.entries)
			require.NoError(t, act(), "or there are more points to break it at")
		})
	}
}

// deployed is a patient with a record, in files.
type deployed struct {
	cfg *Config
	r   *Records[person]
	row envelope.Sealed
	log *sql.DB
}

func deploy(t *testing.T) *deployed {
	t.Helper()
	cfg, _, log := apart(t)
	cfg.Policy = mergeConfig(t).Policy
	r := people(t, cfg)
	return &deployed{cfg: cfg, r: r, row: sealed(t, r, ayu, Treatment).Sealed, log: log}
}

// failAfter makes the log full after n entries more.
func (d *deployed) failAfter(t *testing.T, n int) (mend func()) {
	t.Helper()
	_, err := d.log.Exec(fmt.Sprintf(`CREATE TRIGGER stuck BEFORE INSERT ON consent_log
		WHEN (SELECT count(*) FROM consent_log) >= %d BEGIN SELECT RAISE(ABORT, 'disk full'); END`, len(entries(t, d.cfg.Log))+n))
	require.NoError(t, err)
	return func() {
		_, err := d.log.Exec(`DROP TRIGGER stuck`)
		require.NoError(t, err)
	}
}

// refuses reports whether the patient's record fails to open, with want.
func (d *deployed) refuses(want error) bool {
	_, err := open(d.r, ayu.ID, d.row, care)
	return errors.Is(err, want)
}
