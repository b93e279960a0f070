package security

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// ParsePolicy reads a policy from JSON: an object with the members that
// SecurityPolicy has in Python, each optional. Empty and null sources are the
// default policy: strict everywhere, tenant_id and user_id, missing permissions
// refuse. An option that is unknown, or of the wrong type, is refused by name; the
// error is a *fault.Error with code fault.InvalidValue.
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
	p.tenantNames, p.userNames = namesFor(p.TenantPath), namesFor(p.UserPath)
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
		p.Tenant, err = parseWord(key, v, modes)
	case "row":
		p.Row, err = parseWord(key, v, modes)
	case "federation":
		p.Federation, err = parseWord(key, v, modes)
	case "scope":
		p.Scope, err = parseWord(key, v, []word[ScopeMode]{{"strict", ScopeStrict}, {"off", ScopeOff}, {"variables", ScopeVariables}})
	case "rbac":
		p.RBAC, err = parseWord(key, v, []word[RBACMode]{{"refuse", RBACRefuse}, {"null", RBACNull}, {"off", RBACOff}})
	case "tenant_field":
		o.tenantField, err = parseText(key, v)
	case "user_field":
		o.userField, err = parseText(key, v)
	case "identifiers":
		p.Loose, err = parseWord(key, v, []word[bool]{{"strict", false}, {"loose", true}})
	case "permissions":
		p.permissions, err = parsePermissions(v)
	case "require_context":
		p.RequireContext, err = parseTruth(key, v)
	case "require_permissions":
		p.RequirePermissions, err = parseTruth(key, v)
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
		return fault.New(fault.InvalidValue,
			"there is no security option %q; there are tenant, row, federation, scope, rbac, tenant_field, user_field, identifiers, permissions, require_context, require_permissions, max_violations and violation_window", key)
	}
	return err
}

// word is a value of an option as it is written.
type word[T any] struct {
	text  string
	value T
}

var modes = []word[Mode]{{"strict", Strict}, {"if_present", IfPresent}, {"off", Off}}

func parseWord[T any](key string, v document.Value, words []word[T]) (value T, err error) {
	names := make([]string, len(words))
	for i, one := range words {
		if v.EqualText(one.text) {
			return one.value, nil
		}
		names[i] = `"` + one.text + `"`
	}
	last := len(names) - 1
	return value, wrong(key, v, strings.Join(names[:last], ", ")+" or "+names[last])
}

func parseText(key string, v document.Value) (string, error) {
	if v.Kind() != document.String {
		return "", wrong(key, v, "a string")
	}
	return v.Text(), nil
}

func parseTruth(key string, v document.Value) (bool, error) {
	if v.Kind() != document.True && v.Kind() != document.False {
		return false, wrong(key, v, "true or false")
	}
	return v.Kind() == document.True, nil
}

// parsePermissions reads the map of permissions: selection paths, each with the
// permission that its field needs, or null for none.
func parsePermissions(v document.Value) ([]permissionEntry, error) {
	if v.Kind() != document.Object {
		return nil, wrong("permissions", v, "an object of selection paths")
	}
	var entries []permissionEntry
	for members := v.Members(); members.Next(); {
		e := permissionEntry{text: members.Key().Text()}
		e.path = strings.Split(e.text, ".")
		for _, name := range e.path {
			if name != anyName && !isFieldName(name) {
				return nil, fault.New(fault.InvalidValue, "security option permissions has the path %q; write field names or %q joined by single dots, from the root field", e.text, anyName)
			}
		}
		switch value := members.Value(); {
		case value.Kind() == document.String && !value.EqualText(""):
			e.permission = value.Text()
		case value.Kind() != document.Null:
			return nil, wrong("permissions["+e.text+"]", value, "a permission, or null for none")
		}
		entries = slices.DeleteFunc(entries, func(earlier permissionEntry) bool { return earlier.text == e.text })
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b permissionEntry) int { return a.compare(&b) })
	return entries, nil
}

// isFieldName follows the GraphQL grammar. Introspection fields are free, so none of
// them can need anything.
func isFieldName(name string) bool {
	if name == "" || strings.HasPrefix(name, "__") {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c != '_' && !isUpper(c) && !isLower(c) && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func wrong(key string, v document.Value, want string) error {
	return fault.New(fault.InvalidValue, "security option %s is %s; it must be %s", key, excerpt(v), want)
}

func wrongPath(key, text string) error {
	return fault.New(fault.InvalidValue,
		"security option %s is %q; it must be field names joined by single dots", key, text)
}
