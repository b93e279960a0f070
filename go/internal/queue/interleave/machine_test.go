package interleave

import "fmt"

// A machine runs threads one atomic step at a time; choose says who moves.
type machine struct {
	threads []*thread
	current *thread
	clock   int // steps made
	choose  func(m *machine) *thread
	stopped chan struct{}
}

type thread struct {
	id      int
	body    func(*thread)
	gate    chan struct{}
	granted bool // it may make the step it stands before
	done    bool
	steps   int
	history uint64 // hash of all that it has seen
	ops     []*op
}

// An op is a finished or running call with the clock of its first and last step.
type op struct {
	name       string
	begin, end int
	effects    []effect // what it has to have done, in this order
}

// running is the machine whose steps are counted; nil while tests prepare or
// look at the outcome. Tests of this package do not run in parallel.
var running *machine

// stepLimit is far beyond what any operation here needs.
const stepLimit = 5000

// run makes the threads' moves until choose returns nil, and returns the machine.
func run(choose func(*machine) *thread, bodies ...func(*thread)) *machine {
	m := &machine{choose: choose, stopped: make(chan struct{})}
	for i, body := range bodies {
		m.threads = append(m.threads, &thread{id: i, body: body, gate: make(chan struct{}), history: uint64(i) + 1})
	}
	m.resume(choose)
	return m
}

// resume goes on after run returned with unfinished threads.
func (m *machine) resume(choose func(*machine) *thread) {
	m.choose, running = choose, m
	m.current = nil
	if next := m.choose(m); next != nil {
		m.grant(next)
		<-m.stopped
	}
	running = nil
}

func (m *machine) grant(t *thread) {
	m.current, t.granted = t, true
	if t.steps == 0 && t.ops == nil {
		t.ops = []*op{}
		go func() {
			t.body(t)
			t.done = true
			m.handOver()
		}()
		return
	}
	t.gate <- struct{}{}
}

// handOver lets the next thread move, or ends the run.
func (m *machine) handOver() {
	if next := m.choose(m); next != nil {
		m.grant(next)
	} else {
		m.stopped <- struct{}{}
	}
}

// step waits for the calling thread's turn to make one atomic step.
func step() {
	m := running
	if m == nil {
		return
	}
	t := m.current
	if !t.granted {
		switch next := m.choose(m); next {
		case t:
		case nil:
			m.stopped <- struct{}{}
			<-t.gate
		default:
			m.grant(next)
			<-t.gate
		}
	}
	t.granted = false
	m.clock++
	if t.steps++; t.steps > stepLimit {
		panic(fmt.Sprintf("thread %d has made %d steps without finishing", t.id, t.steps))
	}
	if last := t.ops[len(t.ops)-1]; last.begin == 0 {
		last.begin = m.clock
		for _, other := range m.threads { // what precedes it is part of the state
			t.history = mix(t.history, uint64(other.finished()))
		}
	}
}

// do runs call as one operation of the thread; it returns what call has to have
// done.
func (t *thread) do(name string, call func() []effect) {
	o := &op{name: name}
	t.ops = append(t.ops, o)
	o.effects = call()
	o.end = running.clock
}

func (t *thread) finished() (n int) {
	for _, o := range t.ops {
		if o.end != 0 {
			n++
		}
	}
	return n
}

// observe adds what the current thread reads, or builds a write upon, to its
// history, and returns that.
func observe(trace uint64) uint64 {
	if running == nil {
		return trace
	}
	t := running.current
	t.history = mix(t.history, trace)
	return t.history
}

func mix(a, b uint64) uint64 {
	a = (a ^ b + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	return a ^ a>>29
}

// alive lists the threads that have not finished.
func (m *machine) alive() (all []*thread) {
	for _, t := range m.threads {
		if !t.done {
			all = append(all, t)
		}
	}
	return all
}

// A state is what the rest of a run depends on. Two runs in which every thread
// has seen the same writes in the same order have equal histories and memory,
// however their independent steps were interleaved (Mazurkiewicz traces).
type state struct {
	histories   [4]uint64
	current     int // these two only where preemptions are limited
	preemptions int
}

const everywhere = -1 // no limit to preemptions

// explore runs build once for every distinguishable interleaving of its threads
// in which at most so many preemptions occur, a thread being made to wait though
// it could go on (Musuvathi and Qadeer, "Iterative Context Bounding", PLDI 2007),
// and calls check after each. It returns how many there were.
func explore(preemptions int, build func() (bodies []func(*thread), check func(*machine))) (runs int) {
	type fork struct {
		options []int // threads, by id
		taken   int
	}
	var path []fork
	seen := map[state]bool{}
	for {
		bodies, check := build()
		depth, preempted, pruned := 0, 0, false
		m := run(func(m *machine) *thread {
			alive := m.alive()
			if len(alive) == 0 {
				return nil
			}
			stays := m.current != nil && !m.current.done
			if pruned || len(alive) == 1 || stays && preempted == preemptions {
				if stays {
					return m.current
				}
				return alive[0]
			}
			if depth == len(path) {
				key := state{preemptions: preempted}
				for i, t := range m.threads {
					key.histories[i] = t.history
				}
				if preemptions != everywhere && stays {
					key.current = m.current.id + 1
				}
				if seen[key] {
					pruned = true
					return alive[0]
				}
				seen[key] = true
				var options []int
				for _, t := range alive {
					options = append(options, t.id)
				}
				path = append(path, fork{options: options})
			}
			next := m.threads[path[depth].options[path[depth].taken]]
			depth++
			if preemptions != everywhere && stays && next != m.current {
				preempted++
			}
			return next
		}, bodies...)
		if !pruned {
			runs++
			check(m)
		}
		for len(path) > 0 && path[len(path)-1].taken+1 == len(path[len(path)-1].options) {
			path = path[:len(path)-1]
		}
		if len(path) == 0 {
			return runs
		}
		path[len(path)-1].taken++
	}
}
