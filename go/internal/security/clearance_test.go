package security

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestFieldsAreClearedByThePermissionsOfTheContext(t *testing.T) {
	for _, c := range []struct {
		options, context string
		required         string
		projected        bool
		missing          string // "refused" for a refusal
	}{
		{``, `{}`, "a b", true, ""}, // no permissions, so they aren't asked for
		{`{"require_permissions":true}`, `{}`, "a b", true, "refused"},
		{``, `{"permissions":null}`, "a", true, ""},
		{``, `{"permissions":[]}`, "", true, ""},
		{``, `{"permissions":[]}`, "a", true, "refused"},
		{``, `{"permissions":["b","a","a"]}`, "a b", true, ""},
		{``, `{"permissions":["a","c"]}`, "a b", true, "refused"},
		{``, `{"permissions":["A"," a","a ","*","a*"]}`, "a", true, "refused"}, // no wildcards, no case
		{`{"rbac":"null"}`, `{"permissions":["a"]}`, "a b c", true, "b c"},
		{`{"rbac":"null"}`, `{"permissions":["a"]}`, "a b c", false, "refused"}, // a resolver's answer
		{`{"rbac":"null"}`, `{"permissions":["a"]}`, "a", false, ""},
		{`{"rbac":"off"}`, `{"permissions":[]}`, "a", true, ""},
		{`{"rbac":"off","require_permissions":true}`, `{}`, "a", false, ""},
	} {
		p, ctx := policy(t, c.options), context(t, c.context)
		required := strings.Fields(c.required)
		clearance, err := p.Clear(ctx, nil, required, c.projected)
		what := fmt.Sprintf("%s %s, which needs %q, projected %v", c.options, c.context, c.required, c.projected)
		facts := read(p, "c", parsed(t, `{}`))
		allowed, _ := p.Check(ctx, &facts, &clearance)
		if c.missing == "refused" {
			if refusal, ok := err.(*Refusal); !ok || refusal.Module != RBACModule || fault.CodeOf(err) != fault.Forbidden {
				t.Errorf("%s: %v, want a refusal", what, err)
			}
			if allowed {
				t.Errorf("%s: an event passes after a refusal", what)
			}
			continue
		}
		if got := strings.Join(clearance.Missing(), " "); err != nil || got != c.missing || !allowed {
			t.Errorf("%s: %v, without %q, allowed %v; want without %q", what, err, got, allowed, c.missing)
		}
	}
}

// TestManyPermissions goes beyond the 64 of one word of the bit sets: each of them
// alone, missing, denies.
func TestManyPermissions(t *testing.T) {
	var required []string
	for i := range 130 {
		required = append(required, fmt.Sprintf("p%03d", i))
	}
	refusing, nulling := policy(t, ``), policy(t, `{"rbac":"null"}`)
	for i, one := range required {
		ctx := &Context{HasPermissions: true, Permissions: slices.Delete(slices.Clone(required), i, i+1)}
		if _, err := refusing.Clear(ctx, nil, required, true); err == nil || !strings.Contains(err.Error(), one) {
			t.Errorf("without %s: %v", one, err)
		}
		clearance, err := nulling.Clear(ctx, nil, required, true)
		if err != nil || !slices.Equal(clearance.Missing(), []string{one}) {
			t.Errorf("without %s: %v, %v", one, clearance.Missing(), err)
		}
		facts := read(nulling, "c", parsed(t, `{}`))
		if allowed, _ := nulling.Check(ctx, &facts, &clearance); !allowed {
			t.Errorf("without %s, nulled: denied", one)
		}
		// Were its fields not nulled, the check with each event would still deny.
		clearance.rights.nulled[i/64] = 0
		if allowed, module := nulling.Check(ctx, &facts, &clearance); allowed || module != RBACModule {
			t.Errorf("without %s, not nulled: allowed %v, by %v", one, allowed, module)
		}
	}
}

func TestAClearanceGoesOverToAContextOfTheSameText(t *testing.T) {
	p := policy(t, ``)
	one, other := context(t, `{"tenant_id":1}`), context(t, `{"tenant_id":1}`)
	clearance := cleared(t, p, one)
	facts := read(p, "c", parsed(t, `{"tenant_id":1}`))
	if allowed, module := p.Check(other, &facts, &clearance); allowed || module != ScopeModule {
		t.Errorf("allowed %v, by %v", allowed, module)
	}
	moved := clearance.Under(other)
	if allowed, _ := p.Check(other, &facts, &moved); !allowed {
		t.Error("denied under the context that it was moved to")
	}
}
