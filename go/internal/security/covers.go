package security

// Covers reports whether ctx lets a subscriber see every event that old did: then
// nothing that was decided by old has to be taken back. It compares all that a
// module may ask of an event, also where the policy does not ask.
func (ctx *Context) Covers(old *Context) bool {
	return ctx.User.Equal(&old.User) && ctx.Tenant.Equal(&old.Tenant) &&
		ctx.Federation.Equal(&old.Federation) && ctx.Service.Equal(&old.Service)
}

// Equal reports whether two identifiers are of one type and one value.
func (id *Identifier) Equal(other *Identifier) bool {
	if id.kind != other.kind {
		return false
	}
	if id.kind == float {
		return sameFloat(id.number, other.number)
	}
	return id.text == other.text
}

// Is reports whether a subscriber's identifier is the one asked for, compared as
// the policy compares. Absent is nobody's.
func (p *Policy) Is(id, asked *Identifier) bool {
	if id.kind == absent || asked.kind == absent {
		return false
	}
	if id.Equal(asked) {
		return true
	}
	return p.Loose && id.kind != asked.kind && (id.kind == integer || id.kind == text) &&
		(asked.kind == integer || asked.kind == text) && id.text == asked.text
}
