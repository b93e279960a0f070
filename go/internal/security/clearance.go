package security

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"

// Clearance is what was decided of a subscription's query under one context, once:
// that its scope is the context's, and which of its fields may be seen. Check wants
// it with each event, and denies a context that it was not made for; so does the
// zero Clearance. It is immutable.
type Clearance struct {
	context *Context
	scope   *Scope
	rights  *rights // nil: no field needs anything
}

// Clear decides of a query under a context: scope is what it says of itself, and
// required what its fields need. projected tells that fields can be nulled, which is
// not so where a resolver returns the whole response. The error is a *Refusal.
func (p *Policy) Clear(ctx *Context, scope *Scope, required []string, projected bool) (Clearance, error) {
	if !p.scopeAllows(ctx, scope) {
		return Clearance{}, p.refuseScope(ctx, scope)
	}
	c := Clearance{context: ctx, scope: scope}
	if !p.ChecksFields(ctx) || len(required) == 0 {
		return c, nil
	}
	c.rights = newRights(ctx, required)
	if len(c.rights.missing) == 0 {
		return c, nil
	}
	if p.RBAC != RBACNull || !projected {
		return Clearance{}, refuseFields(c.rights.missing, projected || p.RBAC != RBACNull)
	}
	for i := range c.rights.nulled {
		c.rights.nulled[i] = c.rights.needed[i] &^ c.rights.held[i]
	}
	return c, nil
}

// Missing are the permissions that the query needs and its context lacks: their
// fields must be null in every answer.
func (c *Clearance) Missing() []string {
	if c.rights == nil {
		return nil
	}
	return c.rights.missing
}

// Under is the clearance for a context that was read from the same text as its own.
func (c Clearance) Under(same *Context) Clearance {
	c.context = same
	return c
}

// Refusal is the error of a subscription that asks for what its context may not
// have: the module that found it, and a *fault.Error with code fault.ScopeViolation
// or fault.Forbidden. It is what counts as a violation of its connection.
type Refusal struct {
	Module Module
	fault  *fault.Error
}

func refuse(module Module, code fault.Code, format string, arguments ...any) error {
	return &Refusal{module, fault.New(code, format, arguments...)}
}

func (r *Refusal) Error() string { return r.fault.Error() }

func (r *Refusal) Unwrap() error { return r.fault }
