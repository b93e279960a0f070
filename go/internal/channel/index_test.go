package channel

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

type member struct {
	id       int
	patterns []Pattern
}

func (m *member) matches(name string) bool {
	return slices.ContainsFunc(m.patterns, func(p Pattern) bool { return naive(p.String(), name) })
}

func member1(t testing.TB, texts ...string) *member {
	m := &member{}
	for _, text := range texts {
		m.patterns = append(m.patterns, pattern(t, text))
	}
	return m
}

func newMember(t testing.TB, r *rand.Rand, id int) *member {
	m := &member{id: id}
	for range 1 + r.IntN(4) {
		m.patterns = append(m.patterns, pattern(t, randomText(r, true)))
	}
	return m
}

// randomText draws from so few names that members share them.
func randomText(r *rand.Rand, wildcards bool) string {
	if wildcards && r.IntN(20) == 0 {
		return "*"
	}
	var b strings.Builder
	segments := 1 + r.IntN(4)
	for i := range segments {
		if i > 0 {
			b.WriteByte(".:"[r.IntN(2)])
		}
		switch k := r.IntN(8); {
		case wildcards && k == 0:
			b.WriteByte('*')
		case wildcards && k == 1 && i == segments-1:
			b.WriteByte('>')
		default:
			b.WriteByte("abc"[k%3])
		}
	}
	return b.String()
}

func (x *Index[M, F]) holdsNothing() bool {
	for i := range x.exact.shards {
		if x.exact.shards[i].slots.Load() != nil || x.trie.named.shards[i].slots.Load() != nil {
			return false
		}
	}
	for i := range x.values.shards {
		if x.values.shards[i].slots.Load() != nil {
			return false
		}
	}
	return x.all.empty() && x.all.open.places == nil && x.all.open.head.Load() == nil &&
		x.values.live.Load() == 0 && x.exact.live.Load() == 0 && x.trie.named.live.Load() == 0 && x.trie.root.empty()
}

func TestIndexFindsExactlyTheMembersThatMatchNaively(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		var x Index[member, field]
		var live []*member
		for step := range 400 {
			// Grow first, shrink later.
			if len(live) == 0 || r.IntN(400) > step {
				m := newMember(t, r, step)
				x.Add(m.patterns, nil, m)
				live = append(live, m)
			} else {
				i := r.IntN(len(live))
				x.Remove(live[i].patterns, nil, live[i])
				live = slices.Delete(live, i, i+1)
			}
			name := randomText(r, false)
			var want []int
			for _, m := range live {
				if m.matches(name) {
					want = append(want, m.id)
				}
			}
			var got []int
			for _, m := range x.AppendMatches(nil, name) {
				got = append(got, m.id)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d step %d, channel %q: found %v, want %v", seed, step, name, got, want)
			}
		}
		for _, m := range live {
			x.Remove(m.patterns, nil, m)
		}
		if !x.holdsNothing() {
			t.Fatalf("seed %d: the emptied index still holds something", seed)
		}
	}
}

func TestAMemberWithSeveralMatchingPatternsIsReportedOnce(t *testing.T) {
	for _, texts := range [][]string{
		{"a.b", "a.b"},
		{"a.*", "*.b"},
		{"a.b", "a.*", "*.b", "a.>"},
		{"*", "a.b", "a.*"},
		{"a.>", "a.>", ">"},
	} {
		var x Index[member, field]
		m := member1(t, texts...)
		x.Add(m.patterns, nil, m)
		if got := x.AppendMatches(nil, "a.b"); len(got) != 1 || got[0] != m {
			t.Errorf("%q: reported %d times, want once", texts, len(got))
		}
		x.Remove(m.patterns, nil, m)
		if got := x.AppendMatches(nil, "a.b"); len(got) != 0 {
			t.Errorf("%q: found after removal", texts)
		}
		if !x.holdsNothing() {
			t.Errorf("%q: the emptied index still holds something", texts)
		}
	}
}

