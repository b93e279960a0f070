package security

import "hash/maphash"

// Under a strict rule an identifier of the event must equal the context's. An
// index that finds subscriptions by what they require needs a hash of both that
// equal identifiers share, by the comparison of this package: text and integers
// have the hash of their text, so that it holds for loose comparison and for a
// channel's segment, too. Different identifiers may share one; Check decides.

// TenantKey is the hash of the tenant that an event must have for ctx to see it;
// required is false when events of several may pass.
func (p *Policy) TenantKey(seed maphash.Seed, ctx *Context) (key uint64, required bool) {
	return ctx.Tenant.key(seed), p.Tenant == Strict
}

// UserKey is TenantKey for the event's user.
func (p *Policy) UserKey(seed maphash.Seed, ctx *Context) (key uint64, required bool) {
	return ctx.User.key(seed), p.Row == Strict
}

// TenantKey is the hash of the tenant whose subscribers a strict policy lets see
// the event; ok is false when it lets nobody. It allocates nothing.
func (f *Facts) TenantKey(seed maphash.Seed) (key uint64, ok bool) {
	switch {
	case f.conflict:
		return 0, false
	case f.tenant.kind == absent && f.channelTenant != "":
		return maphash.String(seed, f.channelTenant), true
	}
	return f.tenant.key(seed)
}

// UserKey is TenantKey for the event's user.
func (f *Facts) UserKey(seed maphash.Seed) (key uint64, ok bool) { return f.user.key(seed) }

// absentKey is shared by everything that has no identifier.
const absentKey = 1

func (id *Identifier) key(seed maphash.Seed) uint64 {
	switch id.kind {
	case absent:
		return absentKey
	case float:
		return id.number.Hash(seed)
	}
	return maphash.String(seed, id.text)
}

func (c *carried) key(seed maphash.Seed) (key uint64, ok bool) {
	switch {
	case c.kind == foreign:
		return 0, false
	case c.kind == absent:
		return absentKey, true
	case c.kind == float:
		return c.value.Hash(seed), true
	case c.escaped:
		return c.value.HashText(seed), true
	}
	return maphash.Bytes(seed, c.text), true
}
