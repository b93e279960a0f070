package security

import (
	"bytes"
	"math"
	"slices"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Context is who asks: the identity a transport or the application established
// for a subscriber. It is immutable, safe for concurrent use; the zero Context
// is an anonymous subscriber.
type Context struct {
	User, Tenant        Identifier
	Federation, Service Identifier
	// Permissions are what RBAC grants, sorted, each once. HasPermissions tells
	// an empty set from none given.
	Permissions    []string
	HasPermissions bool
	// Roles and Scopes are carried for resolvers and records; no module reads them.
	Roles, Scopes []string
	// ExpiresAt is when the identity ends, zero for never. No module reads the clock.
	ExpiresAt time.Time
	// Claims is an object for filters over subscriptions, Missing when not given. It
	// is in a document of its own.
	Claims document.Value
}

// maxExpiry is the end of the year 9999.
const maxExpiry = 253402300800

// Expires is when the context ends in unix nanoseconds, 0 for never. What is beyond
// the last such instant, in the year 2262, is that.
func (c *Context) Expires() int64 {
	if c.ExpiresAt.IsZero() {
		return 0
	}
	if c.ExpiresAt.After(time.Unix(0, math.MaxInt64)) {
		return math.MaxInt64
	}
	return max(c.ExpiresAt.UnixNano(), 1)
}

// ParseContext reads a context from JSON: an object with the members that
// SecurityContext has in Python, each optional, null for absent. It keeps nothing
// of source. A member it does not know, or of the wrong type, is refused by name,
// as is anything but an object; the error is a *fault.Error with code
// fault.InvalidValue.
func ParseContext(source []byte) (*Context, error) {
	var d document.Document
	if err := d.Parse(source); err != nil {
		return nil, fault.New(fault.InvalidValue, "the security context can't be read: %w", err)
	}
	if d.Root().Kind() != document.Object {
		return nil, fault.New(fault.InvalidValue, "the security context is %s; it must be an object", excerpt(d.Root()))
	}
	ctx := &Context{}
	for members := d.Root().Members(); members.Next(); {
		if err := ctx.set(members.Key().Text(), members.Value()); err != nil {
			return nil, err
		}
	}
	return ctx, nil
}

func (c *Context) set(key string, v document.Value) (err error) {
	switch key {
	case "user_id":
		c.User, err = newIdentifier(key, v)
	case "tenant_id":
		c.Tenant, err = newIdentifier(key, v)
	case "federation_id":
		c.Federation, err = newIdentifier(key, v)
	case "service_name":
		c.Service, err = newIdentifier(key, v)
	case "roles":
		c.Roles, err = parseNames(key, v)
	case "permissions":
		c.Permissions, err = parseNames(key, v)
		c.HasPermissions = v.Kind() == document.Array
	case "scopes":
		c.Scopes, err = parseNames(key, v)
	case "expires_at":
		c.ExpiresAt, err = parseInstant(key, v)
	case "claims":
		c.Claims, err = parseClaims(key, v)
	default:
		err = fault.New(fault.InvalidValue, "the security context has no %q; it has user_id, tenant_id, federation_id, service_name, roles, permissions, scopes, expires_at and claims", key)
	}
	return err
}

// Grants reports whether the context holds a permission.
func (c *Context) Grants(permission string) bool {
	_, held := slices.BinarySearch(c.Permissions, permission)
	return held
}

// Without is the context after a permission has been taken from it; c itself when
// it does not hold it.
func (c *Context) Without(permission string) *Context {
	at, held := slices.BinarySearch(c.Permissions, permission)
	if !held {
		return c
	}
	less := *c
	less.Permissions = slices.Delete(slices.Clone(c.Permissions), at, at+1)
	return &less
}

// parseNames reads a list of texts as a set.
func parseNames(key string, v document.Value) ([]string, error) {
	if v.Kind() == document.Null {
		return nil, nil
	}
	if v.Kind() != document.Array {
		return nil, wrongMember(key, v, "a list of strings")
	}
	names := make([]string, 0, v.Len())
	for elements := v.Elements(); elements.Next(); {
		if elements.Value().Kind() != document.String {
			return nil, wrongMember(key, v, "a list of strings")
		}
		names = append(names, elements.Value().Text())
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func parseInstant(key string, v document.Value) (time.Time, error) {
	if v.Kind() == document.Null {
		return time.Time{}, nil
	}
	seconds, ok := v.Float64()
	if v.Kind() != document.Number || !ok || seconds < 0 || seconds > maxExpiry {
		return time.Time{}, wrongMember(key, v, "a number of seconds since 1970, up to the year 9999")
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), nil
}

func parseClaims(key string, v document.Value) (document.Value, error) {
	if v.Kind() == document.Null {
		return document.Value{}, nil
	}
	if v.Kind() != document.Object {
		return document.Value{}, wrongMember(key, v, "an object")
	}
	var own document.Document
	if err := own.Parse(bytes.Clone(v.Raw())); err != nil {
		return document.Value{}, fault.New(fault.InvalidValue, "%s: %w", key, err)
	}
	return own.Root(), nil
}

func wrongMember(key string, v document.Value, want string) error {
	return fault.New(fault.InvalidValue, "the security context's %s is %s; it must be %s", key, excerpt(v), want)
}
