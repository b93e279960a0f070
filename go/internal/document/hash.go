package document

import "hash/maphash"

// Hash is a number that any two equal values of any documents share, as Equal
// tells: 5, 5.0 and 50e-1 have one hash, a string has the one of its text however
// it is escaped. Arrays share a hash, and so do objects. It allocates nothing.
func (v Value) Hash(seed maphash.Seed) uint64 {
	switch kind := v.Kind(); kind {
	case String:
		return v.HashText(seed)
	case Number:
		return hashNumber(seed, v.Raw())
	default:
		return uint64(kind)
	}
}

// HashText is maphash.String of the text of a string, 0 for any other value.
func (v Value) HashText(seed maphash.Seed) uint64 {
	raw, isEscaped, ok := v.source()
	if !ok {
		return 0
	}
	if !isEscaped {
		return maphash.Bytes(seed, raw)
	}
	var h maphash.Hash
	h.SetSeed(seed)
	reader := textReader{source: raw}
	for c, more := reader.next(); more; c, more = reader.next() {
		h.WriteByte(c) // it never fails
	}
	return h.Sum64()
}

// hashNumber hashes what compareDecimals compares: the significant digits, where
// the point stands, and the sign.
func hashNumber(seed maphash.Seed, raw []byte) uint64 {
	const spread = 0x9e3779b97f4a7c15 // 2⁶⁴ divided by the golden ratio, odd
	d := parseDecimal(raw)
	var hash uint64
	if last := d.first + d.count; last <= len(d.whole) {
		hash = maphash.Bytes(seed, d.whole[d.first:last])
	} else {
		var h maphash.Hash
		h.SetSeed(seed)
		for i := range d.count {
			h.WriteByte(d.digit(i))
		}
		hash = h.Sum64()
	}
	hash += uint64(d.point) * spread
	if d.negative {
		hash = ^hash
	}
	return hash
}
