package bridge

import "os"

// heapFloor is what Go's heap counts at least. Its collector runs when the heap has
// doubled since the last time: with a few live megabytes hundreds of times a second
// under load, with this floor after every 13 MB or so.
const heapFloor = 8 << 20

// raiseHeapFloor allocates memory that is never touched: it counts as heap and takes
// address space, but none of the machine's memory. An application that sets GOGC has
// decided for itself (docs/operations.md has the figures).
func raiseHeapFloor() {
	if _, set := os.LookupEnv("GOGC"); !set && process.floor == nil {
		process.floor = make([]byte, heapFloor)
	}
}
