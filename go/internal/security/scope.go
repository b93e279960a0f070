package security

import (
	"strings"
	"unicode"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Scope: what a subscription itself names as its tenant or user must be those of
// its context. Variables and arguments of the root field count when they are named
// like the last segment of the policy's tenant or user field, in snake_case or
// camelCase. One that is not given says nothing; a null names nobody, so it agrees
// with an absent identifier only.

// ScopeMode says which of those names count.
type ScopeMode uint8

const (
	// ScopeStrict: variables and arguments, in both spellings.
	ScopeStrict ScopeMode = iota
	// ScopeVariables: variables in snake_case only, as FraiseQL's own executor does.
	ScopeVariables
	// ScopeOff: none.
	ScopeOff
)

// Scope is what a subscription's variables and arguments say of its tenant and
// user. nil says nothing. It is immutable.
type Scope struct{ claims []claim }

type claim struct {
	what     string // "variable $tenantId"
	ofTenant bool   // otherwise of the user
	value    carried
}

// scopeNames are the spellings of the last segment of a path: as it is, in
// snake_case, in camelCase.
type scopeNames struct{ own, snake, camel string }

func namesFor(path document.Path) scopeNames {
	last := path.Last()
	return scopeNames{own: last, snake: toSnake(last), camel: toCamel(last)}
}

func (n *scopeNames) match(name string, mode ScopeMode) bool {
	if mode == ScopeVariables {
		return name == n.snake
	}
	return name == n.own || name == n.snake || name == n.camel
}

// ReadScope finds what a subscription says of its tenant and user: in its
// variables as coerced, in the arguments of its root field, and in variables that
// were given and that its operation does not define, which a resolver elsewhere may
// read. Each is a JSON object or empty. It keeps nothing of them.
func (p *Policy) ReadScope(given, variables, arguments []byte) (*Scope, error) {
	if p.Scope == ScopeOff || len(given) <= len("{}") && len(variables) <= len("{}") && len(arguments) <= len("{}") {
		return nil, nil
	}
	s := &Scope{}
	coerced, err := p.claims(s, variables, "variable $", nil)
	if err != nil {
		return nil, err
	}
	if p.Scope != ScopeVariables {
		if _, err := p.claims(s, arguments, "argument ", nil); err != nil {
			return nil, err
		}
	}
	if _, err := p.claims(s, given, "variable $", coerced); err != nil {
		return nil, err
	}
	if len(s.claims) == 0 {
		return nil, nil
	}
	return s, nil
}

// claims adds those of one object but for the names that known has, and returns its
// document.
func (p *Policy) claims(s *Scope, source []byte, what string, known *document.Document) (*document.Document, error) {
	if len(source) == 0 {
		return nil, nil
	}
	d := &document.Document{}
	if err := d.Parse([]byte(string(source))); err != nil {
		return nil, fault.New(fault.InvalidValue, "the variables can't be read: %w", err)
	}
	for members := d.Root().Members(); members.Next(); {
		name := members.Key().Text()
		if known != nil && known.Root().Get(name).Exists() {
			continue
		}
		// Two fields may end in the same name; then both must agree.
		if p.tenantNames.match(name, p.Scope) {
			s.claims = append(s.claims, claim{what + name, true, carry(members.Value())})
		}
		if p.userNames.match(name, p.Scope) {
			s.claims = append(s.claims, claim{what + name, false, carry(members.Value())})
		}
	}
	return d, nil
}

// scopeAllows reports whether a context is the one that the subscription names.
func (p *Policy) scopeAllows(ctx *Context, s *Scope) bool {
	return p.Scope == ScopeOff || s == nil || s.disagreeing(ctx, p.Loose) == nil
}

func (s *Scope) disagreeing(ctx *Context, loose bool) *claim {
	for i := range s.claims {
		c := &s.claims[i]
		own := &ctx.User
		if c.ofTenant {
			own = &ctx.Tenant
		}
		if !c.value.equals(own, loose) {
			return c
		}
	}
	return nil
}

// refuseScope is the error for a subscription that names what is not its context's.
func (p *Policy) refuseScope(ctx *Context, s *Scope) error {
	c := s.disagreeing(ctx, p.Loose)
	whose := "user"
	if c.ofTenant {
		whose = "tenant"
	}
	text := "null"
	if c.value.kind != absent {
		text = excerpt(c.value.value)
	}
	return refuse(ScopeModule, fault.ScopeViolation, "the subscription's %s is %s, which is not the %s of its context", c.what, text, whose)
}

func toSnake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 && name[i-1] != '_' {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func toCamel(name string) string {
	var b strings.Builder
	up := false
	for _, r := range name {
		switch {
		case r == '_' && b.Len() > 0:
			up = true
		case up:
			b.WriteRune(unicode.ToUpper(r))
			up = false
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
