package api

import (
	"time"

	"github.com/bytedance/sonic"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bridge"
)

// exitGrace is how long the interpreter's exit waits for the engine's threads.
const exitGrace = time.Second

// ProcessInit installs the hooks that the engine needs in this process and appends
// to the list at outAddress a read-only memoryview of one byte, which is 1 in a
// child that was forked afterwards. Subinterpreters are refused.
func ProcessInit(outAddress int) (_ int, err error) {
	defer guard(0, &err)
	return 0, bridge.ListAt(outAddress).ProcessInit()
}

// ProcessExit is the interpreter's exit hook: no new call into Python is made, and
// those under way get at most one second.
func ProcessExit() (_ int, err error) {
	defer guard(0, &err)
	if !bridge.Forked() {
		bridge.Exit(exitGrace)
	}
	return 0, nil
}

// Metrics is the JSON of get_metrics().
func Metrics(handle int) (text string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	t.Unlocked(func() { text, err = sonic.MarshalString(e.Executor.Metrics()) })
	return text, err
}

// MetricsText is the Prometheus exposition of the same.
func MetricsText(handle int) (text string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	t.Unlocked(func() { text, err = e.Executor.MetricsText() })
	return text, err
}

// Health is the JSON of health().
func Health(handle int) (text string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	t.Unlocked(func() { text, err = sonic.MarshalString(e.Executor.Health()) })
	return text, err
}
