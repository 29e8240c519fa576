// Command telemedicine is a small clinic on rahasia: five roles, server-rendered
// pages, JSON beside them. The first start makes a folder and fills it with
// synthetic patients.
//
//	go run ./examples/telemedicine                                                   # SQLite, http://127.0.0.1:8080
//	go run ./examples/telemedicine -dir telemedicine-pg -postgres "postgres://…"     # the same on PostgreSQL
//
// Read clinic/record.go for what is stored, clinic/chart.go for how a doctor
// opens it, and README.md for the tour.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/seed"
	"github.com/rahasia/rahasia/examples/telemedicine/web"
)

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "telemedicine-demo", "the clinic's folder; made where it is missing")
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8080", "where to listen")
	flag.StringVar(&o.postgres, "postgres", "", "a connection string; empty is SQLite")
	flag.IntVar(&o.patients, "patients", 120, "how many synthetic patients a new clinic gets")
	flag.BoolVar(&o.secure, "secure", false, "browsers come by HTTPS, through a proxy: the session's cookie travels by nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.Stderr, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "telemedicine:", err)
		os.Exit(1)
	}
}

type options struct {
	dir, addr, postgres string
	patients            int
	secure              bool
}

// run serves the clinic until ctx ends.
func run(ctx context.Context, out, logs io.Writer, o options) error {
	// The handler keeps records out of the log, whatever is given to it.
	log := slog.New(consent.Redact(slog.NewJSONHandler(logs, nil)))
	clock := &seed.Clock{}
	c, err := clinic.Open(ctx, clinic.Options{Dir: o.dir, Postgres: o.postgres, Log: log, Now: clock.Now})
	if err != nil {
		return err
	}
	err = serve(ctx, c, clock, out, log, o)
	return errors.Join(err, c.Close())
}

func serve(ctx context.Context, c *clinic.Clinic, clock *seed.Clock, out io.Writer, log *slog.Logger, o options) error {
	if err := fill(ctx, c, clock, out, o); err != nil {
		return err
	}
	pages, err := web.New(c, web.Options{Log: log, Secure: o.secure})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: pages, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 1 << 15,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Fprintf(out, "The clinic is open: http://%s  (end with Ctrl-C)\nSign in as dr-ayu, clerk-budi, p-0001, ui-citra or dpo-dewi, with the password %s.\n", listener.Addr(), seed.Password)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// What is under way is finished, for ten seconds.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(stop)
}

// fill seeds a clinic that is empty. While it does, a file in the clinic's folder
// says so: one that was filled in part lacks accounts to sign in with.
func fill(ctx context.Context, c *clinic.Clinic, clock *seed.Clock, out io.Writer, o options) error {
	mark := filepath.Join(o.dir, "BEING-FILLED")
	if _, err := os.Stat(mark); err == nil {
		return fmt.Errorf("%s was not filled to its end: remove it (on PostgreSQL the schemas app, consent and keys too) and start again", o.dir)
	}
	empty, err := c.Empty(ctx)
	if err != nil || !empty {
		return err
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	clock.Set(time.Now().Add(-seed.Past))
	if err := seed.Run(ctx, c, o.patients, seed.Bar(out)); err != nil {
		return err
	}
	if err := seed.Work(ctx, c, clock, seed.Bar(out)); err != nil {
		return err
	}
	return os.Remove(mark)
}
