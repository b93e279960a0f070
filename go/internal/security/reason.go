package security

// Reason says in words why a module denied the event f to ctx. With values it tells
// the event's own.
func (p *Policy) Reason(module Module, ctx *Context, f *Facts, values bool) string {
	switch module {
	case TenantModule:
		switch {
		case f.conflict:
			return "the event's data names another tenant than its channel"
		case f.tenant.kind == absent && f.channelTenant != "":
			return "the event's channel names another tenant than the context's"
		}
		return differs(p.TenantPath.String(), "tenant_id", &ctx.Tenant, &f.tenant, values)
	case RowModule:
		return differs(p.UserPath.String(), "user_id", &ctx.User, &f.user, values)
	case FederationModule:
		if !p.Federation.allows(&ctx.Federation, &f.federation, p.Loose) {
			return differs("federation_id", "federation_id", &ctx.Federation, &f.federation, values)
		}
		return differs("service_name", "service_name", &ctx.Service, &f.service, values)
	}
	// The other modules' rules are about the query, and refuse it beforehand.
	return "the " + module.String() + " module does not let it pass"
}

// differs says how an event's identifier and the context's do.
func differs(path, member string, own *Identifier, event *carried, values bool) string {
	switch {
	case event.kind == absent:
		return "the event has no " + path + ", and the context has a " + member
	case own.kind == absent:
		return "the event has a " + path + told(event, values) + ", and the context has no " + member
	case event.kind != own.kind:
		return "the event's " + path + told(event, values) + " is of another type than the context's " + member
	}
	return "the event's " + path + told(event, values) + " is not the context's " + member
}

func told(event *carried, values bool) string {
	if !values {
		return ""
	}
	return " (" + excerpt(event.value) + ")"
}
