package metrics

import (
	"slices"
	"sync"
	"sync/atomic"
)

// family is a set of counters told apart by a label. Labels are few and come
// from our own code, so they are searched one by one; a new one is added to a
// copy of the slice, which readers never see change.
type family struct {
	mu      sync.Mutex // serialises declare
	members atomic.Pointer[[]*labelled]
}

type labelled struct {
	label string
	count counter
}

func (f *family) add(label string, n int) {
	if n <= 0 {
		return
	}
	m := f.find(label)
	if m == nil {
		f.declare(label)
		m = f.find(label)
	}
	m.count.add(n)
}

func (f *family) find(label string) *labelled {
	for _, m := range f.all() {
		if m.label == label {
			return m
		}
	}
	return nil
}

func (f *family) all() []*labelled {
	if members := f.members.Load(); members != nil {
		return *members
	}
	return nil
}

func (f *family) declare(labels ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	members := slices.Clone(f.all())
	for _, label := range labels {
		if f.find(label) == nil {
			members = append(members, &labelled{label: label})
		}
	}
	f.members.Store(&members)
}

func (f *family) values() map[string]uint64 {
	all := f.all()
	values := make(map[string]uint64, len(all))
	for _, m := range all {
		values[m.label] = m.count.value()
	}
	return values
}
