package gorm_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/glebarez/sqlite"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"gorm.io/driver/postgres"
	orm "gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/keyring"
)

// Visit is a table.
type Visit struct {
	ID      string `gorm:"primaryKey"`
	Patient string
	Sealed  envelope.Sealed
	Draft   envelope.Sealed
}

// Note is what is sealed in it.
type Note struct {
	Patient string `phi:"subject"`
	ID      string `phi:"record"`
	Text    string `phi:"text"`
}

func TestGORM(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		use(t, sqlite.Open(t.TempDir()+"/app.db"), "blob")
	})
	t.Run("postgres", func(t *testing.T) {
		server := pgtest.Start(t)
		use(t, postgres.New(postgres.Config{Conn: pgtest.Open(t, server.Database(t))}), "bytea")
	})
}

func use(t *testing.T, dialect orm.Dialector, column string) {
	ctx := t.Context()
	notes := codec(t)
	db, err := orm.Open(dialect, &orm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	db = db.WithContext(ctx)

	require.NoError(t, db.AutoMigrate(&Visit{}))
	require.NoError(t, db.AutoMigrate(&Visit{}), "a second time changes nothing")
	types, err := db.Migrator().ColumnTypes(&Visit{})
	require.NoError(t, err)
	for _, typ := range types {
		if name := typ.Name(); name == "sealed" || name == "draft" {
			require.Equal(t, column, strings.ToLower(typ.DatabaseTypeName()), name)
		}
	}

	row, err := notes.Seal(ctx, &Note{Patient: "p1", ID: "v1", Text: "demam"}, nil)
	require.NoError(t, err)
	require.NoError(t, db.Create(&Visit{ID: "v1", Patient: "p1", Sealed: row}).Error)

	var got Visit
	require.NoError(t, db.First(&got, "id = ?", "v1").Error)
	require.Equal(t, row, got.Sealed)
	require.Nil(t, got.Draft)
	note := Note{Patient: got.Patient, ID: got.ID}
	require.NoError(t, notes.Open(ctx, &note, got.Sealed))
	require.Equal(t, "demam", note.Text)

	// The row is its own revision.
	newer, err := notes.Seal(ctx, &Note{Patient: "p1", ID: "v1", Text: "sembuh"}, nil)
	require.NoError(t, err)
	replace := func(old envelope.Sealed) int64 {
		result := db.Model(&Visit{}).Where("id = ? AND sealed = ?", "v1", old).Update("sealed", newer)
		require.NoError(t, result.Error)
		return result.RowsAffected
	}
	require.EqualValues(t, 1, replace(got.Sealed))
	require.EqualValues(t, 0, replace(got.Sealed), "the second of two writers")

	// What is no row does not get in, and does not come out as one.
	require.ErrorIs(t, db.Create(&Visit{ID: "v2", Sealed: envelope.Sealed("x")}).Error, envelope.ErrFormat)
	require.NoError(t, db.Exec("UPDATE visits SET sealed = draft, draft = sealed").Error)
	var swapped Visit
	require.NoError(t, db.First(&swapped).Error)
	require.Nil(t, swapped.Sealed)
	require.Equal(t, newer, swapped.Draft)
}

// Patient is a table and what is sealed in it.
type Patient struct {
	orm.Model `phi:"clear"`   // the database fills it
	Subject   string          `gorm:"uniqueIndex" phi:"subject"`
	Clinic    string          `phi:"clear"`
	Name      string          `gorm:"-" phi:"name"`
	Notes     *string         `gorm:"-"`
	Sealed    envelope.Sealed `phi:"clear"`
}

func TestOneType(t *testing.T) {
	ctx, db := t.Context(), sqliteDB(t)
	require.NoError(t, db.AutoMigrate(&Patient{}))
	patients, err := envelope.NewCodec[Patient]("patient", ring(t))
	require.NoError(t, err)
	require.Equal(t, "patient\nclinical\tNotes\ttext\nidentity\tName\ttext\n", patients.Schema(), "no column is sealed")

	p := Patient{Subject: envelope.NewID(), Clinic: "Solo", Name: "Siti"}
	p.Sealed, err = patients.Seal(ctx, &p, nil)
	require.NoError(t, err)
	require.NoError(t, db.Create(&p).Error)

	var got Patient
	require.NoError(t, db.First(&got, "subject = ?", p.Subject).Error)
	require.Empty(t, got.Name)
	require.NoError(t, patients.Open(ctx, &got, got.Sealed))
	require.Equal(t, "Siti", got.Name)
	require.Equal(t, "Solo", got.Clinic)
	require.NotZero(t, got.ID)
	require.Equal(t, p.ID, got.ID)
}

// TestAccept: what an inbox received is stored once, however often it comes.
func TestAccept(t *testing.T) {
	ctx, db, ring := t.Context(), sqliteDB(t), ring(t)
	require.NoError(t, ring.CreateKeyset(ctx, "inbox/branches"))
	inbox, err := envelope.NewInbox("branches", ring)
	require.NoError(t, err)
	path := t.TempDir() + "/solo-1.credential"
	require.NoError(t, inbox.Enrol(ctx, "solo-1", path))
	intake, err := envelope.OpenIntake(path)
	require.NoError(t, err)
	item, err := intake.Seal("p1", []byte("batuk"))
	require.NoError(t, err)

	require.NoError(t, db.Exec("CREATE TABLE rahasia_accepted (inbox TEXT NOT NULL, version BIGINT NOT NULL, id BYTEA PRIMARY KEY)").Error)
	require.NoError(t, db.AutoMigrate(&Visit{}))
	receive := func() error {
		got, err := inbox.Open(ctx, item)
		if err != nil {
			return err
		}
		return db.Transaction(func(tx *orm.DB) error {
			if err := got.Accept(ctx, tx.Statement.ConnPool.(*sql.Tx)); err != nil {
				return err
			}
			return tx.Create(&Visit{ID: envelope.NewID(), Patient: got.Subject}).Error
		})
	}
	require.NoError(t, receive())
	require.ErrorIs(t, receive(), envelope.ErrReplayed)
	var visits int64
	require.NoError(t, db.Model(&Visit{}).Count(&visits).Error)
	require.EqualValues(t, 1, visits)
}

func sqliteDB(t *testing.T) *orm.DB {
	db, err := orm.Open(sqlite.Open(t.TempDir()+"/app.db"), &orm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	return db.WithContext(t.Context())
}

func codec(t *testing.T) *envelope.Codec[Note] {
	c, err := envelope.NewCodec[Note]("visit", ring(t))
	require.NoError(t, err)
	return c
}

func ring(t *testing.T) *keyring.Ring {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	kek, err := aead.New(handle)
	require.NoError(t, err)
	ring, err := keyring.Create(t.Context(), "clinic", keyring.Config{
		Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: keyring.TinkAEAD(kek),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	for _, compartment := range []string{"clinical", "identity"} {
		require.NoError(t, ring.CreateKeyset(t.Context(), compartment))
	}
	return ring
}
