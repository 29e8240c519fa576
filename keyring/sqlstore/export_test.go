package sqlstore

import (
	"os"
	"testing"

	"github.com/rahasia/rahasia/internal/pgtest"
)

// Server is the PostgreSQL of this package's tests.
var Server pgtest.Shared

func TestMain(m *testing.M) { os.Exit(Server.Run(m)) }
