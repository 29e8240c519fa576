// Package clinic is a telemedicine service without its pages: what it stores,
// what it does for each role, and how it uses rahasia for that. It knows no HTTP.
//
// The application's own tables hold ids, sealed bytes and tokens. Keys, consents
// and the audit log lie apart, in what package consent opens. A value of a
// patient is in neither in clear.
//
// The files by what they are for:
//
//	record.go    the records, whose tags say what each field is
//	store.go     the databases, and how rahasia is opened over them
//	account.go   who may sign in, and as what
//	choice.go    what a patient is asked to allow
//	notice.go    what a patient is told first
//	branch.go    a branch registers patients that it cannot read
//	receive.go   the clinic takes them in
//	takeover.go  records come from another system, many at a time
//	chart.go     a doctor finds a patient and opens the chart
//	visit.go     a doctor writes a consultation, and keeps allergies and conditions
//	file.go      a doctor adds an ECG or a document, and opens it in parts
//	self.go      a patient reads their own records, and who did
//	allowed.go   what a patient allows, and the receipts of it
//	proof.go     what a patient checks without the clinic
//	research.go  a table for a researcher's institution
//	made.go      the tables that were made
//	overview.go  how the clinic stands, for the privacy officer
//	thief.go     what whoever steals the databases would have
//	keys.go      the states of keys, and their rotation
//	watch.go     the audit log, emergencies to be reviewed, alerts
//	alert.go     the exfiltration guard tells of somebody
//	incident.go  what a theft or a leak touched, and for whom a table was made
//	leaving.go   patients who ask to be erased: erased, or kept as long as a law says
//	custodian.go who has the keys of those who are kept
package clinic

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
)

// Errors that pages act on. Those of rahasia pass through wrapped, such as
// [consent.ErrDenied] and [*consent.WithheldError].
var (
	ErrNotFound  = errors.New("there is no such thing")
	ErrInput     = errors.New("the form is not filled in as it must be")
	ErrForbidden = errors.New("not for this role")
	ErrConflict  = errors.New("somebody else has changed it meanwhile")
	ErrBusy      = errors.New("too many ask at once")
)

// Options are how a clinic is opened. Dir is required.
type Options struct {
	Dir      string // keys, and what else lies in files; with SQLite, the databases too
	Postgres string // a connection string; empty is SQLite
	Log      *slog.Logger
	Now      func() time.Time // nil is time.Now
	People   consent.Limit    // how many patients one person may reach; zero is the library's limit
	Tables   consent.Limit    // how many an institution's tables may take in; zero is 20,000 a day
}

// Clinic is the service. It is safe for concurrent use.
type Clinic struct {
	dir string
	db  *sql.DB // the application's own tables
	cfg *consent.Config
	log *slog.Logger
	now func() time.Time

	patients *consent.Records[Patient]
	visits   *consent.Records[Visit]
	files    *consent.Records[File]
	objects  *envelope.Objects
	inbox    *envelope.Inbox
	branch   *Branch
	studies  studies
	tables   consent.Limit // of the guard, for each institution
	moving   moving
	hashes   hashes

	arrived chan struct{}   // told when something came from a branch
	life    context.Context // of what runs in the background; Close ends it
	stop    context.CancelFunc
	done    sync.WaitGroup
	close   []func() error
}

// Open opens the clinic, and makes what is missing of it. Close it.
func Open(ctx context.Context, o Options) (*Clinic, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	c := &Clinic{dir: dir, log: o.Log, now: o.Now, tables: o.Tables, arrived: make(chan struct{}, 1), hashes: make(hashes, hashesAtOnce)}
	if c.tables.Day == 0 {
		c.tables.Day = 20_000
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if err := c.open(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("open clinic: %w", err), c.Close())
	}
	return c, nil
}

func (c *Clinic) open(ctx context.Context, o Options) error {
	if err := c.openStores(ctx, o.Postgres); err != nil {
		return err
	}
	c.cfg.Now = c.now
	c.cfg.Roles = roles()
	c.cfg.Policy = policy()
	c.cfg.Guard = consent.Guard{People: o.People, Alert: c.alert}
	var err error
	if c.patients, err = consent.NewRecords[Patient]("patient", c.cfg); err != nil {
		return err
	}
	if c.visits, err = consent.NewRecords[Visit]("visit", c.cfg); err != nil {
		return err
	}
	if c.files, err = consent.NewRecords[File]("file", c.cfg); err != nil {
		return err
	}
	if c.objects, err = envelope.NewObjects("file", "clinical", c.cfg.Ring); err != nil {
		return err
	}
	if err := c.openBranch(ctx); err != nil {
		return err
	}
	c.life, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.done.Go(func() { c.receive(c.life) })
	c.done.Go(func() { c.eraseInTime(c.life) })
	return nil
}

// Close ends what runs in the background and closes the databases.
func (c *Clinic) Close() error {
	if c.stop != nil {
		c.stop()
		c.done.Wait()
	}
	var errs []error
	for i := len(c.close) - 1; i >= 0; i-- {
		errs = append(errs, c.close[i]())
	}
	c.close = nil
	return errors.Join(errs...)
}

// Branch is the clinic's one branch, which shares this process for the sake of
// the example. It has the credential of a sender and no key: another process on
// another machine would have no more (see examples/services).
func (c *Clinic) Branch() *Branch { return c.branch }

// The roles, which are those of the pages too.
const (
	Doctor     = "doctor"
	Clerk      = "clerk"
	Researcher = "researcher"
	Officer    = "officer" // the privacy officer: a data protection officer of UU PDP 27/2022, article 53
	Self       = "patient"
)

// roles are the compartments that each role may open, whatever a patient
// consents to. A clerk opens none. The officer opens what a patient has agreed
// to be shown with, see [Clinic.Showcase].
func roles() map[string][]string {
	return map[string][]string{
		Doctor:     {"identity", "clinical", "sensitive"},
		Self:       {"identity", "clinical", "sensitive"},
		Researcher: {"identity", "clinical"},
		Officer:    {"identity", "clinical"},
	}
}

// policy is what the clinic may do without a consent: a patient reads their own
// record, labels included, and a doctor opens what an emergency needs, once they
// have said why.
func policy() consent.Policy {
	return consent.Policy{
		Bases: []consent.LegalBasis{{
			Basis: consent.LegalObligation, Article: "UU PDP 27/2022 art. 7",
			Rule: consent.Rule{
				Purposes: []consent.Purpose{consent.PatientRequest}, Roles: []string{Self},
				Confidentiality: consent.Restricted, Sensitivity: []consent.Label{consent.AnyLabel},
			},
		}},
		Emergency: consent.Emergency{
			Roles: []string{Doctor}, For: time.Hour, Compartments: []string{"identity", "clinical"},
		},
	}
}

// Zone is that of the clinic's days: Jakarta's, which has no summer time.
func Zone() *time.Location { return time.FixedZone("WIB", 7*3600) }
