package postgres

import (
	"log/slog"
	"time"
)

const (
	// poolConnections is how many connections publish, look into the history and prune,
	// by default. One more reads.
	poolConnections = 2
	// pollInterval is how often the outbox is looked at when no notification comes.
	pollInterval = 2 * time.Second
	// upkeepInterval is how often the outbox is pruned and the server's notification
	// queue looked at.
	upkeepInterval = 10 * time.Second
	// fullQueue is the share of the server's notification queue that is warned of. Once it
	// is full, every transaction that notifies fails.
	fullQueue = 0.25
)

// Options are what a Server is told. Zero values mean the defaults.
type Options struct {
	// URL is where the database is: postgresql://user@host/database.
	URL string
	// ReaderURL is where notifications can be waited for, when URL leads through a
	// pooler that gives every transaction another session. "": URL.
	ReaderURL string
	// Prefix is the one of the notifications' names that the schema must have been
	// installed with. "": any.
	Prefix string
	// Connections is the size of the pool.
	Connections int
	Poll        time.Duration
	Upkeep      time.Duration
	// Log takes warnings, never a password.
	Log *slog.Logger

	fullQueue float64 // the share of the notification queue that is warned of
}

func (o Options) withDefaults() Options {
	if o.ReaderURL == "" {
		o.ReaderURL = o.URL
	}
	if o.Connections == 0 {
		o.Connections = poolConnections
	}
	if o.Poll == 0 {
		o.Poll = pollInterval
	}
	if o.Upkeep == 0 {
		o.Upkeep = upkeepInterval
	}
	if o.fullQueue == 0 {
		o.fullQueue = fullQueue
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
