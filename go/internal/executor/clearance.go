package executor

import (
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// clear decides what a registration's context may have of its query: the compiled
// parts get a clearance, and, where responses are projected, a plan that nulls what
// may not be seen. The error is a *security.Refusal where the context may not have it.
func (x *Executor) clear(parts *compiled, r Registration, projected bool) error {
	parts.plan = parts.plan.Whole()
	projected = projected && !parts.spec.takesEvents() // so fields can be nulled
	context := parts.spec.context
	if context == nil {
		return nil // trusted
	}
	policy := parts.spec.policy
	scope, err := policy.ReadScope([]byte(r.Variables), parts.plan.Variables(), parts.plan.Arguments())
	if err != nil {
		return err
	}
	if !policy.ChecksFields(context) {
		parts.clearance, err = policy.Clear(context, scope, nil, true)
		return err
	}
	parts.clearance, err = policy.Clear(context, scope, parts.plan.Permissions(policy), projected)
	if err == nil && projected {
		parts.plan = parts.plan.Checked(policy, parts.clearance.Missing())
	}
	return err
}

// isProjected says that responses show what the query selects: of the event, or of the
// root field's value that a resolver gave. Any other resolver gives the whole response.
func isProjected(resolver int, flags ResolverFlags) bool {
	return resolver == 0 || flags&Projects != 0
}

// checkPermissions refuses a policy whose map names what no query can select: such an
// entry protects nothing.
func (x *Executor) checkPermissions(policy *security.Policy) error {
	if x.schema == nil {
		return nil
	}
	for _, path := range policy.PermissionPaths() {
		if !x.schema.Selects(path) {
			return fault.New(fault.InvalidValue, "security option permissions has the path %q, which the schema's subscriptions cannot select; write field names from the root field, joined by dots", strings.Join(path, "."))
		}
	}
	return nil
}

// nulledBy names what a plan hides, for the key of its answer: "" for nothing. Another
// policy may ask for the same permissions at other places.
func nulledBy(plan *query.Plan, policy int, missing []string) string {
	if plan.Whole() == plan {
		return ""
	}
	var b strings.Builder
	b.WriteString(strconv.Itoa(policy))
	b.WriteByte('!') // leaves show no objects
	for _, permission := range missing {
		b.WriteString(strconv.Quote(permission))
	}
	return b.String()
}
