// Package security decides which subscriptions may see an event.
//
// Every check is a pure function of who asks (Context), what the event says
// (Facts, read once per event) and the Policy. Checks fail closed: what can't be
// compared isn't equal, and a mode that isn't known is the strict one. A check
// allocates nothing and never blocks.
//
// Each module has a file of its own: tenant.go (tenant isolation), row.go (row
// filter), federation.go, scope.go and rbac.go (field permissions). This file
// orders them, the cheapest and most selective first. The first three compare the
// event with the context; scope and RBAC are about the subscription's own query, and
// what they found at registration, a Clearance, is checked again with each event.
package security

import (
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// Mode says when a module's rule applies.
type Mode uint8

const (
	// Strict: the event's identifier and the context's are equal, or both are
	// absent. A null is absent.
	Strict Mode = iota
	// IfPresent: as Strict when the event carries an identifier, else allowed.
	IfPresent
	// Off: always allowed.
	Off
)

// Module is a kind of check; its String is the name by which denials are
// counted.
type Module uint8

// The modules in the order in which they are checked. NoModule goes with an
// event that is allowed.
const (
	NoModule Module = iota
	TenantModule
	RowModule
	FederationModule
	ScopeModule
	RBACModule
	// Modules is how many there are, NoModule included.
	Modules
)

var moduleNames = [Modules]string{"", "tenant", "row", "federation", "scope", "rbac"}

func (m Module) String() string {
	if m < Modules {
		return moduleNames[m]
	}
	return "unknown"
}

// Policy says how events and contexts are compared. It is made by ParsePolicy
// and then immutable, safe for concurrent use.
type Policy struct {
	Tenant, Row, Federation Mode
	TenantPath, UserPath    document.Path // where an event's data holds its identifiers
	Loose                   bool          // an integer equals its decimal text
	Scope                   ScopeMode
	RBAC                    RBACMode
	RequireContext          bool // refuse subscriptions without a context
	RequirePermissions      bool // a context without permissions holds none
	// MaxViolations within ViolationWindow is what a connection may do before its
	// subscriptions are ended.
	MaxViolations   int
	ViolationWindow time.Duration

	permissions            []permissionEntry // in the order in which they are tried
	tenantNames, userNames scopeNames
}

// Facts is what the policy needs to know of one event. It refers to the event's
// channel and document and must not outlive them.
type Facts struct {
	tenant              carried
	channelTenant       string // "" for none
	conflict            bool   // the data names another tenant than the channel
	user                carried
	federation, service carried
}

// Read takes from an event, given by its channel and its data, what Check needs, into f.
// It allocates nothing.
func (p *Policy) Read(f *Facts, channelName string, data document.Value) {
	*f = Facts{}
	p.readTenant(f, channelName, data)
	p.readRow(f, data)
	p.readFederation(f, data)
}

// Check reports whether the subscriber ctx, whose query has been cleared, may see
// the event f, and if not, which module denied it. Subscriptions the application
// trusts have no context and aren't checked at all. It allocates nothing.
func (p *Policy) Check(ctx *Context, f *Facts, c *Clearance) (allowed bool, module Module) {
	if !p.tenantAllows(ctx, f) {
		return false, TenantModule
	}
	if !p.rowAllows(ctx, f) {
		return false, RowModule
	}
	if !p.federationAllows(ctx, f) {
		return false, FederationModule
	}
	if c.context != ctx || !p.scopeAllows(ctx, c.scope) {
		return false, ScopeModule
	}
	if !c.rights.rbacAllows() {
		return false, RBACModule
	}
	return true, NoModule
}

// allows is the rule that all modules with one identifier share.
func (m Mode) allows(own *Identifier, event *carried, loose bool) bool {
	if m == IfPresent && event.kind == absent {
		return true
	}
	return event.equals(own, loose)
}
