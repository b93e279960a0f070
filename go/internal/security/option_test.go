package security

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestPolicyDefaultsToStrict(t *testing.T) {
	for _, text := range []string{"", "null", " ", "{}"} {
		p := policy(t, text)
		if p.Tenant != Strict || p.Row != Strict || p.Loose || p.RequireContext ||
			p.TenantPath.String() != "tenant_id" || p.UserPath.String() != "user_id" {
			t.Errorf("%q gives %+v", text, p)
		}
	}
}

func TestPolicyReadsItsOptions(t *testing.T) {
	p := policy(t, `{"tenant":"if_present","row":"off","tenant_field":"a.b","user_field":"c","identifiers":"loose","require_context":true}`)
	q := policy(t, `{"scope":"off","rbac":"null","require_permissions":true}`)
	if q.Scope != ScopeOff || q.RBAC != RBACNull || !q.RequirePermissions || p.Scope != ScopeStrict || p.RBAC != RBACRefuse || p.RequirePermissions {
		t.Errorf("got %+v and %+v", q, p)
	}
	if p.Tenant != IfPresent || p.Row != Off || !p.Loose || !p.RequireContext ||
		p.TenantPath.String() != "a.b" || p.UserPath.String() != "c" {
		t.Errorf("got %+v", p)
	}
	// Of an option given twice the last one counts.
	p = policy(t, `{"identifiers":"loose","tenant":"off","tenant":"strict","row":"strict","identifiers":"strict","require_context":false}`)
	if p.Tenant != Strict || p.Row != Strict || p.Loose || p.RequireContext {
		t.Errorf("got %+v", p)
	}
}

func TestPolicyRefusesWhatItCannotReadAndSaysWhat(t *testing.T) {
	for text, says := range map[string]string{
		`{"scope":"if_present"}`:               `scope is "if_present"`,
		`{"rbac":true}`:                        "rbac is true",
		`{"permissions":[]}`:                   "permissions is []",
		`{"permissions":{"a..b":"x"}}`:         `"a..b"`,
		`{"permissions":{"":"x"}}`:             `""`,
		`{"permissions":{"a.__typename":"x"}}`: `"a.__typename"`,
		`{"permissions":{"a.b*":"x"}}`:         `"a.b*"`,
		`{"permissions":{"a":""}}`:             "permissions[a]",
		`{"permissions":{"a":5}}`:              "permissions[a] is 5",
		`{"require_permissions":"x"}`:          `require_permissions is "x"`,
		`{"max_violations":-1}`:                "max_violations is -1",
		`{"max_violations":1.5}`:               "max_violations is 1.5",
		`{"violation_window":0}`:               "violation_window is 0",
		`{"violation_window":"60"}`:            "violation_window is \"60\"",
		`{"tennant":"strict"}`:                 `"tennant"`,
		`{"Tenant":"off"}`:                     `"Tenant"`,
		`{"tenant":"on"}`:                      `tenant is "on"`,
		`{"tenant":null}`:                      "tenant is null",
		`{"row":1}`:                            "row is 1",
		`{"row":{"a":1}}`:                      `row is {"a":1}`,
		`{"identifiers":"exact"}`:              `identifiers is "exact"`,
		`{"identifiers":true}`:                 "identifiers is true",
		`{"require_context":"yes"}`:            `require_context is "yes"`,
		`{"tenant_field":5}`:                   "tenant_field is 5",
		`{"tenant_field":"a..b"}`:              `tenant_field is "a..b"`,
		`{"user_field":""}`:                    `user_field is ""`,
		`[]`:                                   "must be an object",
		`"strict"`:                             "must be an object",
		`{"tenant":`:                           "can't be read",
	} {
		_, err := ParsePolicy([]byte(text))
		if fault.CodeOf(err) != fault.InvalidValue || !strings.Contains(err.Error(), says) {
			t.Errorf("ParsePolicy(%s) = %v, want INVALID_VALUE saying %q", text, err, says)
		}
	}
}

