package sqlstore

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/rahasia/rahasia/internal/pgtest"
)

// Server is the PostgreSQL of this package's tests.
var Server pgtest.Shared

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests wait for a disk most of the time, so more of them run at once
	// than there are processors, unless -parallel says how many.
	if own := flag.Lookup("test.parallel"); own.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = own.Value.Set("8")
	}
	os.Exit(Server.Run(m))
}
