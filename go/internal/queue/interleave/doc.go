// Package interleave holds tests only: it runs a copy of the queue and the ready
// list in which every atomic operation is a step of a scheduler, so that tests
// choose who moves next. They explore all interleavings of small cases, random
// ones of larger cases, and stop goroutines between any two steps to show that
// the others finish.
//
// The copy, copied_test.go, is the source of package queue with sync/atomic
// replaced by the types of atomic_test.go, so production code pays nothing.
// TestTheCopyForInterleavingIsCurrent of package queue fails when it is not; after
// a change run
//
//	go test ./go/internal/queue -run TestTheCopy -update
package interleave
