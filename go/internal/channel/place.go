package channel

// Condition is what a member requires of an event: that the value of Field is one
// of Values, each given once; none means that no event will do. Values are hashes,
// so that two values of a field may share one; what the index finds is a superset.
type Condition[F any] struct {
	Field  *F
	Values []uint64
}

// Place is where an Index keeps a member that it finds by value.
type Place[M, F any] struct {
	condition Condition[F]
	facets    []*facet[M, F] // by section
}

// Field is the one by whose value the member is found, nil for a nil Place.
func (p *Place[M, F]) Field() *F {
	if p == nil {
		return nil
	}
	return p.condition.Field
}

// Weigh adds to the member's weight, which is 0 at first and must be 0 again when
// the member is removed: Event.PassOver hears of it. It never waits.
func (p *Place[M, F]) Weigh(change int) {
	if p == nil {
		return
	}
	for _, f := range p.facets {
		f.weight.Add(int64(change))
	}
}

// Event is what an Index asks of an event whose audience it looks for.
type Event[F any] interface {
	// Value is the hash of the event's value of field. Not present: no member that
	// requires a value of the field can want the event.
	Value(field *F) (hash uint64, present bool)
	// PassOver hears, for each place in which the index looks members up by field,
	// what all members weigh that are there, those it then finds among them.
	PassOver(field *F, weight int)
}
