package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// newClient speaks over a connection that has been made, and makes no other.
func newClient(raw net.Conn, address string, as login, database int) *redis.Client {
	given := false
	return redis.NewClient(&redis.Options{
		Addr: address,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			if given {
				return nil, errGone
			}
			given = true
			return raw, nil
		},
		Protocol:         2,
		Username:         as.user,
		Password:         as.password,
		DB:               database,
		MaxRetries:       -1, // what was sent must not be sent again by itself
		DialerRetries:    1,
		PoolSize:         2, // with 1, a goroutine would dial again and again
		PipelinePoolSize: -1,
		ConnMaxIdleTime:  -1,
		ReadTimeout:      blockPatience + answerPatience,
		WriteTimeout:     answerPatience,
		ReadBufferSize:   64 << 10,
		WriteBufferSize:  64 << 10,
		DisableIdentity:  true,

		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// dial connects to the server, which the sentinels name where there are any.
func (t target) dial(ctx context.Context) (raw net.Conn, address string, err error) {
	address = t.addresses[0]
	if t.master != "" {
		if address, err = t.findMaster(ctx); err != nil {
			return nil, "", err
		}
	}
	raw, err = t.dialTo(ctx, address)
	return raw, address, err
}

func (t target) dialTo(ctx context.Context, address string) (net.Conn, error) {
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil || t.tls == nil {
		return raw, err
	}
	return encrypted(ctx, raw, address, t.tls)
}

// findMaster asks the sentinels, one after another, for the server's address.
func (t target) findMaster(ctx context.Context) (string, error) {
	var problem error
	for _, sentinel := range t.addresses {
		address, err := t.askSentinel(ctx, sentinel)
		if err == nil {
			return address, nil
		}
		var final *fault.Error
		if errors.As(err, &final) {
			return "", final
		}
		problem = errors.Join(problem, fmt.Errorf("sentinel %s: %w", sentinel, err))
	}
	return "", problem
}

func (t target) askSentinel(ctx context.Context, sentinel string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience/time.Duration(len(t.addresses)))
	defer cancel()
	raw, err := t.dialTo(ctx, sentinel)
	if err != nil {
		return "", t.unreached(err)
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	client := newClient(raw, sentinel, t.sentinel, 0)
	defer client.Close()
	command := redis.NewStringSliceCmd(ctx, "sentinel", "get-master-addr-by-name", t.master)
	switch err := client.Process(ctx, command); {
	case errors.Is(err, redis.Nil):
		return "", fault.New(fault.BusError, "the sentinel %s knows no master %q; it is the master= of the URL", sentinel, t.master)
	case err != nil && isReply(err):
		return "", fault.New(fault.BusError, "the sentinel %s refuses: %s; sentinel_username and sentinel_password in the URL are for it", sentinel, t.clean(replyOf(err)))
	case err != nil:
		return "", t.unreached(err)
	case len(command.Val()) != 2:
		return "", fmt.Errorf("the sentinel answers %q", command.Val())
	}
	return net.JoinHostPort(command.Val()[0], command.Val()[1]), nil
}

// encrypted is a connection in TLS.
func encrypted(ctx context.Context, raw net.Conn, address string, config *tls.Config) (net.Conn, error) {
	own := config.Clone()
	own.ServerName, _, _ = net.SplitHostPort(address) // it was dialed
	secure := tls.Client(raw, own)
	ctx, cancel := context.WithTimeout(ctx, handshakePatience)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("no TLS handshake, perhaps it does not speak TLS there: %w", err)
		}
		return nil, err
	}
	return secure, nil
}
