package executor

import (
	"hash/maphash"
	"slices"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/filter"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// maxIndexed is the longest list of values by which a cohort is found: each costs
// the index some 100 bytes. Cohorts with longer ones are looked at.
const maxIndexed = 256

// field is something of an event by whose value cohorts are found. Interned by its
// key; number is its own among those in use, under Executor.mu when given.
type field struct {
	key     fieldKey
	path    document.Path // of fieldData
	number  int
	cohorts int // found by it; under Executor.mu
}

type fieldKey struct {
	kind   fieldKind
	path   string           // of fieldData
	policy *security.Policy // of fieldTenant and fieldUser
}

// fieldKind is where in an event a field is.
type fieldKind uint8

const (
	fieldType   fieldKind = iota // its type
	fieldTenant                  // the tenant it belongs to
	fieldUser                    // the user it belongs to
	fieldData                    // a path in its data
	fieldKinds
)

// fields are those in use. Guarded by Executor.mu.
type fields struct {
	known map[fieldKey]*field
	free  []int // numbers below len(known)+len(free) that nobody has
}

// find is the field with this key, made if absent. Its number is given before
// the index shows it to any event.
func (f *fields) find(key fieldKey, path document.Path) *field {
	if known := f.known[key]; known != nil {
		return known
	}
	one := &field{key: key, path: path, number: len(f.known)}
	if last := len(f.free) - 1; last >= 0 {
		one.number, f.free = f.free[last], f.free[:last]
	}
	f.known[key] = one
	return one
}

// forget takes out one by which no cohort is found.
func (f *fields) forget(one *field) {
	if one.cohorts > 0 || f.known[one.key] != one {
		return
	}
	delete(f.known, one.key)
	if f.free = append(f.free, one.number); len(f.known) == 0 {
		f.free = nil
	}
}

// enlist enters c into the index. x.mu is held.
func (x *Executor) enlist(c *cohort) {
	conditions := x.conditions(c.spec)
	c.place = x.index.Add(c.spec.patterns, conditions, c)
	x.addExpiry(c)
	if f := c.place.Field(); f != nil {
		f.cohorts++
	}
	for _, unused := range conditions {
		x.fields.forget(unused.Field)
	}
}

// delist undoes enlist. x.mu is held.
func (x *Executor) delist(c *cohort) {
	x.index.Remove(c.spec.patterns, c.place, c)
	x.removeExpiry(c)
	if f := c.place.Field(); f != nil {
		f.cohorts--
		x.fields.forget(f)
	}
}

// conditions are what an event must satisfy, each by itself, to reach a cohort
// with this spec: the index finds the cohort by one of them. What they leave out
// only costs time, since DispatchEventToSingle decides; a condition that did not
// follow from the spec would lose events. x.mu is held.
func (x *Executor) conditions(s *spec) (conditions []channel.Condition[field]) {
	require := func(key fieldKey, path document.Path, hashes ...uint64) {
		slices.Sort(hashes)
		one := x.fields.find(key, path)
		conditions = append(conditions, channel.Condition[field]{Field: one, Values: slices.Compact(hashes)})
	}
	if s.filter != nil {
		for _, equality := range s.filter.AppendEqualities([]filter.Equality(nil), maxIndexed) {
			hashes := make([]uint64, len(equality.Values))
			for i, value := range equality.Values {
				hashes[i] = value.Hash(x.seed)
			}
			require(fieldKey{kind: fieldData, path: equality.Path.String()}, equality.Path, hashes...)
		}
	}
	if s.context != nil {
		if key, required := s.policy.UserKey(x.seed, s.context); required {
			require(fieldKey{kind: fieldUser, policy: s.policy}, document.Path{}, key)
		}
		if key, required := s.policy.TenantKey(x.seed, s.context); required {
			require(fieldKey{kind: fieldTenant, policy: s.policy}, document.Path{}, key)
		}
	}
	if s.eventTypes != nil && len(s.eventTypes) <= maxIndexed {
		hashes := make([]uint64, len(s.eventTypes))
		for i, eventType := range s.eventTypes {
			hashes[i] = maphash.String(x.seed, eventType)
		}
		require(fieldKey{kind: fieldType}, document.Path{}, hashes...)
	}
	return conditions
}

// lookup is what an event remembers while its audience is looked for: the delivery
// is an event to the index, and reads each value once.
type lookup struct {
	values []value // by field.number
	round  uint64  // of the event in hand, so that values need no clearing
	// over is the subscriptions that the index looked past, by the kind of field by
	// whose value it did.
	over [fieldKinds]int
}

type value struct {
	field   *field
	round   uint64
	hash    uint64
	present bool
}

// Value implements channel.Event.
func (d *delivery) Value(f *field) (hash uint64, present bool) {
	if f.number >= len(d.values) {
		d.values = append(d.values, make([]value, f.number+1-len(d.values))...)
	}
	known := &d.values[f.number]
	if known.field != f || known.round != d.round {
		*known = value{field: f, round: d.round}
		known.hash, known.present = d.read(f)
	}
	return known.hash, known.present
}

func (d *delivery) read(f *field) (hash uint64, present bool) {
	seed := d.executor.seed
	switch f.key.kind {
	case fieldType:
		return maphash.String(seed, d.event.Type), true
	case fieldTenant:
		return d.facts.by(f.key.policy).TenantKey(seed)
	case fieldUser:
		return d.facts.by(f.key.policy).UserKey(seed)
	default:
		v := d.event.Document().Root().Lookup(f.path)
		return v.Hash(seed), v.Exists()
	}
}

// PassOver implements channel.Event. Those found are taken off by visit.
func (d *delivery) PassOver(f *field, subscriptions int) { d.over[f.key.kind] += subscriptions }

// visit tells that a cohort was found, with so many live subscriptions. One that the
// index shows already may not have its place yet: only with its first member does it.
func (d *delivery) visit(c *cohort, live int) {
	if live == 0 {
		return
	}
	if f := c.place.Field(); f != nil {
		d.over[f.key.kind] -= live
	}
}

// countPassedOver counts those that the index looked past as their check would
// have: a strict module denied them, or their filter. Subscriptions to other event
// types are not counted. While subscriptions come and go the sums may be off by
// those.
func (d *delivery) countPassedOver() {
	d.denied[security.TenantModule] += max(0, d.over[fieldTenant])
	d.denied[security.RowModule] += max(0, d.over[fieldUser])
	d.filtered += max(0, d.over[fieldData])
}