func TestContextRefusesWhatItDoesNotKnowAndSaysWhat(t *testing.T) {
	for text, says := range map[string]string{
		`{"userid":5}`:                  `"userid"`,
		`{"__proto__":{"user_id":5}}`:   `"__proto__"`,
		`{"user_id":[5]}`:               "user_id is [5]",
		`{"tenant_id":{}}`:              "tenant_id is {}",
		`{"federation_id":[]}`:          "federation_id is []",
		`{"service_name":{}}`:           "service_name is {}",
		`{"roles":"admin"}`:             `roles is "admin"`,
		`{"permissions":"order:read"}`:  `permissions is "order:read"`,
		`{"permissions":{"a":1}}`:       `permissions is {"a":1}`,
		`{"permissions":["a",5]}`:       `permissions is ["a",5]`,
		`{"scopes":[null]}`:             "scopes is [null]",
		`{"expires_at":"2030"}`:         `expires_at is "2030"`,
		`{"expires_at":-1}`:             "expires_at is -1",
		`{"expires_at":253402300800.1}`: "expires_at is 253402300800.1",
		`{"expires_at":1e300}`:          "expires_at is 1e300",
		`{"expires_at":1e999}`:          "expires_at is 1e999",
		`{"claims":[]}`:                 "claims is []",
		`null`:                          "must be an object",
		`5`:                             "must be an object",
		``:                              "can't be read",
		`{`:                             "can't be read",
	} {
		_, err := ParseContext([]byte(text))
		if fault.CodeOf(err) != fault.InvalidValue || !strings.Contains(err.Error(), says) {
			t.Errorf("ParseContext(%s) = %v, want INVALID_VALUE saying %q", text, err, says)
		}
	}
}

func TestContextReadsItsMembers(t *testing.T) {
	source := []byte(`{"user_id":"u","tenant_id":5,"federation_id":"f","service_name":"s","roles":["b","a","b"],` +
		`"permissions":["order:read","item:read"],"scopes":[],"expires_at":1700000000.5,"claims":{"plan":"pro"}}`)
	ctx, err := ParseContext(source)
	if err != nil {
		t.Fatal(err)
	}
	clear(source) // it must have been copied
	if !ctx.Federation.hasText("f") || !ctx.Service.hasText("s") || !slices.Equal(ctx.Roles, []string{"a", "b"}) || len(ctx.Scopes) != 0 ||
		!ctx.HasPermissions || !slices.Equal(ctx.Permissions, []string{"item:read", "order:read"}) ||
		ctx.ExpiresAt.UnixMilli() != 1700000000500 || !ctx.Claims.Get("plan").EqualText("pro") {
		t.Errorf("got %+v", ctx)
	}
	empty := context(t, `{"permissions":null,"expires_at":null,"claims":null,"roles":null}`)
	if empty.HasPermissions || !empty.ExpiresAt.IsZero() || empty.Claims.Exists() {
		t.Errorf("nulls give %+v", empty)
	}
	if none := context(t, `{"permissions":[]}`); !none.HasPermissions || none.Grants("") {
		t.Errorf("an empty set gives %+v", none)
	}
}

func TestAContextExpiresInTheNanosecondsThatThereAre(t *testing.T) {
	for text, want := range map[string]int64{
		`{}`: 0, `{"expires_at":null}`: 0, `{"expires_at":0}`: 1, `{"expires_at":-0.0}`: 1,
		`{"expires_at":1.5}`: 1_500_000_000, `{"expires_at":9223372036}`: 9_223_372_036_000_000_000,
		`{"expires_at":9223372037}`: math.MaxInt64, `{"expires_at":2e10}`: math.MaxInt64, `{"expires_at":253402300800}`: math.MaxInt64,
	} {
		if got := context(t, text).Expires(); got != want {
			t.Errorf("%s expires at %d, want %d", text, got, want)
		}
	}
}

func TestAPermissionIsTakenFromACopy(t *testing.T) {
	ctx := context(t, `{"permissions":["a","b"]}`)
	less := ctx.Without("a")
	if less.Grants("a") || !less.Grants("b") || !less.HasPermissions || !ctx.Grants("a") {
		t.Errorf("got %+v from %+v", less, ctx)
	}
	if ctx.Without("c") != ctx {
		t.Error("taking what is not held made a copy")
	}
}

func TestModulesAreCountedByName(t *testing.T) {
	for module, name := range map[Module]string{NoModule: "", TenantModule: "tenant", RowModule: "row", FederationModule: "federation", Modules: "unknown"} {
		if module.String() != name {
			t.Errorf("module %d is named %q, want %q", module, module, name)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, seed := range []string{"", "null", `{"tenant":"off"}`, `{"tenant_field":"a.0"}`, `{"rbac":1}`, `{"a`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePolicy(text)
		if (p == nil) == (err == nil) || err != nil && fault.CodeOf(err) != fault.InvalidValue {
			t.Fatalf("%q: %v, %v", text, p, err)
		}
		ctx, err := ParseContext(text)
		if (ctx == nil) == (err == nil) || err != nil && fault.CodeOf(err) != fault.InvalidValue {
			t.Fatalf("%q: %v, %v", text, ctx, err)
		}
		if p != nil {
			facts := read(p, string(text), parsed(t, `{"tenant_id":"a"}`))
			if allowed, _ := p.Check(&Context{}, &facts, &Clearance{}); allowed {
				t.Fatalf("%q: an event passes without a clearance", text)
			}
		}
	})
}
