package security

import (
	"bytes"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// notEnforced are options of the policy that have no effect yet. To accept one
// would be to promise a check that doesn't happen.
var notEnforced = map[string]bool{
	"scope": true, "rbac": true,
	"permissions": true, "require_permissions": true,
}

// ParsePolicy reads a policy from JSON: an object with tenant, row and federation
// ("strict", "if_present", "off"), tenant_field and user_field (dotted paths), identifiers
// ("strict", "loose") and require_context, each optional. Empty and null sources
// are the default policy: strict everywhere, tenant_id and user_id. An option
// that is unknown or not enforced is refused by name; the error is a
// *fault.Error with code fault.InvalidValue.
func ParsePolicy(source []byte) (*Policy, error) {
	o := options{tenantField: "tenant_id", userField: "user_id"}
	o.policy.MaxViolations, o.policy.ViolationWindow = 100, time.Minute
	if source = bytes.TrimSpace(source); len(source) > 0 && string(source) != "null" {
		if err := o.parse(source); err != nil {
			return nil, err
		}
	}
	p := &o.policy
	var err error
	if p.TenantPath, err = document.ParsePath(o.tenantField); err != nil {
		return nil, wrongPath("tenant_field", o.tenantField)
	}
	if p.UserPath, err = document.ParsePath(o.userField); err != nil {
		return nil, wrongPath("user_field", o.userField)
	}
	return p, nil
}

type options struct {
	policy                 Policy
	tenantField, userField string
}

func (o *options) parse(source []byte) error {
	var d document.Document
	if err := d.Parse(source); err != nil {
		return fault.New(fault.InvalidValue, "the security options can't be read: %w", err)
	}
	if d.Root().Kind() != document.Object {
		return fault.New(fault.InvalidValue, "the security options are %s; they must be an object", excerpt(d.Root()))
	}
	for members := d.Root().Members(); members.Next(); {
		if err := o.set(members.Key().Text(), members.Value()); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) set(key string, v document.Value) (err error) {
	p := &o.policy
	switch key {
	case "tenant":
		p.Tenant, err = parseMode(key, v)
	case "row":
		p.Row, err = parseMode(key, v)
	case "federation":
		p.Federation, err = parseMode(key, v)
	case "tenant_field":
		o.tenantField, err = parseText(key, v)
	case "user_field":
		o.userField, err = parseText(key, v)
	case "identifiers":
		switch {
		case v.EqualText("strict"):
			p.Loose = false
		case v.EqualText("loose"):
			p.Loose = true
		default:
			err = wrong(key, v, `"strict" or "loose"`)
		}
	case "require_context":
		if v.Kind() != document.True && v.Kind() != document.False {
			return wrong(key, v, "true or false")
		}
		p.RequireContext = v.Kind() == document.True
	case "max_violations":
		n, ok := v.Int64()
		if !ok || n < 0 || n > 1<<53 {
			return wrong(key, v, "a whole number, 0 or more")
		}
		p.MaxViolations = int(n)
	case "violation_window":
		seconds, ok := v.Float64()
		if !ok || seconds <= 0 || seconds > 1_000_000 {
			return wrong(key, v, "a number of seconds above 0, up to 1,000,000")
		}
		p.ViolationWindow = time.Duration(seconds * float64(time.Second))
	default:
		if notEnforced[key] {
			return fault.New(fault.InvalidValue, "security option %s is not enforced by this version; leave it out", key)
		}
		return fault.New(fault.InvalidValue,
			"there is no security option %q; there are tenant, row, federation, tenant_field, user_field, identifiers, require_context, max_violations and violation_window", key)
	}
	return err
}

func parseMode(key string, v document.Value) (Mode, error) {
	switch {
	case v.EqualText("strict"):
		return Strict, nil
	case v.EqualText("if_present"):
		return IfPresent, nil
	case v.EqualText("off"):
		return Off, nil
	}
	return Strict, wrong(key, v, `"strict", "if_present" or "off"`)
}

func parseText(key string, v document.Value) (string, error) {
	if v.Kind() != document.String {
		return "", wrong(key, v, "a string")
	}
	return v.Text(), nil
}

func wrong(key string, v document.Value, want string) error {
	return fault.New(fault.InvalidValue, "security option %s is %s; it must be %s", key, excerpt(v), want)
}

func wrongPath(key, text string) error {
	return fault.New(fault.InvalidValue,
		"security option %s is %q; it must be field names joined by single dots", key, text)
}
