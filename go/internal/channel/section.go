package channel

import (
	"encoding/binary"
	"math"
	"sync/atomic"
)

const (
	// fewOpen is how many members a section takes without sorting them by value:
	// to look at so few costs less than to look anything up.
	fewOpen = 4
	// manyFacets is the number from which a section finds its facets by hash.
	manyFacets = 8
)

// section holds members that one event reaches together: those of a pattern, with
// the same guard. open are those whose events cannot be told by a value.
type section[M, F any] struct {
	open   list[M]
	sorted atomic.Pointer[sorted[M, F]]
}

// sorted are a section's members by the values that they require.
type sorted[M, F any] struct {
	members list[M] // all of them
	facets  list[facet[M, F]]
	of      map[*F]*facet[M, F] // the writer's, above manyFacets
}

// facet is the members of a section that require values of one field. They are
// in the index's table of values, under (id, value).
type facet[M, F any] struct {
	id     uint64
	field  *F
	weight atomic.Int64 // of all of them
	count  int          // the writer's
}

// valueText is a value as the table's text.
func valueText(value uint64) (text [8]byte) {
	binary.LittleEndian.PutUint64(text[:], value)
	return text
}

func (s *section[M, F]) empty() bool { return s.open.count == 0 && s.sorted.Load() == nil }

// facet is the one of a field, or nil.
func (s *sorted[M, F]) facet(field *F) *facet[M, F] {
	if s == nil {
		return nil
	}
	if s.of != nil {
		return s.of[field]
	}
	for one := range s.facets.each {
		if one.field == field {
			return one
		}
	}
	return nil
}

// cost is the binary order of magnitude of what an event has to look at for a
// member added under c: the others with the same value or, where c would open a
// facet, the facets there are, since every event of the section looks at each. It is
// the mean over the values, so that one which everybody lists beside others does
// not outweigh those.
func (s *section[M, F]) cost(values *table[list[M]], c *Condition[F]) (cost float64) {
	all := s.sorted.Load()
	if all == nil || len(c.Values) == 0 {
		return 0
	}
	f := all.facet(c.Field)
	if f == nil {
		return math.Log2(1 + float64(all.facets.count))
	}
	for _, value := range c.Values {
		text := valueText(value)
		if l := values.find(f.id, string(text[:])); l != nil {
			cost += math.Log2(1 + float64(l.count))
		}
	}
	return cost / float64(len(c.Values))
}

// add puts m where events with one of c's values find it.
func (s *section[M, F]) add(x *Index[M, F], c *Condition[F], m *M) *facet[M, F] {
	all := s.sorted.Load()
	if all == nil {
		all = new(sorted[M, F])
		s.sorted.Store(all)
	}
	f := all.facet(c.Field)
	if f == nil {
		x.lastFacet++
		f = &facet[M, F]{id: x.lastFacet, field: c.Field}
		all.addFacet(f)
	}
	f.count++
	all.members.add(m)
	for _, value := range c.Values {
		text := valueText(value)
		x.values.obtain(f.id, string(text[:]), func(*list[M]) {}).add(m)
	}
	return f
}

// remove undoes add.
func (s *section[M, F]) remove(x *Index[M, F], c *Condition[F], f *facet[M, F], m *M) {
	all := s.sorted.Load()
	if all == nil || !all.members.remove(m) {
		return
	}
	for _, value := range c.Values {
		text := valueText(value)
		if l := x.values.find(f.id, string(text[:])); l != nil {
			l.remove(m)
			if l.count == 0 {
				x.values.remove(f.id, string(text[:]))
			}
		}
	}
	if f.count--; f.count == 0 {
		all.removeFacet(f)
	}
	if all.members.count == 0 {
		s.sorted.Store(nil)
	}
}

func (s *sorted[M, F]) addFacet(f *facet[M, F]) {
	s.facets.add(f)
	switch {
	case s.of != nil:
		s.of[f.field] = f
	case s.facets.count > manyFacets:
		s.of = make(map[*F]*facet[M, F], s.facets.count)
		for one := range s.facets.each {
			s.of[one.field] = one
		}
	}
}

func (s *sorted[M, F]) removeFacet(f *facet[M, F]) {
	s.facets.remove(f)
	delete(s.of, f.field)
	if s.facets.count <= manyFacets/2 {
		s.of = nil
	}
}

func (s *section[M, F]) appendTo(found *search[M, F]) {
	found.members = s.open.appendTo(found.members)
	all := s.sorted.Load()
	if all == nil {
		return
	}
	if found.event == nil {
		found.members = all.members.appendTo(found.members)
		return
	}
	for f := range all.facets.each {
		found.event.PassOver(f.field, int(f.weight.Load()))
		value, present := found.event.Value(f.field)
		if !present {
			continue
		}
		text := valueText(value)
		if l := found.index.values.find(f.id, string(text[:])); l != nil {
			found.members = l.appendTo(found.members)
		}
	}
}
