package remote

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// How long a lost connection is left alone before it is tried again: twice as long each
// time, and a random part of that, so that the nodes of a cluster do not come together.
const (
	shortestPause = 10 * time.Millisecond
	longestPause  = 2 * time.Second
)

// link is the connection that is read from, as callers see it.
type link struct {
	mu         sync.Mutex
	connected  bool
	failure    error // of the newest attempt, nil while connected
	since      time.Time
	reconnects uint64
	changed    chan struct{} // closed, and made anew, on every change
}

// set notes how an attempt to connect or to read ended, and reports whether that is
// another state than before.
func (l *link) set(failure error) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	connected := failure == nil
	changed = l.since.IsZero() || connected != l.connected
	if changed {
		if connected && !l.since.IsZero() {
			l.reconnects++
		}
		l.since = time.Now()
	}
	l.connected, l.failure = connected, failure
	close(l.changed)
	l.changed = make(chan struct{})
	return changed
}

// await waits for a connection. The error is the server's refusal, or why it was not
// reached in time.
func (l *link) await(ctx context.Context) error {
	for {
		l.mu.Lock()
		connected, failure, changed := l.connected, l.failure, l.changed
		l.mu.Unlock()
		var final *fault.Error
		if connected || errors.As(failure, &final) {
			return failure
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if failure != nil {
				return failure
			}
			return fmt.Errorf("it has not answered yet: %w", ctx.Err())
		}
	}
}

func (l *link) describe(state map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state["connected"] = l.connected
	switch {
	case l.connected:
		state["connection"] = "connected"
	case l.since.IsZero():
		state["connection"] = "connecting"
	default:
		state["connection"] = "lost"
		state["error"] = l.failure.Error()
	}
	if !l.since.IsZero() {
		state["since"] = float64(l.since.UnixMilli()) / 1000
	}
	state["reconnects"] = l.reconnects
}

// pause grows with each attempt that failed.
type pause struct{ attempts uint }

// wait waits for a while, or until ctx is done.
func (p *pause) wait(ctx context.Context) {
	longest := min(shortestPause<<min(p.attempts, 16), longestPause)
	p.attempts++
	timer := time.NewTimer(longest/2 + rand.N(longest/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (p *pause) reset() { p.attempts = 0 }
