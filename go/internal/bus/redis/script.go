package redis

import (
	"context"
	_ "embed"

	"github.com/redis/go-redis/v9"
)

// The scripts are sent as they are and not by their hashes: whether the server still
// knows one must not change the order in which requests are accepted.
var (
	//go:embed script/renew.lua
	renewScript string
	//go:embed script/wake.lua
	wakeScript string
	//go:embed script/announce.lua
	announceScript string
	//go:embed script/tend.lua
	tendScript string
	//go:embed script/found.lua
	foundScript string
	// guardScript ends a transaction that adds to several streams, its keys. Where one is no stream
	// it runs undoScript, which it is given as an argument: Redis hashes each time what it is to
	// execute, and that takes longer than executing a short script. Neither has comments,
	// since each is sent with every such request.
	//go:embed script/guard.lua
	guardScript string
	// undoScript takes back what the transaction has added, if the oldest of as many entries is its
	// own (others may have written since where there was no transaction): the entries, the count of
	// those ever added, and the greatest deleted id (which cannot become none again: 0-1 is before
	// all), or the stream. The last id stays: it may only grow. After itself, its arguments are of each
	// key how many events were added, and how the first one begins. It returns 1, and guardScript
	// otherwise 0.
	//go:embed script/undo.lua
	undoScript string
	//go:embed script/publish.lua
	publishScript string
	//go:embed script/seek.lua
	seekScript string
	//go:embed script/inspect.lua
	inspectScript string
)

// call is a script with its keys and arguments.
type call struct {
	keys      []string
	arguments []any
}

func (c *call) key(keys ...string)        { c.keys = append(c.keys, keys...) }
func (c *call) argument(arguments ...any) { c.arguments = append(c.arguments, arguments...) }

// run adds a script to what a client or a pipeline does.
func (c *call) run(ctx context.Context, on redis.Cmdable, script string) *redis.Cmd {
	return on.Eval(ctx, script, c.keys, c.arguments...)
}
