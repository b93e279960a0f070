package security

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/document"

// Federation: an event of one federation, or of one service in it, reaches the
// subscribers of that federation and service only. Both identifiers stand at the
// top of the event's data and compare as a tenant does; the mode is one for both.

func (p *Policy) readFederation(f *Facts, data document.Value) {
	if p.Federation != Off {
		f.federation = carry(data.Get("federation_id"))
		f.service = carry(data.Get("service_name"))
	}
}

func (p *Policy) federationAllows(ctx *Context, f *Facts) bool {
	return p.Federation == Off ||
		p.Federation.allows(&ctx.Federation, &f.federation, p.Loose) &&
			p.Federation.allows(&ctx.Service, &f.service, p.Loose)
}
