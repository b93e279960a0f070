package redis

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
)

// Follow implements remote.Server. One script reads the newest ids of the channels that
// are new here, and writes them into this node's own stream: what comes after that
// wake-up is read, on all of them, and what came before is history. The wake-up reaches
// the reader amid the events, which so learns of the channels in the order of time.
func (s *Server) Follow(ctx context.Context, patterns []channel.Pattern) (remote.Mark, error) {
	fresh, wake := s.interests.take(patterns)
	if len(fresh) > 0 {
		number, err := s.begin(ctx, fresh)
		if err != nil {
			s.interests.free(patterns, time.Now())
			return nil, err
		}
		wake = max(wake, number)
	}
	return &mark{wake: wake}, nil
}

// begin asks for patterns that are new here.
func (s *Server) begin(ctx context.Context, fresh []channel.Pattern) (number uint64, err error) {
	var names []string
	var wild []channel.Pattern
	for _, p := range fresh {
		if isWild(p) {
			wild = append(wild, p)
		} else {
			names = append(names, p.String())
		}
	}
	giveBack, err := s.calls.take(ctx)
	if err != nil {
		return 0, err
	}
	defer giveBack()
	var w wakeUp
	err = s.calls.askInTurn(ctx, func(client *redis.Client) (err error) {
		all := names
		if len(wild) > 0 {
			// What is announced from now on is followed by that: the patterns are known.
			used, err := s.used(ctx, client, wild, time.Now().Add(-2*s.options.horizon()).UnixMilli())
			if err != nil {
				return err
			}
			all = append(used, names...)
		}
		s.calls.wakes++
		number = s.calls.wakes
		w, err = s.wakeUp(ctx, client, number, all, false)
		return err
	})
	if err != nil {
		return 0, err
	}
	s.interests.asked(fresh, number, w.id.ms)
	return number, nil
}

// Unfollow implements remote.Server.
func (s *Server) Unfollow(patterns []channel.Pattern) { s.interests.free(patterns, time.Now()) }

// Follows implements remote.Server.
func (s *Server) Follows(channel string) bool { return s.interests.follows(channel) }
