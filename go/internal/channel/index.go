package channel

import (
	"slices"
	"sync"
)

// Index finds the members whose patterns match a channel. The zero Index is
// empty and ready; it must not be copied.
//
// AppendMatches may run on any goroutine at any time and never waits; Add and
// Remove wait for each other on a mutex that is held for the change only.
//
// Exact names are in a hash table, patterns with wildcards in a trie over
// segments, so the cost of a lookup follows what it finds and not what is
// registered.
type Index[M any] struct {
	mu    sync.Mutex // serialises Add and Remove
	all   list[M]    // members that listen to everything
	exact table[bucket[M]]
	trie  trie[M]
}

// Add registers m under patterns. When it returns, every AppendMatches that
// begins finds m. m is kept until Remove; it must not be added again before.
// patterns are not kept.
func (x *Index[M]) Add(patterns []Pattern, m *M) {
	wilds, exacts, all := plan(patterns)
	x.mu.Lock()
	defer x.mu.Unlock()
	if all {
		x.all.add(m)
		return
	}
	for i, p := range wilds {
		x.trie.obtain(p.text).bucket.add(m, wilds[:i])
	}
	for _, p := range exacts {
		x.exact.obtain(0, p.text, func(*bucket[M]) {}).add(m, wilds)
	}
}

// Remove undoes Add with the same patterns. No AppendMatches that begins after
// it returned finds m. Removing what isn't there does nothing.
func (x *Index[M]) Remove(patterns []Pattern, m *M) {
	wilds, exacts, all := plan(patterns)
	x.mu.Lock()
	defer x.mu.Unlock()
	if all {
		x.all.remove(m)
		return
	}
	for i, p := range wilds {
		if n := x.trie.find(p.text); n != nil {
			n.bucket.remove(m, i > 0)
			x.trie.prune(n)
		}
	}
	for _, p := range exacts {
		if b := x.exact.find(0, p.text); b != nil {
			b.remove(m, len(wilds) > 0)
			if b.empty() {
				x.exact.remove(0, p.text)
			}
		}
	}
}

// AppendMatches appends to dst each member one of whose patterns matches
// channel, once, in no particular order. channel must satisfy Validate. It never
// blocks, so it may be called with Python's GIL held, and allocates only to grow
// dst.
//
// It finds every member whose Add returned before it began and whose Remove
// hasn't begun; of members that are being added or removed meanwhile it may find
// some.
func (x *Index[M]) AppendMatches(dst []*M, channel string) []*M {
	dst = x.all.appendTo(dst)
	if b := x.exact.find(0, channel); b != nil {
		dst = b.appendTo(dst, channel)
	}
	return x.trie.appendTo(dst, channel)
}

// plan splits patterns, each taken once, into those with wildcards, exact names,
// and whether one of them is everything, beside which the others are idle. Add
// and Remove must see the same plan, so it depends on patterns only.
//
// A member is reported once by rule: through a pattern with wildcards only when
// no earlier one of its own matches, and through an exact name (at most one is
// equal to the channel) only when no pattern with wildcards matches. So nothing
// is marked per event, and members with one pattern, or exact names only, pay
// nothing.
func plan(patterns []Pattern) (wilds, exacts []Pattern, all bool) {
	if len(patterns) == 1 {
		switch patterns[0].kind {
		case everything:
			return nil, nil, true
		case wild:
			return patterns, nil, false
		}
		return nil, patterns, false
	}
	seen := make(map[Pattern]struct{}, len(patterns))
	for _, p := range patterns {
		if _, again := seen[p]; again {
			continue
		}
		seen[p] = struct{}{}
		switch p.kind {
		case everything:
			return nil, nil, true
		case wild:
			wilds = append(wilds, p)
		case exact:
			exacts = append(exacts, p)
		}
	}
	return slices.Clip(wilds), exacts, false
}
