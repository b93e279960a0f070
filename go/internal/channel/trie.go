package channel

import "sync/atomic"

// trie holds the patterns with wildcards. A step from node to node is a segment
// with the separator before it, so ".a" and ":a" lead to different nodes; the
// first step has none and counts as '.'. Steps by name are looked up in one hash
// table for the whole trie, by (node, step); wildcard steps are pointers.
type trie[M, F any] struct {
	root  node[M, F]
	named table[node[M, F]]
	ids   uint64 // last id given, the writer's; never reused
}

type node[M, F any] struct {
	bucket bucket[M, F]
	star   [2]atomic.Pointer[node[M, F]] // "*" after '.', after ':'
	tail   [2]atomic.Pointer[node[M, F]] // ">" after '.', after ':'
	names  atomic.Int32                  // steps by name that lead from here

	// Below: set when made.
	id     uint64
	parent *node[M, F]
	step   string
}

// cut takes the first step off rest.
func cut(rest string) (step, after string) {
	// rest[0] is a separator, or the first byte of the first segment.
	end := 1 + segmentEnd(rest[1:])
	return rest[:end], rest[end:]
}

// wildcard is the slot of n that a wildcard step goes through, nil for a name.
func (n *node[M, F]) wildcard(step string) *atomic.Pointer[node[M, F]] {
	segment := step
	if isSeparator(step[0]) {
		segment = step[1:]
	}
	switch segment {
	case "*":
		return &n.star[side(step)]
	case ">":
		return &n.tail[side(step)]
	}
	return nil
}

func side(step string) int {
	if step[0] == ':' {
		return 1
	}
	return 0
}

// obtain is the node of pattern, made if absent.
func (t *trie[M, F]) obtain(pattern string) *node[M, F] {
	n := &t.root
	for rest := pattern; rest != ""; {
		var step string
		step, rest = cut(rest)
		parent := n
		prepare := func(made *node[M, F]) {
			t.ids++
			made.id, made.parent, made.step = t.ids, parent, step
			if parent.wildcard(step) == nil {
				parent.names.Add(1)
			}
		}
		if slot := parent.wildcard(step); slot == nil {
			n = t.named.obtain(parent.id, step, prepare)
		} else if n = slot.Load(); n == nil {
			n = new(node[M, F])
			prepare(n)
			slot.Store(n)
		}
	}
	return n
}

// find is the node of pattern, or nil.
func (t *trie[M, F]) find(pattern string) *node[M, F] {
	n := &t.root
	for rest := pattern; rest != "" && n != nil; {
		var step string
		step, rest = cut(rest)
		if slot := n.wildcard(step); slot != nil {
			n = slot.Load()
		} else {
			n = t.named.find(n.id, step)
		}
	}
	return n
}

// prune takes n out, and every node above it, as far as they hold nothing.
func (t *trie[M, F]) prune(n *node[M, F]) {
	for n.parent != nil && n.empty() {
		if slot := n.parent.wildcard(n.step); slot != nil {
			slot.Store(nil)
		} else {
			t.named.remove(n.parent.id, n.step)
			n.parent.names.Add(-1)
		}
		n = n.parent
	}
}

func (n *node[M, F]) empty() bool { return n.bucket.empty() && n.childless() }

func (n *node[M, F]) childless() bool {
	return n.names.Load() == 0 &&
		n.star[0].Load() == nil && n.star[1].Load() == nil &&
		n.tail[0].Load() == nil && n.tail[1].Load() == nil
}

// appendTo appends the members whose patterns match the channel. Any goroutine may
// call it. It visits each node at most once, and only nodes whose pattern
// matches a beginning of the channel.
func (t *trie[M, F]) appendTo(s *search[M, F]) { t.walk(s, &t.root, s.channel) }

func (t *trie[M, F]) walk(s *search[M, F], n *node[M, F], rest string) {
	if rest == "" {
		n.bucket.appendTo(s)
		return
	}
	step, after := cut(rest)
	if tail := n.tail[side(step)].Load(); tail != nil {
		tail.bucket.appendTo(s)
	}
	if star := n.star[side(step)].Load(); star != nil {
		t.walk(s, star, after)
	}
	if n.names.Load() != 0 {
		if named := t.named.find(n.id, step); named != nil {
			t.walk(s, named, after)
		}
	}
}
