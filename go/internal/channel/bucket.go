package channel

import "sync/atomic"

// bucket holds the members registered under one pattern. Those with no other
// pattern that could report them first are in plain; the rest are guarded.
type bucket[M any] struct {
	plain   list[M]
	guarded atomic.Pointer[guards[M]]
}

type guards[M any] struct {
	list list[guard[M]]
	of   map[*M]*guard[M] // the writer's
}

// guard is a member that is reported only when none of the earlier patterns,
// which are its own too, matches.
type guard[M any] struct {
	member  *M
	earlier []Pattern
}

func (b *bucket[M]) add(m *M, earlier []Pattern) {
	if len(earlier) == 0 {
		b.plain.add(m)
		return
	}
	g := b.guarded.Load()
	if g == nil {
		g = &guards[M]{of: map[*M]*guard[M]{}}
		b.guarded.Store(g)
	}
	one := &guard[M]{member: m, earlier: earlier}
	g.of[m] = one
	g.list.add(one)
}

func (b *bucket[M]) remove(m *M, guarded bool) {
	if !guarded {
		b.plain.remove(m)
		return
	}
	g := b.guarded.Load()
	if g == nil {
		return
	}
	if one := g.of[m]; one != nil {
		delete(g.of, m)
		g.list.remove(one)
	}
	if g.list.count == 0 {
		b.guarded.Store(nil)
	}
}

func (b *bucket[M]) empty() bool { return b.plain.count == 0 && b.guarded.Load() == nil }

func (b *bucket[M]) appendTo(dst []*M, channel string) []*M {
	dst = b.plain.appendTo(dst)
	if g := b.guarded.Load(); g != nil {
	members:
		for one := range g.list.each {
			for _, p := range one.earlier {
				if p.Match(channel) {
					continue members
				}
			}
			dst = append(dst, one.member)
		}
	}
	return dst
}
