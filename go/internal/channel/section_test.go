package channel

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// field is one of those that the tests' events may have.
type field struct{ number int }

// values is an event: the value of each field that it has.
type values map[*field]uint64

func (v values) Value(f *field) (uint64, bool) {
	value, present := v[f]
	return value, present
}

func (v values) PassOver(*field, int) {}

// weighed is an event that adds up what it is told.
type weighed struct {
	values
	passed map[*field]int
}

func (w weighed) PassOver(f *field, weight int) { w.passed[f] += weight }

func newFields(count int) []*field {
	fields := make([]*field, count)
	for i := range fields {
		fields[i] = &field{i}
	}
	return fields
}

// asker is a member with conditions.
type asker struct {
	member
	conditions []Condition[field]
	place      *Place[asker, field]
}

func newAsker(t testing.TB, r *rand.Rand, id int, fields []*field) *asker {
	m := &asker{member: *newMember(t, r, id)}
	for range r.IntN(4) {
		c := Condition[field]{Field: fields[r.IntN(len(fields))]}
		for range r.IntN(4) {
			if value := uint64(r.IntN(6)); !slices.Contains(c.Values, value) {
				c.Values = append(c.Values, value)
			}
		}
		m.conditions = append(m.conditions, c)
	}
	return m
}

func (m *asker) wants(event values) bool {
	return !slices.ContainsFunc(m.conditions, func(c Condition[field]) bool { return !holds(&c, event) })
}

func holds(c *Condition[field], event values) bool {
	value, present := event[c.Field]
	return present && slices.Contains(c.Values, value)
}

func randomValues(r *rand.Rand, fields []*field) values {
	event := values{}
	for _, f := range fields {
		if r.IntN(4) > 0 {
			event[f] = uint64(r.IntN(6))
		}
	}
	return event
}

func TestCandidatesAreThoseWhoseChosenConditionHolds(t *testing.T) {
	fields := newFields(12) // more than manyFacets
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 11))
		var x Index[asker, field]
		var live []*asker
		for step := range 400 {
			if len(live) == 0 || r.IntN(400) > step {
				m := newAsker(t, r, step, fields)
				m.place = x.Add(m.patterns, m.conditions, m)
				m.place.Weigh(step)
				live = append(live, m)
			} else {
				i := r.IntN(len(live))
				live[i].place.Weigh(-live[i].id)
				x.Remove(live[i].patterns, live[i].place, live[i])
				live = slices.Delete(live, i, i+1)
			}
			name, event := randomText(r, false), weighed{randomValues(r, fields), map[*field]int{}}
			found := x.AppendCandidates(nil, name, event)
			passed := map[*field]int{}
			for _, m := range live {
				want := m.matches(name) && (m.place == nil || holds(&m.place.condition, event.values))
				if m.matches(name) && m.wants(event.values) && !want {
					t.Fatalf("seed %d step %d: placed by a condition that is not its own", seed, step)
				}
				if got := count(found, m); got != 0 && !want || got != 1 && want {
					t.Fatalf("seed %d step %d, channel %q: member %d was found %d times, wanted %v", seed, step, name, m.id, got, want)
				}
				if m.matches(name) && m.place.Field() != nil && m.id > 0 {
					passed[m.place.Field()] += m.id
				}
			}
			maps.DeleteFunc(event.passed, func(_ *field, weight int) bool { return weight == 0 })
			if !maps.Equal(event.passed, passed) {
				t.Fatalf("seed %d step %d, channel %q: heard of weights %v, want %v", seed, step, name, event.passed, passed)
			}
			if all := x.AppendMatches(nil, name); len(all) != countMatches(live, name) {
				t.Fatalf("seed %d step %d, channel %q: %d members in all, want %d", seed, step, name, len(all), countMatches(live, name))
			}
		}
		for _, m := range live {
			m.place.Weigh(-m.id)
			x.Remove(m.patterns, m.place, m)
		}
		if !x.holdsNothing() {
			t.Fatalf("seed %d: the emptied index still holds something", seed)
		}
	}
}

func count(found []*asker, m *asker) (times int) {
	for _, one := range found {
		if one == m {
			times++
		}
	}
	return times
}

func countMatches(live []*asker, name string) (count int) {
	for _, m := range live {
		if m.matches(name) {
			count++
		}
	}
	return count
}

