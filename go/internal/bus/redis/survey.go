package redis

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
)

const (
	// surveying is how often it is looked whether Redis is still the one that it was.
	surveying = time.Second
	// scanning is how often one node of all looks for streams that nobody announced: that
	// takes it a moment, and they must be found within ten seconds.
	scanning = 4 * time.Second
	// scanned is how many keys one SCAN looks at.
	scanned = 1000
)

// survey looks after what nobody tells: that all keys have gone, that the sentinels have
// chosen another server, that somebody writes to streams that nobody has announced.
func (s *Server) survey(ctx context.Context) {
	tick := time.NewTicker(surveying)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if epoch, address := s.connected(); epoch != "" {
			s.look(ctx, epoch, address)
		}
	}
}

// connected is where the reader is; an empty epoch: not yet.
func (s *Server) connected() (epoch, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.facts.epoch, s.facts.peer.address
}

// look is one survey. What fails is tried again with the next: the reader says what is
// wrong with the server.
func (s *Server) look(ctx context.Context, epoch, address string) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	if s.target.master != "" {
		if master, err := s.target.findMaster(ctx); err == nil && master != address {
			s.reading.link.interrupt()
			s.outgoing.link.interrupt()
			s.calls.link.interrupt()
			return
		}
	}
	_, wild := s.interests.patterns()
	scans := false
	_ = s.calls.ask(ctx, func(client *redis.Client) error {
		now, err := client.Get(ctx, epochKey).Result()
		if errors.Is(err, redis.Nil) {
			_, err = s.renew(ctx, client, "", true)
		}
		if err == nil && now == epoch && len(wild) > 0 {
			scans, err = client.SetNX(ctx, scannerKey, s.node, scanning-surveying/2).Result()
		}
		return err
	})
	if scans {
		_ = s.scan(ctx)
	}
}

// scan announces the streams that somebody wrote to without an announcement.
func (s *Server) scan(ctx context.Context) error {
	known := map[string]bool{}
	var cursor uint64
	for first := true; first || cursor != 0; first = false {
		// Others may ask between two pages.
		err := s.calls.ask(ctx, func(client *redis.Client) error {
			if first {
				names, err := client.ZRange(ctx, usedKey, 0, -1).Result()
				if err != nil {
					return err
				}
				for _, name := range names {
					known[name] = true
				}
			}
			keys, next, err := client.ScanType(ctx, cursor, streamPrefix+"*", scanned, "stream").Result()
			if err != nil {
				return err
			}
			cursor = next
			c := call{}
			c.key(channelsKey, usedKey)
			for _, key := range keys {
				name := strings.TrimPrefix(key, streamPrefix)
				if !known[name] && channel.Validate(name) == nil {
					c.argument(name)
				}
			}
			if len(c.arguments) == 0 {
				return nil
			}
			return c.run(ctx, client, foundScript).Err()
		})
		if err != nil {
			return err
		}
	}
	return nil
}
