package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// oldest is the first version that counts what was removed from a stream.
const oldest = 7

// peer is the server at the other end of a connection, as it told when it was met.
type peer struct {
	version string
	run     string // of this process of the server's: another one after a restart
	address string
	number  int64    // of the connection, at the server
	clock   streamID // its time
	evicts  string   // its policy, where that lets keys go that still have their time
}

// meet asks the server who it is. The error says why it will not do.
func meet(ctx context.Context, client *redis.Client, t target) (peer, error) {
	var info *redis.StringCmd
	var id *redis.IntCmd
	var clock *redis.TimeCmd
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		info, id, clock = pipe.Info(ctx), pipe.ClientID(ctx), pipe.Time(ctx)
		// Where MULTI is refused, what follows it would be executed one by one.
		pipe.Do(ctx, "multi")
		pipe.Do(ctx, "exec")
		return nil
	})
	if err != nil {
		return peer{}, err
	}
	facts := map[string]string{}
	for line := range strings.Lines(info.Val()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		facts[name] = value
	}
	p := peer{version: facts["redis_version"], run: facts["run_id"], address: client.Options().Addr, number: id.Val(), clock: streamID{ms: uint64(clock.Val().UnixMilli())}}
	major, _, _ := strings.Cut(p.version, ".")
	switch n, err := strconv.Atoi(major); {
	case facts["cluster_enabled"] == "1":
		return peer{}, errCluster
	case err != nil || n < oldest:
		return peer{}, fault.New(fault.BusError, "the Redis server at %s has the version %s; the engine needs %d.0 or newer", t, p.version, oldest)
	case facts["loading"] == "1":
		return peer{}, errors.New("it is still loading its data")
	case facts["role"] != "master" && t.master != "":
		return peer{}, errors.New("whom the sentinels name has not become master yet")
	case facts["role"] != "master":
		return peer{}, fault.New(fault.BusError, "the Redis server at %s is a read-only replica; give the URL of its master", t)
	}
	if policy := facts["maxmemory_policy"]; facts["maxmemory"] != "0" && policy != "noeviction" {
		p.evicts = policy
	}
	return p, nil
}