func TestAnEventVisitsFewWhoDoNotAskForItsValues(t *testing.T) {
	fields := newFields(3)
	status, region, id := fields[0], fields[1], fields[2]
	is := func(f *field, values ...uint64) Condition[field] { return Condition[field]{f, values} }
	for name, c := range map[string]struct {
		most       int
		conditions func(order uint64) []Condition[field]
	}{
		"one condition": {10 + fewOpen, func(order uint64) []Condition[field] {
			return []Condition[field]{is(id, order)}
		}},
		"a common one before a rare one": {2*10 + fewOpen, func(order uint64) []Condition[field] {
			return []Condition[field]{is(status, 1), is(id, order)}
		}},
		"two common ones before a rare one": {3*10 + fewOpen, func(order uint64) []Condition[field] {
			return []Condition[field]{is(status, 1), is(region, 2), is(id, order)}
		}},
		"a list with a value that all name": {200, func(order uint64) []Condition[field] {
			return []Condition[field]{is(status, 1), is(id, order, order+1<<50, 1<<40)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var x Index[asker, field]
			patterns := []Pattern{pattern(t, "orders.*"), pattern(t, "invoices.*")}
			for i := range 10_000 {
				m := &asker{}
				m.place = x.Add(patterns, c.conditions(uint64(i/10)), m)
			}
			for _, channel := range []string{"orders.eu", "invoices.eu"} {
				found := x.AppendCandidates(nil, channel, values{status: 1, region: 2, id: 700})
				if len(found) < 10 || len(found) > c.most {
					t.Errorf("an event on %s visits %d members of which 10 want it", channel, len(found))
				}
			}
		})
	}
}

func TestMembersWithConditionsThatStayAreAlwaysFound(t *testing.T) {
	var x Index[asker, field]
	fields := newFields(10)
	names := []string{"a", "a.b", "a:b", "b.a"}
	everything := values{}
	for _, f := range fields {
		everything[f] = 1
	}
	build := func(r *rand.Rand, id int) *asker {
		m := newAsker(t, r, id, fields)
		for i := range m.conditions {
			m.conditions[i].Values = []uint64{uint64(r.IntN(3)), 3 + uint64(r.IntN(3))}
		}
		return m
	}
	r := rand.New(rand.NewPCG(5, 5))
	var stay []*asker
	for len(stay) < 100 {
		m := build(r, 1)
		m.place = x.Add(m.patterns, m.conditions, m)
		if m.place == nil || slices.Contains(m.place.condition.Values, 1) {
			stay = append(stay, m)
		}
	}
	var done atomic.Bool
	var writers, readers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 6))
			var mine []*asker
			for range 3_000 {
				if len(mine) < 200 && r.IntN(5) > 1 {
					m := build(r, 0)
					m.place = x.Add(m.patterns, m.conditions, m)
					m.place.Weigh(1)
					mine = append(mine, m)
				} else if len(mine) > 0 {
					i := r.IntN(len(mine))
					mine[i].place.Weigh(-1)
					x.Remove(mine[i].patterns, mine[i].place, mine[i])
					mine = slices.Delete(mine, i, i+1)
				}
			}
		})
	}
	for k := range 2 {
		readers.Go(func() {
			var found []*asker
			for i := k; !done.Load(); i++ {
				name := names[i%len(names)]
				found = x.AppendCandidates(found[:0], name, everything)
				for _, m := range stay {
					if want := m.matches(name); want && count(found, m) != 1 || !want && count(found, m) != 0 {
						t.Errorf("%s: a member that stays was found %d times", name, count(found, m))
						return
					}
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
}

func TestFindingCandidatesAllocatesNothing(t *testing.T) {
	var x Index[asker, field]
	fields := newFields(20)
	var event Event[field] = values{fields[3]: 3, fields[4]: 4}
	for i := range 1000 {
		for _, text := range []string{"*", "a.b", "a.*"} {
			m := &asker{}
			x.Add([]Pattern{pattern(t, text)}, []Condition[field]{{fields[i%20], []uint64{uint64(i % 20)}}}, m)
		}
	}
	dst := make([]*asker, 0, 1000)
	if n := testing.AllocsPerRun(100, func() { dst = x.AppendCandidates(dst[:0], "a.b", event) }); n != 0 || len(dst) < 300 {
		t.Errorf("%v allocations to find %d members", n, len(dst))
	}
}

func BenchmarkCandidates(b *testing.B) {
	fields := newFields(1)
	var x Index[asker, field]
	patterns := []Pattern{pattern(b, "orders")}
	for i := range 100_000 {
		m := &asker{}
		m.place = x.Add(patterns, []Condition[field]{{fields[0], []uint64{uint64(i / 10)}}}, m)
	}
	var event Event[field] = values{fields[0]: 700}
	var dst []*asker
	b.ReportAllocs()
	for b.Loop() {
		dst = x.AppendCandidates(dst[:0], "orders", event)
	}
}
