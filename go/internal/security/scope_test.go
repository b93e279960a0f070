package security

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestWhatASubscriptionNamesMustBeItsContexts(t *testing.T) {
	const own = `{"tenant_id":5,"user_id":"ann"}`
	const nested = `"tenant_field":"meta.ownerTenant","user_field":"meta.who"`
	for _, c := range []struct {
		options, context, given, variables, arguments string
		refused                                       string // what the error names; "" for none
	}{
		{``, own, ``, ``, ``, ""},
		{``, own, `{}`, `{}`, `{}`, ""},
		{``, own, ``, `{"tenant_id":5,"tenantId":5,"user_id":"ann","userId":"ann","other":6}`, ``, ""},
		{``, own, ``, `{"tenant_id":6}`, ``, "variable $tenant_id"},
		{``, own, ``, `{"tenantId":"5"}`, ``, "variable $tenantId"},
		{``, own, ``, `{"tenantId":5.0}`, ``, "variable $tenantId"},
		{``, own, ``, `{"tenantId":[5]}`, ``, "variable $tenantId"},
		{``, own, ``, `{"tenantId":{"equals":5}}`, ``, "variable $tenantId"},
		{``, own, ``, `{"tenantId":true}`, ``, "variable $tenantId"},
		{``, own, ``, `{"user_id":null}`, ``, "variable $user_id"},
		{``, own, ``, `{"user_id":""}`, ``, "variable $user_id"},
		{``, own, ``, `{"user_id":5}`, ``, "variable $user_id"},
		{``, own, ``, ``, `{"tenantId":6}`, "argument tenantId"},
		{``, own, ``, ``, `{"user_id":"bob"}`, "argument user_id"},
		{``, own, ``, `{"tenantId":5}`, `{"tenantId":6}`, "argument tenantId"},
		// Given without being defined: a resolver may read it.
		{``, own, `{"tenant_id":6}`, ``, ``, "variable $tenant_id"},
		{``, own, `{"tenantId":"5"}`, `{"tenantId":5}`, ``, ""}, // as coerced
		// Of two members of one name neither may be another's: a resolver may read either.
		{``, own, `{"tenant_id":6,"tenant_id":5}`, ``, ``, "variable $tenant_id"},
		{``, own, `{"tenant_id":5,"tenant_id":6}`, ``, ``, "variable $tenant_id"},
		// Names that only look alike name nobody.
		{``, own, ``, `{"tenant_ıd":6,"Tenant_id":6,"TENANT_ID":6,"tenantid":6,"tenant-id":6}`, ``, ""},
		{``, `{}`, ``, `{"tenant_id":null,"user_id":null}`, ``, ""},
		{``, `{}`, ``, `{"tenant_id":5}`, ``, "variable $tenant_id"},
		{`"identifiers":"loose"`, own, ``, `{"tenant_id":"5"}`, ``, ""},
		{`"identifiers":"loose"`, own, ``, `{"tenant_id":"05"}`, ``, "variable $tenant_id"},
		{nested, own, ``, `{"tenant_id":6,"user_id":"bob"}`, ``, ""},
		{nested, own, ``, `{"ownerTenant":6}`, ``, "variable $ownerTenant"},
		{nested, own, ``, `{"owner_tenant":6}`, ``, "variable $owner_tenant"},
		{nested, own, ``, ``, `{"who":"bob"}`, "argument who"},
		{`"tenant_field":"a.id","user_field":"b.id"`, `{"tenant_id":5,"user_id":5}`, ``, `{"id":5}`, ``, ""},
		{`"tenant_field":"a.id","user_field":"b.id"`, own, ``, `{"id":5}`, ``, "variable $id"}, // both must agree
		{`"scope":"variables"`, own, ``, `{"tenantId":6}`, `{"tenant_id":6}`, ""},
		{`"scope":"variables"`, own, ``, `{"tenant_id":6}`, ``, "variable $tenant_id"},
		{`"scope":"off"`, own, `{"tenant_id":6}`, `{"tenant_id":6}`, `{"tenant_id":6}`, ""},
	} {
		p := policy(t, "{"+c.options+"}")
		ctx := context(t, c.context)
		scope, err := p.ReadScope([]byte(c.given), []byte(c.variables), []byte(c.arguments))
		if err != nil {
			t.Fatal(err)
		}
		clearance, err := p.Clear(ctx, scope, nil, true)
		what := fmt.Sprintf("{%s} %s: given %s, variables %s, arguments %s", c.options, c.context, c.given, c.variables, c.arguments)
		if c.refused == "" {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		if refusal, ok := err.(*Refusal); !ok || refusal.Module != ScopeModule || fault.CodeOf(err) != fault.ScopeViolation || !strings.Contains(err.Error(), c.refused+" ") {
			t.Errorf("%s: %v, want a refusal that names the %s", what, err, c.refused)
		}
		if facts := read(p, "c", parsed(t, c.context)); clearance != (Clearance{}) {
			t.Errorf("%s: refused with a clearance", what)
		} else if allowed, _ := p.Check(ctx, &facts, &clearance); allowed {
			t.Errorf("%s: an event passes after a refusal", what)
		}
	}
}

func TestVariablesThatCannotBeReadAreRefused(t *testing.T) {
	if _, err := policy(t, ``).ReadScope([]byte(`{"a"`), nil, nil); fault.CodeOf(err) != fault.InvalidValue {
		t.Errorf("%v", err)
	}
}

// FuzzScope asks of any variables and any context: is a subscription cleared that
// names, by whichever spelling, something that is not the context's?
func FuzzScope(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"tenant_id":5}`, `5`},
		{`{"tenantId":"5"}`, `5`},
		{`{"tenant_id":null}`, `null`},
		{`{"tenant_id":5,"tenantId":6}`, `5`},
		{`{"tenant_id":6,"tenant_id":5}`, `5`},
		{`{"t\u0065nant_id":6}`, `5`},
	} {
		f.Add([]byte(seed[0]), seed[1])
	}
	f.Fuzz(func(t *testing.T, given []byte, own string) {
		if _, ok := scalar(t, own); !ok {
			return
		}
		p := policy(t, ``)
		ctx := context(t, `{"tenant_id":`+own+`}`)
		scope, err := p.ReadScope(given, nil, nil)
		if err != nil {
			return
		}
		_, err = p.Clear(ctx, scope, nil, true)
		agree := true
		if len(given) > 2 {
			for members := parsed(t, string(given)).Members(); members.Next(); {
				// An event of that tenant, shown to this context, is what equal means.
				switch members.Key().Text() {
				case "tenant_id", "tenantId":
					event := parsed(t, `{"tenant_id":`+string(members.Value().Raw())+`}`)
					agree = agree && verdict(p, ctx, "c", event) == "allowed"
				case "user_id", "userId":
					agree = agree && members.Value().Raw()[0] == 'n'
				}
			}
		}
		if agree != (err == nil) {
			t.Fatalf("variables %s under the tenant %s: %v", given, own, err)
		}
	})
}
