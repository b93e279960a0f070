package channel

import (
	"strings"
	"sync/atomic"
)

// bucket holds the members registered under one pattern. Those with no other
// pattern that could report them first are in plain; the rest are guarded.
type bucket[M, F any] struct {
	plain   section[M, F]
	guarded atomic.Pointer[guards[M, F]]
}

type guards[M, F any] struct {
	sections list[guardedSection[M, F]]
	of       map[string]*guardedSection[M, F] // by name, the writer's
}

// guardedSection holds members that are reported only when none of the earlier
// patterns, which are their own too, matches.
type guardedSection[M, F any] struct {
	section[M, F]
	earlier []Pattern
}

// name tells lists of patterns apart: no pattern has a space.
func name(patterns []Pattern) string {
	if len(patterns) == 1 {
		return patterns[0].text
	}
	texts := make([]string, len(patterns))
	for i, p := range patterns {
		texts[i] = p.text
	}
	return strings.Join(texts, " ")
}

// obtain is the section of the members with these earlier patterns, made if
// absent. earlier is kept.
func (b *bucket[M, F]) obtain(earlier []Pattern) *section[M, F] {
	if len(earlier) == 0 {
		return &b.plain
	}
	g := b.guarded.Load()
	if g == nil {
		g = &guards[M, F]{of: map[string]*guardedSection[M, F]{}}
		b.guarded.Store(g)
	}
	name := name(earlier)
	s := g.of[name]
	if s == nil {
		s = &guardedSection[M, F]{earlier: earlier}
		g.of[name] = s
		g.sections.add(s)
	}
	return &s.section
}

// find is obtain without making anything: nil if absent.
func (b *bucket[M, F]) find(earlier []Pattern) *section[M, F] {
	if len(earlier) == 0 {
		return &b.plain
	}
	if g := b.guarded.Load(); g != nil {
		if s := g.of[name(earlier)]; s != nil {
			return &s.section
		}
	}
	return nil
}

// prune takes the section of these earlier patterns out if it is empty.
func (b *bucket[M, F]) prune(earlier []Pattern) {
	g := b.guarded.Load()
	if len(earlier) == 0 || g == nil {
		return
	}
	name := name(earlier)
	if s := g.of[name]; s != nil && s.empty() {
		delete(g.of, name)
		g.sections.remove(s)
	}
	if g.sections.count == 0 {
		b.guarded.Store(nil)
	}
}

func (b *bucket[M, F]) empty() bool { return b.plain.empty() && b.guarded.Load() == nil }

func (b *bucket[M, F]) appendTo(s *search[M, F]) {
	b.plain.appendTo(s)
	if g := b.guarded.Load(); g != nil {
	sections:
		for one := range g.sections.each {
			for _, p := range one.earlier {
				if p.Match(s.channel) {
					continue sections
				}
			}
			one.appendTo(s)
		}
	}
}
