package consent

import "time"

// instant is a time to the nanosecond, of any year.
type instant struct {
	_     struct{} `cbor:",toarray"`
	Sec   int64    // since 1970
	Nanos int64
}

func instantOf(t time.Time) instant {
	return instant{Sec: t.Unix(), Nanos: int64(t.Nanosecond())}
}

// bound is the instant of one end of a period; none for a zero time.
func bound(t time.Time) *instant {
	if t.IsZero() {
		return nil
	}
	i := instantOf(t)
	return &i
}

func (i *instant) time() time.Time {
	if i == nil {
		return time.Time{}
	}
	return time.Unix(i.Sec, i.Nanos)
}
