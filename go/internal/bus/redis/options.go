package redis

import (
	"log/slog"
	"time"
)

// Options are what a Server is told. Zero values stand for the defaults.
type Options struct {
	URL string
	// Retention is how long events are kept for resumes, and chosen ids are known: an
	// hour. Redis trims in whole nodes, so some stay longer.
	Retention time.Duration
	// MaxLen is how many events of a channel are kept at most, approximately: no limit.
	MaxLen int64
	// Batch is how many entries of a stream are read at once: 100.
	Batch int
	Log   *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Retention <= 0 {
		o.Retention = time.Hour
	}
	if o.Batch <= 0 {
		o.Batch = 100
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// tending is how often a writer trims a channel's stream and says that it is in use.
func (o Options) tending() time.Duration { return o.Retention / 12 }

// horizon is how long ago a channel was last announced at most, if there may be events
// on it that the retention still keeps: a writer may rely on an announcement that is as
// old as one and a half tendings.
func (o Options) horizon() time.Duration { return o.Retention + 2*o.tending() }
