package document

// Value is a place in a document: two words, passed by value. The zero Value is
// Missing, and every method may be called on it.
type Value struct {
	document *Document
	index    uint32
}

// Kind is the value's type.
func (v Value) Kind() Kind {
	if v.document == nil {
		return Missing
	}
	return v.document.nodes[v.index].kind
}

// Exists tells whether there is a value; a null is one.
func (v Value) Exists() bool { return v.document != nil }

// Raw is the value's exact source, nil for Missing. It shares the document's
// text and must not be changed.
func (v Value) Raw() []byte {
	if v.document == nil {
		return nil
	}
	n := &v.document.nodes[v.index]
	return v.document.text[n.start:n.end:n.end]
}

// Get is the member of an object by its name, the last one when there are
// several, and Missing when there is none or v is no object.
func (v Value) Get(key string) Value {
	if v.Kind() != Object {
		return Value{}
	}
	d := v.document
	if key != "" && d.names&nameBit(len(key), key[0]) == 0 {
		return Value{} // as of most names that are looked for and not there
	}
	nodes, text := d.nodes, d.text
	found := Value{}
	end := nodes[v.index].next
	for i := v.index + 1; i < end; {
		name := &nodes[i]
		value := i + 1
		if name.flags&escaped == 0 {
			// Most names are told apart by their length, without a look at the text.
			if int(name.end-name.start) == len(key)+2 && string(text[name.start+1:name.end-1]) == key {
				found = Value{d, value}
			}
		} else if equalEscaped(text[name.start+1:name.end-1], key) {
			found = Value{d, value}
		}
		i = nodes[value].next
	}
	return found
}

// MostPicked is how many members Pick looks for at once.
const MostPicked = 8

// Pick is Get of up to MostPicked names in one walk over the object: found[i] is the member named names[i].
func (v Value) Pick(names []string, found *[MostPicked]Value) {
	*found = [MostPicked]Value{}
	if v.Kind() != Object {
		return
	}
	d := v.document
	nodes, text := d.nodes, d.text
	end := nodes[v.index].next
	for i := v.index + 1; i < end; {
		name := &nodes[i]
		value := i + 1
		if name.flags&escaped == 0 {
			length := int(name.end - name.start - 2)
			for k, wanted := range names {
				if len(wanted) == length && string(text[name.start+1:name.end-1]) == wanted {
					found[k] = Value{d, value}
				}
			}
		} else {
			for k, wanted := range names {
				if equalEscaped(text[name.start+1:name.end-1], wanted) {
					found[k] = Value{d, value}
				}
			}
		}
		i = nodes[value].next
	}
}

// At is the element of an array by its index from 0, Missing when there is none
// or v is no array. It walks the elements before it.
func (v Value) At(index int) Value {
	if index < 0 || v.Kind() != Array {
		return Value{}
	}
	nodes := v.document.nodes
	end := nodes[v.index].next
	for i := v.index + 1; i < end; i = nodes[i].next {
		if index == 0 {
			return Value{v.document, i}
		}
		index--
	}
	return Value{}
}

// Len is the number of an array's elements or of an object's members, members
// named twice counted twice, and 0 for every other kind. It walks them.
func (v Value) Len() int {
	count := 0
	for cursor := v.children(v.Kind()); cursor.Next(); {
		count++
	}
	return count
}

// Elements walks an array:
//
//	for cursor := v.Elements(); cursor.Next(); {
//		use(cursor.Value())
//	}
//
// It visits nothing when v is no array. (A cursor rather than an iter.Seq: the
// latter allocates wherever the compiler does not inline it.)
func (v Value) Elements() Cursor { return v.children(Array) }

// Members walks an object in source order, members named twice twice:
//
//	for cursor := v.Members(); cursor.Next(); {
//		use(cursor.Key(), cursor.Value())
//	}
//
// It visits nothing when v is no object.
func (v Value) Members() Cursor { return v.children(Object) }

func (v Value) children(kind Kind) Cursor {
	if v.document == nil {
		return Cursor{}
	}
	n := &v.document.nodes[v.index]
	if n.kind != kind || kind < Object {
		return Cursor{}
	}
	c := Cursor{document: v.document, next: v.index + 1, end: n.next}
	if kind == Object {
		c.toValue = 1
	}
	return c
}

// Cursor walks the children of one value. It allocates nothing.
type Cursor struct {
	document       *Document
	key, next, end uint32
	toValue        uint32 // 1 in an object, where a name stands before each value
}

// Next moves to the next child and tells whether there is one. It comes before
// the first Value.
func (c *Cursor) Next() bool {
	if c.next >= c.end {
		return false
	}
	c.key = c.next
	c.next = c.document.nodes[c.key+c.toValue].next
	return true
}

// Value is the child in hand.
func (c *Cursor) Value() Value { return Value{c.document, c.key + c.toValue} }

// Key is the name of the member in hand, a String; in an array it is the
// element.
func (c *Cursor) Key() Value { return Value{c.document, c.key} }

// Equal compares two values of any documents, at any depth, by value: numbers
// as numbers, strings as the text they stand for, objects without regard to
// order. Two Missing values are equal. The cost of two objects grows with the
// product of their sizes.
func Equal(a, b Value) bool {
	kind := a.Kind()
	if kind != b.Kind() {
		return false
	}
	switch kind {
	case Number:
		order, _ := CompareNumbers(a, b)
		return order == 0
	case String:
		return equalStrings(a, b)
	case Array:
		ours, theirs := a.Elements(), b.Elements()
		for ours.Next() {
			if !theirs.Next() || !Equal(ours.Value(), theirs.Value()) {
				return false
			}
		}
		return !theirs.Next()
	case Object:
		return equalObjects(a, b)
	default:
		return true
	}
}

func equalObjects(a, b Value) bool {
	for members := a.Members(); members.Next(); {
		// Looked up on both sides, so that the last of two members counts.
		name := members.Key()
		if !Equal(a.getLike(name), b.getLike(name)) {
			return false
		}
	}
	for members := b.Members(); members.Next(); {
		if !a.getLike(members.Key()).Exists() {
			return false
		}
	}
	return true
}

// getLike is Get by a name that stands in a document.
func (v Value) getLike(name Value) Value {
	found := Value{}
	for members := v.Members(); members.Next(); {
		if equalStrings(members.Key(), name) {
			found = members.Value()
		}
	}
	return found
}