func TestRemovingWhatIsNotThereChangesNothing(t *testing.T) {
	var x Index[member, field]
	here := member1(t, "a.b", "a.*", "c.*")
	for _, texts := range [][]string{{"*"}, {"a.b"}, {"a.*"}, {"c.*", "a.*", "a.b"}, {"x.y", "x.*"}} {
		x.Remove(member1(t, texts...).patterns, nil, &member{}) // while empty
		x.Add(here.patterns, nil, here)
		x.Remove(member1(t, texts...).patterns, nil, &member{})
		if got := x.AppendMatches(nil, "a.b"); len(got) != 1 {
			t.Errorf("after removing a stranger at %q: %d members, want 1", texts, len(got))
		}
		x.Remove(here.patterns, nil, here)
	}
	if !x.holdsNothing() {
		t.Error("the emptied index still holds something")
	}
}

func TestAHundredThousandMembersOfOneChannelComeAndGo(t *testing.T) {
	for _, text := range []string{"orders", "orders.*", "*"} {
		var x Index[member, field]
		patterns := []Pattern{pattern(t, text)}
		name := strings.ReplaceAll(text, "*", "x")
		members := make([]member, 100_000)
		for i := range members {
			x.Add(patterns, nil, &members[i])
		}
		if got := len(x.AppendMatches(nil, name)); got != len(members) {
			t.Fatalf("%s: found %d of %d", text, got, len(members))
		}
		for n, i := range rand.New(rand.NewPCG(1, 2)).Perm(len(members)) {
			x.Remove(patterns, nil, &members[i])
			if left := len(members) - n - 1; left&(left-1) == 0 {
				if got := len(x.AppendMatches(nil, name)); got != left {
					t.Fatalf("%s: found %d, want %d", text, got, left)
				}
			}
		}
		if !x.holdsNothing() {
			t.Fatalf("%s: the emptied index still holds something", text)
		}
	}
}

func TestReadersAlwaysFindMembersThatStay(t *testing.T) {
	var x Index[member, field]
	names := []string{"a", "a.b", "a:b", "a.b.c", "b.b"}
	texts := [][]string{{"*"}, {"a"}, {"a.b"}, {"a.*"}, {"a.>", "*.b"}, {"a.b", "*.b"}, {"a:b"}, {"*.b.c"}, {"a.b.c", "b.b"}}
	const each = 5
	var stay []*member
	for range each {
		for _, group := range texts {
			m := member1(t, group...)
			x.Add(m.patterns, nil, m)
			stay = append(stay, m)
			// Strangers between those that stay, so that slots free up there.
			for range 3 {
				m := member1(t, group...)
				x.Add(m.patterns, nil, m)
				defer x.Remove(m.patterns, nil, m)
			}
		}
	}
	want := map[string]int{}
	for _, name := range names {
		for _, m := range stay {
			if m.matches(name) {
				want[name]++
			}
		}
	}
	for _, m := range stay {
		m.id = 1
	}

	var done atomic.Bool
	var writers, readers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 3))
			var mine []*member
			for range 3_000 {
				if len(mine) < 400 && r.IntN(5) > 1 {
					m := member1(t, texts[r.IntN(len(texts))]...)
					x.Add(m.patterns, nil, m)
					mine = append(mine, m)
				} else if len(mine) > 0 {
					i := r.IntN(len(mine))
					x.Remove(mine[i].patterns, nil, mine[i])
					mine = slices.Delete(mine, i, i+1)
				}
			}
			for _, m := range mine {
				x.Remove(m.patterns, nil, m)
			}
		})
	}
	for k := range 2 {
		readers.Go(func() {
			var found []*member
			for i := k; !done.Load(); i++ {
				name := names[i%len(names)]
				found = x.AppendMatches(found[:0], name)
				staying := 0
				once := make(map[*member]bool, len(found))
				for _, m := range found {
					if once[m] {
						t.Errorf("%s: a member was reported twice", name)
						return
					}
					once[m] = true
					staying += m.id
				}
				if staying != want[name] {
					t.Errorf("%s: found %d of %d members that stay", name, staying, want[name])
					return
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
}

func TestAMemberIsFoundAsSoonAsAddReturnsAndGoneAsSoonAsRemoveDoes(t *testing.T) {
	var x Index[member, field]
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 4))
			for i := range 500 {
				m := newMember(t, r, i)
				name := randomText(r, false)
				x.Add(m.patterns, nil, m)
				if got := slices.Contains(x.AppendMatches(nil, name), m); got != m.matches(name) {
					t.Errorf("added: found %v on %q for %v", got, name, m.patterns)
				}
				x.Remove(m.patterns, nil, m)
				if slices.Contains(x.AppendMatches(nil, name), m) {
					t.Errorf("removed: still found on %q", name)
				}
			}
		})
	}
	workers.Wait()
	if !x.holdsNothing() {
		t.Error("the emptied index still holds something")
	}
}

