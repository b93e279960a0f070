package interleave

import (
	"os"
	"runtime"
	"testing"
)

// One thread moves at a time, and handing over within one processor is ten times
// cheaper than between two.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}
