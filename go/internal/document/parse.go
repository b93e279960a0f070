package document

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

const (
	// One value in eight bytes is what events hold; a longer text grows its
	// tape by need, since it may be one long string.
	bytesPerNode    = 8
	maxInitialNodes = 1024
	// Tapes with room for a text of 135 and of 263 bytes; with the document, size classes of the
	// allocator.
	tinyNodes  = 24
	smallNodes = 40

	noParent = math.MaxUint32
)

// New is a document that is about to parse a text of so many bytes. A short one's
// tape lies beside it, in one allocation.
func New(textBytes int) *Document {
	wanted := initialNodes(textBytes)
	if recycles.Load() {
		if d, some := spare.Get().(*Document); some {
			if cap(d.nodes) < wanted {
				d.nodes = make([]node, 0, wanted)
			}
			return d
		}
	}
	switch {
	case wanted <= tinyNodes:
		tiny := new(struct {
			Document
			tape [tinyNodes]node
		})
		tiny.nodes = tiny.tape[:0]
		return &tiny.Document
	case wanted <= smallNodes:
		small := new(struct {
			Document
			tape [smallNodes]node
		})
		small.nodes = small.tape[:0]
		return &small.Document
	default:
		return &Document{nodes: make([]node, 0, wanted)}
	}
}

// spare are documents that were recycled. Looking for one where there never is any takes as long as
// reading a short text.
var (
	spare    sync.Pool
	recycles atomic.Bool
)

// Recycle gives the document's memory to a later New. Nobody may use it, or a Value of it, any more.
func (d *Document) Recycle() {
	if d.Clear() {
		spare.Put(d)
		if !recycles.Load() {
			recycles.Store(true)
		}
	}
}

// Clear empties the document for another text. False: its tape is larger than one that is worth
// keeping.
func (d *Document) Clear() bool {
	d.text, d.nodes, d.root, d.bigNumber = nil, d.nodes[:0], 0, false
	return cap(d.nodes) <= maxInitialNodes
}

func initialNodes(textBytes int) int {
	return min(textBytes/bytesPerNode+bytesPerNode, maxInitialNodes)
}

// Parse reads text, replacing what the document held. The error is a
// *ParseError; the document is then empty. Depth is limited to MaxDepth.
func (d *Document) Parse(text []byte) error { return d.ParseWithin(text, MaxDepth) }

// ParseWithin is Parse with a depth limit of the caller's, for a text that
// wraps a document in an envelope of its own.
func (d *Document) ParseWithin(text []byte, maxDepth int) error {
	end, err := d.parsePrefix(text, maxDepth)
	if err == nil && end != len(text) {
		err = unexpected(text, end, "the end of the text")
	}
	if err != nil {
		d.Clear()
	}
	return err
}

// ParsePrefix is Parse of the value that text begins with, however long that is. end is where the
// next thing after it begins, or the text ends.
func (d *Document) ParsePrefix(text []byte) (end int, err error) {
	if end, err = d.parsePrefix(text[:min(len(text), math.MaxUint32-1)], MaxDepth); err != nil {
		d.Clear()
	}
	return end, err
}

// Move has the document refer to another copy of its text.
func (d *Document) Move(text []byte) { d.text = text }

func (d *Document) parsePrefix(text []byte, maxDepth int) (end int, err error) {
	d.text, d.root, d.bigNumber, d.names = text, 0, false, 0
	if d.nodes == nil {
		d.nodes = make([]node, 0, initialNodes(len(text)))
	}
	d.nodes = d.nodes[:0]
	return d.parse(text, maxDepth)
}

