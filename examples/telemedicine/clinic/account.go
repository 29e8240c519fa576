package clinic

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/keyring"
)

// User is who is signed in. Everything that the clinic does for somebody takes
// one, and it is the actor of each entry in the audit log.
type User struct {
	Name    string // by which they sign in; nothing of a patient's record
	Role    string
	Title   string // what pages call a member of staff; empty for a patient
	Patient string // whose chart is theirs; of the role Self alone

	// Recipient is the institution for which a researcher is given tables; of the
	// role Researcher alone. Each has pseudonyms of its own.
	Recipient string

	// Changed is how often the password was made: 0 for one that a branch handed out,
	// and more once its owner has chosen it. A session is of one of them.
	Changed int
}

// MustChoose reports whether the password is one that a clerk has seen. It opens
// nothing but the way to another: or whoever registers a patient could read the chart
// for ever after. In earnest it reaches the patient past the desk, by their telephone.
func (u User) MustChoose() bool { return u.Role == Self && u.Changed == 0 }

// request is what the user asks for, for one purpose.
func (u User) request(purpose consent.Purpose) consent.Request {
	return consent.Request{Purpose: purpose, Actor: u.Name, Role: u.Role}
}

// must refuses everybody but a role.
func (u User) must(role string) error {
	if u.Role != role {
		return fmt.Errorf("%w: %q", ErrForbidden, u.Role)
	}
	return nil
}

// hashing is what a password costs: the second recommended set of RFC 9106.
func hashing() *argon2id.Params {
	return &argon2id.Params{Memory: 64 * 1024, Iterations: 3, Parallelism: 4, SaltLength: 16, KeyLength: 32}
}

// AddAccount makes an account with a password, and for the first researcher of an
// institution the domain of its pseudonyms.
func (c *Clinic) AddAccount(ctx context.Context, u User, password string) error {
	if u.Role == Researcher && u.Recipient != "" {
		if err := c.cfg.AddRecipient(ctx, u.Recipient); err != nil && !errors.Is(err, keyring.ErrExists) {
			return err
		}
	}
	hash, err := c.hashes.hash(ctx, password)
	if err != nil {
		return err
	}
	u.Changed = 1
	return addAccount(ctx, c.db, u, hash)
}

// ChangePassword gives an account another password, for whoever knows the one that it
// has, and ends all sessions of the older one: its owner signs in anew. A password
// that is too short, or the same, is [ErrInput]; one that is not theirs [ErrNotFound].
func (c *Clinic) ChangePassword(ctx context.Context, u User, old, password string) error {
	if old == password || len(password) > 256 {
		return fmt.Errorf("%w: password", ErrInput)
	}
	now, err := c.SignIn(ctx, u.Name, old)
	if err != nil {
		return err
	}
	hash, err := c.hashes.hash(ctx, password)
	if err != nil {
		return err
	}
	// Of two who change it at once, one does.
	result, err := c.db.ExecContext(ctx, `UPDATE accounts SET hash = $1, changed = $2 WHERE name = $3 AND changed = $4`, hash, now.Changed+1, u.Name, now.Changed)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrConflict)
	}
	return nil
}

// hashes lets few passwords be hashed at once: each takes 64 MiB, and whoever is at
// the door could ask for as many as there are connections.
type hashes chan struct{}

// The hashes that are made at once, and how long somebody waits for their turn.
const (
	hashesAtOnce = 2
	hashesWait   = 10 * time.Second
)

func (h hashes) turn(ctx context.Context, do func() error) error {
	wait := time.NewTimer(hashesWait)
	defer wait.Stop()
	select {
	case h <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return ErrBusy
	}
	defer func() { <-h }()
	return do()
}

// hash hashes a new password.
func (h hashes) hash(ctx context.Context, password string) (hash string, err error) {
	if len(password) < 10 {
		return "", fmt.Errorf("%w: password", ErrInput)
	}
	err = h.turn(ctx, func() (err error) {
		hash, err = argon2id.CreateHash(password, hashing())
		return err
	})
	return hash, err
}

func addAccount(ctx context.Context, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, u User, hash string) error {
	if u.Name == "" || u.Role == "" || (u.Patient != "") != (u.Role == Self) || (u.Recipient != "") != (u.Role == Researcher) {
		return fmt.Errorf("%w: account", ErrInput)
	}
	_, err := db.ExecContext(ctx, `INSERT INTO accounts (name, role, title, patient, recipient, hash, changed) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		u.Name, u.Role, u.Title, u.Patient, u.Recipient, hash, u.Changed)
	return err
}

// nobody is the hash that the password of an unknown name is compared with, so
// that the time of an answer does not say which names there are.
const nobody = "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// SignIn returns whose name and password these are, or [ErrNotFound]; [ErrBusy]
// where too many try at once.
func (c *Clinic) SignIn(ctx context.Context, name, password string) (User, error) {
	u, hash := User{Name: name}, nobody
	err := c.db.QueryRowContext(ctx, `SELECT role, title, patient, recipient, hash, changed FROM accounts WHERE name = $1`, name).Scan(&u.Role, &u.Title, &u.Patient, &u.Recipient, &hash, &u.Changed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return User{}, err
	}
	var ok bool
	if err := c.hashes.turn(ctx, func() (err error) {
		ok, err = argon2id.ComparePasswordAndHash(password, hash)
		return err
	}); err != nil {
		return User{}, err
	}
	if err != nil || !ok {
		return User{}, ErrNotFound
	}
	return u, nil
}

// User returns an account by its name, or [ErrNotFound]: what a session is of.
func (c *Clinic) User(ctx context.Context, name string) (User, error) {
	u := User{Name: name}
	err := c.db.QueryRowContext(ctx, `SELECT role, title, patient, recipient, changed FROM accounts WHERE name = $1`, name).Scan(&u.Role, &u.Title, &u.Patient, &u.Recipient, &u.Changed)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, ErrNotFound
	}
	return u, err
}

// Titles returns what pages call each member of staff, by name. Entries of the
// audit log have names.
func (c *Clinic) Titles(ctx context.Context) (map[string]string, error) {
	all, err := collect(ctx, c.db, func(rows *sql.Rows) (u User, err error) {
		err = rows.Scan(&u.Name, &u.Title)
		return u, err
	}, `SELECT name, title FROM accounts WHERE title <> ''`)
	titles := map[string]string{}
	for _, u := range all {
		titles[u.Name] = u.Title
	}
	return titles, err
}
