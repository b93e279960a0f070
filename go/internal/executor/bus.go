package executor

import (
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/memory"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/redis"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// BusOptions choose the event bus. History is the memory bus's, the rest a server's.
type BusOptions struct {
	Kind           string  `json:"kind"`
	History        int     `json:"history"` // events a channel
	URL            string  `json:"url"`
	ReaderURL      string  `json:"reader_url"`      // past a pooler of PostgreSQL's; "": URL
	PublishTimeout float64 `json:"publish_timeout"` // seconds
	Retention      float64 `json:"retention"`       // seconds; PostgreSQL's is in its schema
	MaxLength      int     `json:"max_length"`      // of a stream in Redis; 0: no such bound
	Prefix         string  `json:"prefix"`          // of PostgreSQL's notification channels
}

// openBus makes the bus that the options name.
func (x *Executor) openBus(options BusOptions) error {
	if options.Kind == "memory" {
		x.bus = memory.New(x, options.History)
		return nil
	}
	server, err := x.server(options)
	if err != nil {
		return err
	}
	x.remote = true
	x.bus = remote.New(x, server, remote.Options{
		PublishTimeout: seconds(options.PublishTimeout),
		Log:            x.log,
		Accepted:       x.metrics.Published,
		Panicked:       func(cause any) { x.LogPanic("the bus panicked", cause) },
	})
	return nil
}

// server makes the server's side of a bus. Nothing is connected yet.
func (x *Executor) server(options BusOptions) (remote.Server, error) {
	switch options.Kind {
	case "redis":
		return redis.New(redis.Options{URL: options.URL, Retention: seconds(options.Retention), MaxLen: int64(options.MaxLength), Log: x.log})
	case "postgresql":
		return postgres.New(postgres.Options{URL: options.URL, ReaderURL: options.ReaderURL, Prefix: options.Prefix, Log: x.log})
	default:
		return nil, fault.New(fault.InvalidValue, "the event bus %q is not one of memory, redis, postgresql", options.Kind)
	}
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