// parse is one loop over the values of text. While a container is open, its
// next field holds the index of the container around it: that is the whole
// stack, so that depth costs neither recursion nor memory.
func (d *Document) parse(text []byte, maxDepth int) (end int, err error) {
	if uint64(len(text)) >= math.MaxUint32 {
		return 0, &ParseError{Offset: math.MaxUint32, Detail: "the text goes on", reason: ErrSize}
	}
	nodes := d.nodes
	parent, inObject, depth := uint32(noParent), false, 0
	i := skipSpace(text, 0)

values:
	for {
		if i >= len(text) {
			return 0, unexpected(text, i, "a value")
		}
		here := uint32(len(nodes))
		switch c := text[i]; c {
		case '"':
			end, mark, detail := scanString(text, i+1)
			if detail != "" {
				return 0, &ParseError{Offset: end, Detail: detail, reason: ErrSyntax}
			}
			nodes = append(nodes, node{uint32(i), uint32(end), here + 1, String, mark})
			i = end
		case '{', '[':
			if depth++; depth > maxDepth {
				return 0, &ParseError{Offset: i, Detail: fmt.Sprintf("more than %d levels", maxDepth), reason: ErrDepth}
			}
			opened := node{start: uint32(i), next: parent, kind: Object}
			if inObject = c == '{'; !inObject {
				opened.kind = Array
			}
			nodes = append(nodes, opened)
			parent = here
			i = skipSpace(text, i+1)
			if i < len(text) && text[i] == c+2 { // '}' is '{'+2, ']' is '['+2
				break
			}
			if inObject {
				if nodes, i, err = d.parseKey(text, i, nodes); err != nil {
					return 0, err
				}
			}
			continue values
		case 't':
			if !literal(text, i, "true") {
				return 0, unexpected(text, i, "a value")
			}
			nodes = append(nodes, node{uint32(i), uint32(i + 4), here + 1, True, 0})
			i += 4
		case 'f':
			if !literal(text, i, "false") {
				return 0, unexpected(text, i, "a value")
			}
			nodes = append(nodes, node{uint32(i), uint32(i + 5), here + 1, False, 0})
			i += 5
		case 'n':
			if !literal(text, i, "null") {
				return 0, unexpected(text, i, "a value")
			}
			nodes = append(nodes, node{uint32(i), uint32(i + 4), here + 1, Null, 0})
			i += 4
		default:
			end, mark, ok := scanNumber(text, i)
			if !ok {
				return 0, unexpected(text, end, "a value")
			}
			if mark&integral != 0 && end-i > 18 && (end-i > 19 || c != '-') {
				d.bigNumber = true
			}
			nodes = append(nodes, node{uint32(i), uint32(end), here + 1, Number, mark})
			i = end
		}

		// A value has ended, or an empty container is about to: close what
		// closes here, until a comma announces the next value.
		for parent != noParent {
			i = skipSpace(text, i)
			if i >= len(text) {
				return 0, unexpected(text, i, "a comma or the closing bracket")
			}
			switch c := text[i]; {
			case c == ',':
				i = skipSpace(text, i+1)
				if inObject {
					if nodes, i, err = d.parseKey(text, i, nodes); err != nil {
						return 0, err
					}
				}
				continue values
			case c == '}' && inObject, c == ']' && !inObject:
				i++
				closed := &nodes[parent]
				parent = closed.next
				closed.end, closed.next = uint32(i), uint32(len(nodes))
				inObject = parent != noParent && nodes[parent].kind == Object
				depth--
			default:
				return 0, unexpected(text, i, "a comma or the closing bracket")
			}
		}
		d.nodes = nodes
		return skipSpace(text, i), nil
	}
}

// parseKey reads a member's name and colon; the returned offset is that of the
// member's value.
func (d *Document) parseKey(text []byte, i int, nodes []node) ([]node, int, error) {
	if i >= len(text) || text[i] != '"' {
		return nodes, i, unexpected(text, i, "a member's name in double quotes")
	}
	end, mark, detail := scanString(text, i+1)
	if detail != "" {
		return nodes, i, &ParseError{Offset: end, Detail: detail, reason: ErrSyntax}
	}
	nodes = append(nodes, node{uint32(i), uint32(end), uint32(len(nodes)) + 1, String, mark})
	if mark&escaped == 0 {
		d.names |= nameBit(end-i-2, text[i+1])
	} else {
		d.names = math.MaxUint64
	}
	if i = skipSpace(text, end); i >= len(text) || text[i] != ':' {
		return nodes, i, unexpected(text, i, "a colon")
	}
	return nodes, skipSpace(text, i+1), nil
}

// nameBit is one of 64 bits by a name's length and first byte, which is the quote behind an empty one.
func nameBit(length int, first byte) uint64 { return 1 << ((uint(length) + uint(first)) % 64) }

func literal(text []byte, i int, word string) bool {
	return len(text)-i >= len(word) && string(text[i:i+len(word)]) == word
}

// skipSpace is the offset of the first byte from i on that is no JSON space.
func skipSpace(text []byte, i int) int {
	for i < len(text) && text[i] <= ' ' && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

func unexpected(text []byte, i int, wanted string) error {
	found := "the text ends"
	if i < len(text) {
		found = fmt.Sprintf("found %q", text[i:i+1])
	}
	return &ParseError{Offset: i, Detail: found + ", expected " + wanted, reason: ErrSyntax}
}
