package gorm_test

import (
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

func codec(t *testing.T) *envelope.Codec[Note] {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	kek, err := aead.New(handle)
	require.NoError(t, err)
	ring, err := keyring.Create(t.Context(), "clinic", keyring.Config{
		Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: keyring.TinkAEAD(kek),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	require.NoError(t, ring.CreateKeyset(t.Context(), "clinical"))
	c, err := envelope.NewCodec[Note]("visit", ring)
	require.NoError(t, err)
	return c
}
