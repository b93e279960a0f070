package security

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Tenant isolation: an event reaches subscribers of its own tenant only. Its
// tenant is in its data or, when the data has none, in a segment "tenant-<id>"
// of its channel. A segment is text, so it compares with an identifier's text.
// With the module off such segments mean nothing.

func (p *Policy) readTenant(f *Facts, channelName string, data document.Value) {
	if p.Tenant == Off {
		return
	}
	f.tenant = carry(data.Lookup(p.TenantPath))
	f.channelTenant, _ = channel.Tenant(channelName)
	f.conflict = f.channelTenant != "" && f.tenant.kind != absent && !f.tenant.hasText(f.channelTenant)
}

func (p *Policy) tenantAllows(ctx *Context, f *Facts) bool {
	switch {
	case p.Tenant == Off:
		return true
	case f.conflict:
		// Nobody can say whose it is.
		return false
	case f.tenant.kind == absent && f.channelTenant != "":
		return ctx.Tenant.hasText(f.channelTenant)
	}
	return p.Tenant.allows(&ctx.Tenant, &f.tenant, p.Loose)
}

// CheckPublish refuses an event whose data names another tenant than its
// channel, with a *fault.Error of code fault.InvalidValue. (An event that comes
// from outside with such a conflict reaches nobody with a context.)
func (p *Policy) CheckPublish(channelName string, data document.Value) error {
	if p.Tenant == Off {
		return nil
	}
	named, ok := channel.Tenant(channelName)
	if !ok {
		return nil
	}
	tenant := carry(data.Lookup(p.TenantPath))
	if tenant.kind == absent || tenant.hasText(named) {
		return nil
	}
	return fault.New(fault.InvalidValue,
		"the data's %s is %s, but the channel %q names the tenant %q; publish it on that tenant's channel or leave one of them out",
		p.TenantPath, excerpt(tenant.value), channelName, named)
}
