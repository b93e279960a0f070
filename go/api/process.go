package api

import (
	"runtime"
	"time"

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

// ProcessTurn has Go schedule the calling thread anew, which takes two wake-ups of threads, and
// waits for what else Go has to do; without the GIL.
func ProcessTurn() (_ int, err error) {
	defer guard(0, &err)
	if !bridge.Forked() {
		bridge.CurrentThread().Unlocked(runtime.Gosched)
	}
	return 0, nil
}