func TestMatchingAllocatesNothing(t *testing.T) {
	var x Index[member, field]
	for i := range 100 {
		for _, group := range [][]string{{"*"}, {"a.b"}, {"a.*"}, {"a.*", "*.b"}, {fmt.Sprintf("a.%d", i)}} {
			m := member1(t, group...)
			x.Add(m.patterns, nil, m)
		}
	}
	dst := make([]*member, 0, 1000)
	if n := testing.AllocsPerRun(100, func() { dst = x.AppendMatches(dst[:0], "a.b") }); n != 0 || len(dst) != 400 {
		t.Errorf("%v allocations and %d matches, want 0 and 400", n, len(dst))
	}
}

func BenchmarkMatchExact(b *testing.B) {
	for _, k := range []int{1, 4, 100, 10_000} {
		b.Run(fmt.Sprintf("%d members", k), func(b *testing.B) {
			var x Index[member, field]
			for i := range 1000 { // other channels
				m := member1(b, fmt.Sprintf("orders.%d", i))
				x.Add(m.patterns, nil, m)
			}
			for range k {
				m := member1(b, "orders.eu.paris")
				x.Add(m.patterns, nil, m)
			}
			dst := make([]*member, 0, k)
			b.ReportAllocs()
			for b.Loop() {
				dst = x.AppendMatches(dst[:0], "orders.eu.paris")
			}
			if len(dst) != k {
				b.Fatal(len(dst))
			}
		})
	}
}

func BenchmarkMatchWildcard(b *testing.B) {
	var x Index[member, field]
	for i := range 10_000 {
		m := member1(b, fmt.Sprintf("orders.%d.*", i))
		x.Add(m.patterns, nil, m)
	}
	dst := make([]*member, 0, 10)
	b.ReportAllocs()
	for b.Loop() {
		dst = x.AppendMatches(dst[:0], "orders.5000.paid")
	}
	if len(dst) != 1 {
		b.Fatal(len(dst))
	}
}

func BenchmarkAddRemove(b *testing.B) {
	for _, k := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("beside %d members", k), func(b *testing.B) {
			var x Index[member, field]
			patterns := []Pattern{pattern(b, "orders")}
			for range k {
				x.Add(patterns, nil, new(member))
			}
			m := new(member)
			b.ReportAllocs()
			for b.Loop() {
				x.Add(patterns, nil, m)
				x.Remove(patterns, nil, m)
			}
		})
	}
}

// BenchmarkMemory reports what the index holds per member, its pattern's text
// apart.
func BenchmarkMemory(b *testing.B) {
	const k = 100_000
	for name, text := range map[string]string{
		"one channel": "orders", "channel each": "orders.%d", "everything": "*", "wildcard each": "orders.%d.*",
	} {
		b.Run(name, func(b *testing.B) {
			members := make([]member, k)
			patterns := make([][]Pattern, k)
			for i := range patterns {
				patterns[i] = []Pattern{pattern(b, strings.ReplaceAll(text, "%d", fmt.Sprint(i)))}
			}
			for b.Loop() {
				before := heap()
				var x Index[member, field]
				for i := range members {
					x.Add(patterns[i], nil, &members[i])
				}
				b.ReportMetric(float64(heap()-before)/k, "B/member")
				runtime.KeepAlive(&x)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
