package postgres

import (
	"sync"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
)

// maxVerdicts bounds how many channels the answers of has are kept for.
const maxVerdicts = 10_000

// followed counts the patterns that are followed. The zero value is ready.
type followed struct {
	mu       sync.RWMutex
	exact    map[string]int          // channels without a wildcard
	wild     map[channel.Pattern]int // the others
	verdicts map[string]bool         // whether a channel matches one of wild
}

// join adds patterns if others are followed already.
func (f *followed) join(patterns []channel.Pattern) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.some() {
		return false
	}
	f.add(patterns)
	return true
}

// begin adds patterns, and calls first before that if there are no others.
func (f *followed) begin(patterns []channel.Pattern, first func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.some() {
		first()
	}
	f.add(patterns)
}

// unlessSome calls idle if nothing is followed, and while that is so.
func (f *followed) unlessSome(idle func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.some() {
		idle()
	}
}

// any reports whether something is followed.
func (f *followed) any() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.some()
}

func (f *followed) some() bool { return len(f.exact) > 0 || len(f.wild) > 0 }

func (f *followed) add(patterns []channel.Pattern) {
	if f.exact == nil {
		f.exact, f.wild, f.verdicts = make(map[string]int), make(map[channel.Pattern]int), make(map[string]bool)
	}
	for _, p := range patterns {
		if name, exact := p.Name(); exact {
			f.exact[name]++
		} else if f.wild[p]++; f.wild[p] == 1 {
			clear(f.verdicts)
		}
	}
}

func (f *followed) remove(patterns []channel.Pattern) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range patterns {
		if name, exact := p.Name(); exact {
			if f.exact[name]--; f.exact[name] <= 0 {
				delete(f.exact, name)
			}
		} else if f.wild[p]--; f.wild[p] <= 0 {
			delete(f.wild, p)
			clear(f.verdicts)
		}
	}
}

// has reports whether a channel matches a pattern that is followed.
func (f *followed) has(name string) bool {
	f.mu.RLock()
	if f.exact[name] > 0 || len(f.wild) == 0 {
		defer f.mu.RUnlock()
		return f.exact[name] > 0
	}
	verdict, known := f.verdicts[name]
	f.mu.RUnlock()
	if known {
		return verdict
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.wild {
		if verdict = p.Match(name); verdict {
			break
		}
	}
	if len(f.verdicts) >= maxVerdicts {
		clear(f.verdicts)
	}
	f.verdicts[name] = verdict
	return verdict
}
