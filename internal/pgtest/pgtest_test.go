package pgtest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rahasia/rahasia/internal/pgtest"
)

func TestServer(t *testing.T) {
	s := pgtest.Start(t)
	one, two := s.Database(t), s.Database(t)
	if one == two {
		t.Fatal("two databases are one")
	}
	db := pgtest.Open(t, one)
	for setting, want := range map[string]string{"listen_addresses": "", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"} {
		var got string
		if err := db.QueryRowContext(t.Context(), `SELECT current_setting($1)`, setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q: %v", setting, got, want, err)
		}
	}
}

// A copy has the tables and their rows, and is another database.
func TestCopy(t *testing.T) {
	var shared pgtest.Shared
	s := shared.Start(t)
	if shared.Start(t) != s {
		t.Fatal("two servers are shared")
	}
	defer shared.Stop()
	one := s.Database(t)
	db := pgtest.Open(t, one)
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE "a b" (n integer PRIMARY KEY, c "char" CHECK (n > 0)); INSERT INTO "a b" VALUES (7, 'x')`); err != nil {
		t.Fatal(err)
	}
	two := pgtest.Open(t, s.Copy(t, one))
	var n int
	if err := two.QueryRowContext(t.Context(), `SELECT n FROM "a b" WHERE c = 'x'`).Scan(&n); err != nil || n != 7 {
		t.Fatal(n, err)
	}
	for _, wrong := range []string{`INSERT INTO "a b" VALUES (7)`, `INSERT INTO "a b" VALUES (-1)`} {
		if _, err := two.ExecContext(t.Context(), wrong); err == nil {
			t.Errorf("the copy takes %s", wrong)
		}
	}
	if _, err := two.ExecContext(t.Context(), `DELETE FROM "a b"`); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRowContext(t.Context(), `SELECT n FROM "a b"`).Scan(&n); err != nil {
		t.Errorf("the copy and the original are one: %v", err)
	}
}

// Without the binaries the test is skipped, and fails where they are required.
func TestMissing(t *testing.T) {
	if os.Getenv("PGTEST_CHILD") != "" {
		pgtest.Start(t)
		return
	}
	for required, want := range map[string]string{
		"":                 "SKIP: TestMissing",
		"openssl":          "SKIP: TestMissing",
		"openssl,postgres": "FAIL: TestMissing",
	} {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestMissing$", "-test.v")
		cmd.Env = append(os.Environ(), "PGTEST_CHILD=1", "PATH="+t.TempDir(), "RAHASIA_REQUIRE="+required)
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), want) || !strings.Contains(string(out), "initdb is not on the PATH") {
			t.Errorf("RAHASIA_REQUIRE=%q: want %q in\n%s", required, want, out)
		}
	}
}
