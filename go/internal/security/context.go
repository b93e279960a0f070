package security

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Context is who asks: the identity a transport or the application established
// for a subscriber. It is immutable, safe for concurrent use; the zero Context
// is an anonymous subscriber.
type Context struct {
	User, Tenant Identifier
}

var anonymous Context

// ParseContext reads a context from JSON: an object with user_id and tenant_id,
// each optional. It keeps nothing of source. A member that no check uses is
// refused, as is anything but an object; the error is a *fault.Error with code
// fault.InvalidValue.
func (p *Policy) ParseContext(source []byte) (*Context, error) {
	var d document.Document
	if err := d.Parse(source); err != nil {
		return nil, fault.New(fault.InvalidValue, "the security context can't be read: %w", err)
	}
	if d.Root().Kind() != document.Object {
		return nil, fault.New(fault.InvalidValue, "the security context is %s; it must be an object", excerpt(d.Root()))
	}
	ctx := &Context{}
	for members := d.Root().Members(); members.Next(); {
		var err error
		switch key := members.Key().Text(); key {
		case "user_id":
			ctx.User, err = newIdentifier(key, members.Value())
		case "tenant_id":
			ctx.Tenant, err = newIdentifier(key, members.Value())
		case "federation_id", "service_name", "permissions", "expires_at":
			err = fault.New(fault.InvalidValue,
				"the security context's %s is not enforced by this version; leave it out", key)
		default:
			err = fault.New(fault.InvalidValue,
				"the security context has no %q; it has user_id and tenant_id", key)
		}
		if err != nil {
			return nil, err
		}
	}
	return ctx, nil
}
