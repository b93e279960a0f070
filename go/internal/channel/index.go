package channel

import (
	"slices"
	"sync"
)

// Index finds the members whose patterns match a channel and, of those that say
// what they require of an event's fields, the ones that an event may satisfy. M is
// the type of members, F of fields. The zero Index is empty and ready; it must not
// be copied.
//
// AppendMatches and AppendCandidates may run on any goroutine at any time and
// never wait; Add and Remove wait for each other on a mutex that is held for the
// change only.
//
// Exact names are in a hash table, patterns with wildcards in a trie over
// segments, values in a hash table, so the cost of a lookup follows what it finds
// and not what is registered.
type Index[M, F any] struct {
	mu     sync.Mutex    // serialises Add and Remove
	all    section[M, F] // members that listen to everything
	exact  table[bucket[M, F]]
	trie   trie[M, F]
	values table[list[M]] // by (facet, value)

	lastFacet uint64 // last id given, the writer's; never reused
}

// search is one lookup.
type search[M, F any] struct {
	index   *Index[M, F]
	channel string
	event   Event[F] // nil: everybody
	members []*M
}

// Add registers m under patterns. conditions are what it requires of an event, all
// at once; it is found by the one that tells it apart best, and not at all by
// events that cannot satisfy that one. When Add returns, every AppendMatches and
// AppendCandidates that begins finds m. m is kept until Remove; it must not be
// added again before. patterns and conditions are not kept, their Values are. The
// Place is nil when m is found by its channels alone.
func (x *Index[M, F]) Add(patterns []Pattern, conditions []Condition[F], m *M) *Place[M, F] {
	r := plan(patterns)
	x.mu.Lock()
	defer x.mu.Unlock()
	var few [4]*section[M, F]
	sections := x.obtain(few[:0], r)
	best := x.choose(sections, conditions)
	if best == nil {
		for _, s := range sections {
			s.open.add(m)
		}
		return nil
	}
	place := &Place[M, F]{condition: *best, facets: make([]*facet[M, F], len(sections))}
	for i, s := range sections {
		place.facets[i] = s.add(x, best, m)
	}
	return place
}

// choose is the condition under which a member costs the events least, nil for
// none. Of many members that name, say, a status and an order, a few end up with
// the status before the order is always the better choice; so nobody needs to
// declare what is selective.
func (x *Index[M, F]) choose(sections []*section[M, F], conditions []Condition[F]) (best *Condition[F]) {
	if len(conditions) == 0 || !slices.ContainsFunc(sections, func(s *section[M, F]) bool { return s.open.count >= fewOpen }) {
		return nil
	}
	least := 0.0
	for i := range conditions {
		cost := 0.0
		for _, s := range sections {
			cost += s.cost(&x.values, &conditions[i])
		}
		if best == nil || cost < least {
			best, least = &conditions[i], cost
		}
	}
	return best
}

// obtain appends the sections in which a member with this plan is kept, those
// absent made.
func (x *Index[M, F]) obtain(dst []*section[M, F], r route) []*section[M, F] {
	if r.all {
		return append(dst, &x.all)
	}
	for i, p := range r.wilds {
		dst = append(dst, x.trie.obtain(p.text).bucket.obtain(r.wilds[:i]))
	}
	for _, p := range r.exacts {
		dst = append(dst, x.exact.obtain(0, p.text, func(*bucket[M, F]) {}).obtain(r.wilds))
	}
	return dst
}

// Remove undoes Add with the same patterns; place is what Add gave. No lookup that
// begins after it returned finds m. Removing what isn't there does nothing.
func (x *Index[M, F]) Remove(patterns []Pattern, place *Place[M, F], m *M) {
	r := plan(patterns)
	x.mu.Lock()
	defer x.mu.Unlock()
	number := 0
	remove := func(s *section[M, F]) {
		switch {
		case s == nil:
		case place == nil:
			s.open.remove(m)
		default:
			s.remove(x, &place.condition, place.facets[number], m)
		}
		number++
	}
	if r.all {
		remove(&x.all)
		return
	}
	for i, p := range r.wilds {
		if n := x.trie.find(p.text); n != nil {
			remove(n.bucket.find(r.wilds[:i]))
			n.bucket.prune(r.wilds[:i])
			x.trie.prune(n)
		}
	}
	for _, p := range r.exacts {
		if b := x.exact.find(0, p.text); b != nil {
			remove(b.find(r.wilds))
			b.prune(r.wilds)
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
func (x *Index[M, F]) AppendMatches(dst []*M, channel string) []*M {
	return x.append(dst, channel, nil)
}

// AppendCandidates is AppendMatches without those members that cannot want event,
// as far as the index can tell.
func (x *Index[M, F]) AppendCandidates(dst []*M, channel string, event Event[F]) []*M {
	return x.append(dst, channel, event)
}

func (x *Index[M, F]) append(dst []*M, channel string, event Event[F]) []*M {
	s := search[M, F]{index: x, channel: channel, event: event, members: dst}
	x.all.appendTo(&s)
	if b := x.exact.find(0, channel); b != nil {
		b.appendTo(&s)
	}
	x.trie.appendTo(&s)
	return s.members
}

// route says in which sections a member is.
type route struct {
	wilds, exacts []Pattern
	all           bool
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
func plan(patterns []Pattern) route {
	if len(patterns) == 1 {
		switch patterns[0].kind {
		case everything:
			return route{all: true}
		case wild:
			return route{wilds: patterns}
		}
		return route{exacts: patterns}
	}
	var r route
	seen := make(map[Pattern]struct{}, len(patterns))
	for _, p := range patterns {
		if _, again := seen[p]; again {
			continue
		}
		seen[p] = struct{}{}
		switch p.kind {
		case everything:
			return route{all: true}
		case wild:
			r.wilds = append(r.wilds, p)
		case exact:
			r.exacts = append(r.exacts, p)
		}
	}
	r.wilds = slices.Clip(r.wilds)
	return r
}
