package clinic

import (
	"context"
	"time"

	"github.com/rahasia/rahasia/consent"
)

// alert keeps an alert of the exfiltration guard for the officer's page. It is
// called before the doctor has their answer, so it hands on and returns.
func (c *Clinic) alert(a consent.Alert) {
	c.log.Warn("guard", "actor", a.Actor, "action", a.Action, "hour", a.Hour, "day", a.Day, "emergency", a.Emergency, "err", a.Err)
	c.done.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := c.db.ExecContext(ctx, `INSERT INTO alerts (at, actor, hour, day, emergency) VALUES ($1, $2, $3, $4, $5)`,
			a.Time.UnixMilli(), a.Actor, a.Hour, a.Day, a.Emergency); err != nil {
			c.log.Error("guard: alert not kept", "err", err)
		}
	})
}
