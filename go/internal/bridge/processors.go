package bridge

import (
	"cmp"
	"os"
	"runtime"
)

// Cores is how many cores Go has found, or is to use: of its processors there may be one more.
func Cores() int { return cmp.Or(process.cores, runtime.GOMAXPROCS(0)) }

// addProcessor gives Go one processor more than it has found cores. A thread that has returned
// into Python, or waits in the kernel, keeps its processor until Go's monitor takes it back. While
// every processor is kept, the monitor looks for one to take 50,000 times a second and wakes threads
// that find nothing to do, and a thread that comes from Python, the GIL in hand, waits for it. With
// one that nobody has, the monitor rests. An application that sets GOMAXPROCS has decided for itself.
func addProcessor() {
	if process.cores > 0 {
		return
	}
	process.cores = runtime.GOMAXPROCS(0)
	if _, set := os.LookupEnv("GOMAXPROCS"); !set {
		runtime.GOMAXPROCS(process.cores + 1)
	}
}
