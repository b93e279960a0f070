package executor

import (
	"context"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
)

// LogPanic records a recovered panic with the stack of the calling goroutine. A
// panic is a bug of ours; the work that it stopped must be the only one to pay.
func (x *Executor) LogPanic(what string, cause any) {
	x.log.Error(what, "cause", cause, "stack", string(debug.Stack()))
}

// logHandler hands records to Python's logging on a thread of the engine: the
// code that logs may hold locks, or no GIL.
type logHandler struct {
	executor   *Executor
	attributes []slog.Attr
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.executor.options.Debug
}

func (h *logHandler) Handle(_ context.Context, record slog.Record) error {
	var text strings.Builder
	text.WriteString(record.Message)
	write := func(attribute slog.Attr) bool {
		text.WriteString(" " + attribute.String())
		return true
	}
	for _, attribute := range h.attributes {
		write(attribute)
	}
	record.Attrs(write)
	h.executor.Lend(func(t *bus.Thread) {
		h.executor.python.Log(t, int(record.Level), text.String())
	})
	return nil
}

func (h *logHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return &logHandler{h.executor, append(h.attributes[:len(h.attributes):len(h.attributes)], attributes...)}
}

// WithGroup keeps the attributes flat: the engine logs sentences, not trees.
func (h *logHandler) WithGroup(string) slog.Handler { return h }
