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
	// guardScript is given undoScript as an argument: Redis hashes what it is to execute each
	// time, which takes longer than the rest of a short script.
	//go:embed script/guard.lua
	guardScript string
	//go:embed script/undo.lua
	undoScript string
	//go:embed script/publish.lua
	publishScript string
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
