package redis

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// dialPatience bounds connecting, handshakePatience the part of it that is TLS's,
	// answerPatience an answer of the server's.
	dialPatience      = 5 * time.Second
	handshakePatience = 3 * time.Second
	answerPatience    = 5 * time.Second
)

var (
	errClosed = errors.New("the connection has been closed")
	errGone   = errors.New("the connection was lost")
)

// link is one connection to the server, made anew when it was lost. It is used by one
// goroutine at a time; interrupt and close are for any.
type link struct {
	target target
	// introduce is what the owner has to say on a new connection. Optional.
	introduce func(ctx context.Context, client *redis.Client, peer peer) error

	client *redis.Client // nil while there is no connection
	wire   wire          // under it
	peer   peer

	mu     sync.Mutex
	raw    net.Conn // under client
	closed bool
}

// do connects if need be, and calls f with a client whose commands are ended when ctx
// is. The error is in the terms of remote.Server. sent says that f was called.
func (l *link) do(ctx context.Context, f func(client *redis.Client) error) (sent bool, err error) {
	if err := l.connect(ctx); err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, l.interrupt)
	ended := false
	defer func() {
		if !ended { // f has panicked: answers that nobody has read would be taken for the next ones
			stop()
			l.drop()
		}
	}()
	err = f(l.client)
	ended = true
	if !stop() || !isReply(err) {
		l.drop()
		if ctx.Err() != nil && !isReply(err) {
			err = ctx.Err()
		}
	}
	if err == nil {
		return true, nil
	}
	if l.target.master != "" && redis.HasErrorPrefix(err, "READONLY") {
		l.drop() // the sentinels know whom to ask instead
	}
	return true, l.target.refusal(err, "")
}

// connect makes the connection if there is none.
func (l *link) connect(ctx context.Context) error {
	if l.client != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	raw, address, err := l.target.dial(ctx)
	if err != nil {
		return l.target.refusal(err, "")
	}
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.raw = raw
	}
	l.mu.Unlock()
	if closed {
		raw.Close()
		return errClosed
	}
	client := newClient(raw, address, l.target.login, l.target.database)
	stop := context.AfterFunc(ctx, l.interrupt)
	defer stop()
	peer, err := meet(ctx, client, l.target)
	if err == nil && l.introduce != nil {
		err = l.introduce(ctx, client, peer)
	}
	l.client = client
	if err != nil {
		l.drop()
		return l.target.refusal(err, "")
	}
	l.peer = peer
	l.wire.conn = raw
	return nil
}

// drop lets go of the connection.
func (l *link) drop() {
	if l.client != nil {
		_ = l.client.Close() // it is not used any more, however it ends
		l.client = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.raw != nil {
		_ = l.raw.Close()
		l.raw = nil
	}
}

// interrupt ends what is under way on the connection, with an error.
func (l *link) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.raw != nil {
		_ = l.raw.Close()
	}
}

// close interrupts, and lets no other connection be made.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.interrupt()
}
