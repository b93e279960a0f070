package security

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

const costData = `{"id":4711,"status":"delayed","tenant_id":"3f2504e0-4f89-41d3-9a0c-0305e82c3301","user_id":123456,"minutes":42}`

func TestReadingAndCheckingAllocateNothing(t *testing.T) {
	var d document.Document
	for _, c := range []struct{ channel, data, context string }{
		{"orders.eu", costData, `{"tenant_id":"3f2504e0-4f89-41d3-9a0c-0305e82c3301","user_id":123456}`},
		{"orders:tenant-5", `{"user_id":"\u0061b"}`, `{"tenant_id":5,"user_id":"ab"}`},
		{"orders:tenant-5", `{"tenant_id":5,"user_id":1.50}`, `{"tenant_id":5,"user_id":1.5}`},
		{"orders", `{"tenant_id":123456789012345678901234567890}`, `{"tenant_id":123456789012345678901234567890}`},
	} {
		if err := d.Parse([]byte(c.data)); err != nil {
			t.Fatal(err)
		}
		p, ctx := policy(t, ""), context(t, c.context)
		clearance := cleared(t, p, ctx)
		if n := testing.AllocsPerRun(100, func() {
			facts := read(p, c.channel, d.Root())
			if allowed, module := p.Check(ctx, &facts, &clearance); !allowed {
				t.Fatal(module)
			}
			if p.CheckPublish(c.channel, d.Root()) != nil {
				t.Fatal("refused")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", c.data, n)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	p, data := policy(b, ""), parsed(b, costData)
	b.ReportAllocs()
	for b.Loop() {
		read(p, "orders.eu.paris", data)
	}
}

func BenchmarkCheckPublish(b *testing.B) {
	p, data := policy(b, ""), parsed(b, costData)
	b.ReportAllocs()
	for b.Loop() {
		if p.CheckPublish("orders.eu.paris", data) != nil {
			b.Fatal("refused")
		}
	}
}

// allModules is a subscription that every module has something to check of: its
// query names its tenant and user and needs ten permissions.
func allModules(t testing.TB, tenant string, service int) (*Policy, *Context, Clearance, Facts) {
	t.Helper()
	const scope = `{"tenantId":"3f2504e0-4f89-41d3-9a0c-0305e82c3301","userId":123456}`
	p := policy(t, "")
	ctx := context(t, `{"tenant_id":"3f2504e0-4f89-41d3-9a0c-0305e82c3301","user_id":123456,"federation_id":"eu-west","service_name":7,`+
		`"permissions":["a","b","c","d","e","f","g","h","i","j"]}`)
	said, err := p.ReadScope([]byte(scope), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	clearance, err := p.Clear(ctx, said, []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}, true)
	if err != nil {
		t.Fatal(err)
	}
	data := parsed(t, fmt.Sprintf(`{"id":4711,"tenant_id":%q,"user_id":123456,"federation_id":"eu-west","service_name":%d}`, tenant, service))
	return p, ctx, clearance, read(p, "orders.eu.paris", data)
}

func TestCheckingAllModulesAllocatesNothing(t *testing.T) {
	p, ctx, clearance, facts := allModules(t, "3f2504e0-4f89-41d3-9a0c-0305e82c3301", 7)
	if n := testing.AllocsPerRun(100, func() {
		if allowed, module := p.Check(ctx, &facts, &clearance); !allowed {
			t.Fatal(module)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	unheld := clearance
	unheld.rights = newRights(&Context{}, []string{"a"})
	if allowed, module := p.Check(ctx, &facts, &unheld); allowed || module != RBACModule {
		t.Errorf("a permission that is not held: %v by %v", allowed, module)
	}
}

func BenchmarkCheckAll(b *testing.B) {
	run := func(name string, service int, unheld bool) {
		b.Run(name, func(b *testing.B) {
			p, ctx, clearance, facts := allModules(b, "3f2504e0-4f89-41d3-9a0c-0305e82c3301", service)
			if unheld {
				clearance.rights = newRights(&Context{}, []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"})
			}
			b.ReportAllocs()
			for b.Loop() {
				if allowed, _ := p.Check(ctx, &facts, &clearance); allowed == unheld {
					b.Fatal("wrong")
				}
			}
		})
	}
	run("allowed", 7, false)
	run("denied by the last", 7, true)
}

func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct {
		name, channel, data, context string
		allowed                      bool
	}{
		{"allowed", "orders", costData, `{"tenant_id":"3f2504e0-4f89-41d3-9a0c-0305e82c3301","user_id":123456}`, true},
		{"denied by tenant", "orders", costData, `{"tenant_id":"3f2504e0-4f89-41d3-9a0c-0305e82c3302","user_id":123456}`, false},
		{"denied by row", "orders", costData, `{"tenant_id":"3f2504e0-4f89-41d3-9a0c-0305e82c3301","user_id":123457}`, false},
		{"channel tenant", "orders:tenant-5", `{"user_id":1}`, `{"tenant_id":5,"user_id":1}`, true},
		{"floats", "orders", `{"tenant_id":1.50,"user_id":2.50}`, `{"tenant_id":1.5,"user_id":2.5}`, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, ctx := policy(b, ""), context(b, c.context)
			clearance := cleared(b, p, ctx)
			facts := read(p, c.channel, parsed(b, c.data))
			b.ReportAllocs()
			for b.Loop() {
				if allowed, _ := p.Check(ctx, &facts, &clearance); allowed != c.allowed {
					b.Fatal("wrong")
				}
			}
		})
	}
}
