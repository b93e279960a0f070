package redis

import (
	"maps"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
)

// grace is how long a pattern that nobody has any more is still followed: who published
// a moment ago waits for the event to come back, and whoever follows it again soon finds
// it followed.
const grace = 10 * time.Second

// maxVerdicts bounds how many channels the answers of Follows are kept for.
const maxVerdicts = 10_000

// interests are the patterns that this node follows.
type interests struct {
	mu       sync.Mutex
	all      map[channel.Pattern]*interest
	wild     map[channel.Pattern]*interest // those of all with a wildcard
	read     uint64                        // number of the newest wake-up read
	verdicts map[string]bool               // of follows, until something changes
}

type interest struct {
	count int
	wake  uint64    // after which it is in force; 0: Redis has not been asked yet
	since uint64    // the time of that, in milliseconds
	freed time.Time // since when nobody has it, while count is 0
}

func newInterests() *interests {
	return &interests{
		all:      make(map[channel.Pattern]*interest),
		wild:     make(map[channel.Pattern]*interest),
		verdicts: make(map[string]bool),
	}
}

func isWild(p channel.Pattern) bool { return strings.ContainsAny(p.String(), "*>") }

// take counts patterns. fresh are those to be asked for; wake is the newest wake-up that
// the others wait for.
func (i *interests) take(patterns []channel.Pattern) (fresh []channel.Pattern, wake uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range patterns {
		one := i.all[p]
		if one == nil {
			one = &interest{}
			i.all[p] = one
			if isWild(p) {
				i.wild[p] = one
			}
		}
		if one.count++; one.count == 1 {
			clear(i.verdicts)
		}
		if one.wake == 0 {
			fresh = append(fresh, p)
		}
		wake = max(wake, one.wake)
	}
	return fresh, wake
}

// asked notes that patterns are in force after a wake-up.
func (i *interests) asked(patterns []channel.Pattern, wake, ms uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range patterns {
		if one := i.all[p]; one != nil && one.wake == 0 {
			one.wake, one.since = wake, ms
		}
	}
	clear(i.verdicts)
}

// free lets go of patterns.
func (i *interests) free(patterns []channel.Pattern, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range patterns {
		one := i.all[p]
		if one == nil {
			continue
		}
		if one.count--; one.count > 0 {
			continue
		}
		one.freed = now
		clear(i.verdicts)
		if one.wake == 0 {
			i.drop(p)
		}
	}
}

func (i *interests) drop(p channel.Pattern) {
	delete(i.all, p)
	delete(i.wild, p)
}

// sweep forgets what nobody has had for a while, and reports whether there was any.
func (i *interests) sweep(now time.Time) (changed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for p, one := range i.all {
		if one.count == 0 && now.Sub(one.freed) > grace {
			i.drop(p)
			changed = true
		}
	}
	return changed
}

// advance notes which wake-up was read.
func (i *interests) advance(wake uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if wake != i.read {
		i.read = wake
		clear(i.verdicts)
	}
}

// wants reports whether a channel's events are to be read, and since when by the
// server's clock; never, where that is still to be asked.
func (i *interests) wants(name string) (since uint64, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	since = math.MaxUint64
	for _, one := range i.matching(name) {
		ok = true
		if one.wake != 0 {
			since = min(since, one.since)
		}
	}
	return since, ok
}

// names reports whether a pattern is a channel's name itself.
func (i *interests) names(name string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.named(name) != nil
}

// follows reports whether a channel's events are read, and somebody has them.
func (i *interests) follows(name string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	verdict, known := i.verdicts[name]
	if known {
		return verdict
	}
	for _, one := range i.matching(name) {
		verdict = verdict || one.count > 0 && one.wake != 0 && one.wake <= i.read
	}
	if len(i.verdicts) >= maxVerdicts {
		clear(i.verdicts)
	}
	i.verdicts[name] = verdict
	return verdict
}

// matching are the interests in a channel. i.mu is held.
func (i *interests) matching(name string) (found []*interest) {
	if one := i.named(name); one != nil {
		found = append(found, one)
	}
	for p, one := range i.wild {
		if p.Match(name) {
			found = append(found, one)
		}
	}
	return found
}

func (i *interests) named(name string) *interest {
	p, err := channel.ParsePattern(name)
	if err != nil {
		return nil
	}
	return i.all[p]
}

// patterns are all, and those with a wildcard.
func (i *interests) patterns() (named, wild []channel.Pattern) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for p := range maps.Keys(i.all) {
		if isWild(p) {
			wild = append(wild, p)
		} else {
			named = append(named, p)
		}
	}
	return named, wild
}
