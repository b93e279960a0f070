package security

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func parsed(t testing.TB, text string) document.Value {
	t.Helper()
	var d document.Document
	if err := d.Parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return d.Root()
}

func read(p *Policy, channelName string, data document.Value) (f Facts) {
	p.Read(&f, channelName, data)
	return f
}

func policy(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func context(t testing.TB, text string) *Context {
	t.Helper()
	ctx, err := ParseContext([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// cleared is the clearance of a query that says and needs nothing.
func cleared(t testing.TB, p *Policy, ctx *Context) Clearance {
	t.Helper()
	c, err := p.Clear(ctx, nil, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// verdict is "allowed" or the name of the module that denied.
func verdict(p *Policy, ctx *Context, channelName string, data document.Value) string {
	facts := read(p, channelName, data)
	clearance, err := p.Clear(ctx, nil, nil, true)
	if err != nil {
		return "a refusal of a query that says and needs nothing"
	}
	allowed, module := p.Check(ctx, &facts, &clearance)
	if allowed != (module == NoModule) {
		return "a verdict that contradicts its module"
	}
	if allowed {
		return "allowed"
	}
	return module.String()
}

// TestDecisionTable is every combination of what an event carries and what the
// context holds, for one module at a time (the others are off), in each mode. A
// row is the event's identifier, a column the context's; y is allowed.
func TestDecisionTable(t *testing.T) {
	columns := []string{`absent`, `null`, `5`, `"5"`, `5.0`, `true`, `6`, `""`, `"null"`}
	for _, table := range []struct {
		options string
		rows    map[string]string
	}{
		{`"%s":"strict"`, map[string]string{
			`absent`:   "y y - - - - - - -",
			`null`:     "y y - - - - - - -",
			`5`:        "- - y - - - - - -",
			`"5"`:      "- - - y - - - - -",
			`5.0`:      "- - - - y - - - -",
			`50e-1`:    "- - - - y - - - -",
			`true`:     "- - - - - y - - -",
			`false`:    "- - - - - - - - -",
			`6`:        "- - - - - - y - -",
			`""`:       "- - - - - - - y -",
			`"null"`:   "- - - - - - - - y",
			`"\u0035"`: "- - - y - - - - -",
			`"05"`:     "- - - - - - - - -",
			`"5.0"`:    "- - - - - - - - -",
			`"true"`:   "- - - - - - - - -",
			`[]`:       "- - - - - - - - -",
			`{}`:       "- - - - - - - - -",
			`[5]`:      "- - - - - - - - -",
		}},
		{`"%s":"strict","identifiers":"loose"`, map[string]string{
			`absent`: "y y - - - - - - -",
			`null`:   "y y - - - - - - -",
			`5`:      "- - y y - - - - -",
			`"5"`:    "- - y y - - - - -",
			`5.0`:    "- - - - y - - - -",
			`true`:   "- - - - - y - - -",
			`""`:     "- - - - - - - y -",
			`"05"`:   "- - - - - - - - -",
			`"5.0"`:  "- - - - - - - - -",
			`"+5"`:   "- - - - - - - - -",
			`" 5"`:   "- - - - - - - - -",
			`"true"`: "- - - - - - - - -",
			`[]`:     "- - - - - - - - -",
		}},
		{`"%s":"if_present"`, map[string]string{
			`absent`: "y y y y y y y y y",
			`null`:   "y y y y y y y y y",
			`5`:      "- - y - - - - - -",
			`"5"`:    "- - - y - - - - -",
			`5.0`:    "- - - - y - - - -",
			`true`:   "- - - - - y - - -",
			`""`:     "- - - - - - - y -",
			`[]`:     "- - - - - - - - -",
			`{}`:     "- - - - - - - - -",
		}},
		{`"%s":"off"`, map[string]string{
			`absent`: "y y y y y y y y y",
			`5`:      "y y y y y y y y y",
			`[]`:     "y y y y y y y y y",
		}},
	} {
		for field, module := range map[string]string{"tenant_id": "tenant", "user_id": "row", "federation_id": "federation", "service_name": "federation"} {
			options := "{" + fmt.Sprintf(table.options, module)
			for _, other := range []string{"tenant", "row", "federation"} {
				if other != module {
					options += fmt.Sprintf(`,"%s":"off"`, other)
				}
			}
			options += "}"
			p := policy(t, options)
			for event, row := range table.rows {
				data := parsed(t, object(field, event))
				for i, cell := range strings.Fields(row) {
					ctx := context(t, object(field, columns[i]))
					want := module
					if cell == "y" {
						want = "allowed"
					}
					if got := verdict(p, ctx, "orders", data); got != want {
						t.Errorf("%s: event %s, context %s: %s, want %s", options, event, columns[i], got, want)
					}
				}
			}
		}
	}
}

func object(field, value string) string {
	if value == "absent" {
		return `{}`
	}
	return fmt.Sprintf(`{"%s":%s}`, field, value)
}

func TestAChannelSegmentIsTheTenantOfDataThatNamesNone(t *testing.T) {
	for _, c := range []struct {
		mode, channel, data, context, want string
	}{
		{"strict", "orders:tenant-5", `{}`, `{"tenant_id":5}`, "allowed"},
		{"strict", "orders:tenant-5", `{}`, `{"tenant_id":"5"}`, "allowed"},
		{"strict", "orders:tenant-5", `{"tenant_id":null}`, `{"tenant_id":"5"}`, "allowed"},
		{"strict", "orders:tenant-5", `{}`, `{"tenant_id":6}`, "tenant"},
		{"strict", "orders:tenant-5", `{}`, `{}`, "tenant"},
		{"strict", "orders:tenant-5", `{}`, `{"tenant_id":5.0}`, "tenant"},
		{"strict", "orders:tenant-true", `{}`, `{"tenant_id":true}`, "tenant"},
		{"strict", "orders:tenant-05", `{}`, `{"tenant_id":5}`, "tenant"},
		{"strict", "orders:tenant--5", `{}`, `{"tenant_id":-5}`, "allowed"},
		{"strict", "orders:tenant-0", `{}`, `{"tenant_id":-0}`, "allowed"},
		{"strict", "orders:tenant-123456789012345678901234567890", `{}`, `{"tenant_id":123456789012345678901234567890}`, "allowed"},
		{"strict", "orders:tenant-", `{}`, `{}`, "allowed"},
		// Data that agrees: its type counts.
		{"strict", "orders:tenant-5", `{"tenant_id":5}`, `{"tenant_id":5}`, "allowed"},
		{"strict", "orders:tenant-5", `{"tenant_id":5}`, `{"tenant_id":"5"}`, "tenant"},
		{"strict", "orders:tenant-5", `{"tenant_id":"5"}`, `{"tenant_id":"5"}`, "allowed"},
		// Data that disagrees, in an event from outside.
		{"strict", "orders:tenant-5", `{"tenant_id":6}`, `{"tenant_id":6}`, "tenant"},
		{"strict", "orders:tenant-5", `{"tenant_id":6}`, `{"tenant_id":5}`, "tenant"},
		{"strict", "orders:tenant-5", `{"tenant_id":5.0}`, `{"tenant_id":5.0}`, "tenant"},
		{"strict", "orders:tenant-5", `{"tenant_id":[]}`, `{"tenant_id":5}`, "tenant"},
		{"if_present", "orders:tenant-5", `{"tenant_id":6}`, `{"tenant_id":6}`, "tenant"},
		{"if_present", "orders:tenant-5", `{}`, `{}`, "tenant"},
		{"if_present", "orders:tenant-5", `{}`, `{"tenant_id":5}`, "allowed"},
		{"off", "orders:tenant-5", `{"tenant_id":6}`, `{"tenant_id":7}`, "allowed"},
		{"off", "orders:tenant-5", `{}`, `{}`, "allowed"},
	} {
		p := policy(t, fmt.Sprintf(`{"tenant":"%s"}`, c.mode))
		if got := verdict(p, context(t, c.context), c.channel, parsed(t, c.data)); got != c.want {
			t.Errorf("%s, channel %s, data %s, context %s: %s, want %s", c.mode, c.channel, c.data, c.context, got, c.want)
		}
	}
}

func TestPublishingDataThatDisagreesWithItsChannelIsRefused(t *testing.T) {
	for _, c := range []struct {
		options, channel, data string
		refused                bool
	}{
		{``, "orders:tenant-5", `{"tenant_id":6}`, true},
		{``, "orders:tenant-5", `{"tenant_id":5.0}`, true},
		{``, "orders:tenant-5", `{"tenant_id":true}`, true},
		{``, "orders:tenant-true", `{"tenant_id":true}`, true},
		{``, "orders:tenant-5", `{"tenant_id":[5]}`, true},
		{``, "orders:tenant-5", `{"tenant_id":""}`, true},
		{`{"tenant":"if_present"}`, "orders:tenant-5", `{"tenant_id":6}`, true},
		{`{"identifiers":"loose"}`, "orders:tenant-5", `{"tenant_id":"05"}`, true},
		{`{"tenant_field":"owner.tenant"}`, "orders:tenant-5", `{"owner":{"tenant":6}}`, true},
		{``, "orders:tenant-5", `{"tenant_id":5}`, false},
		{``, "orders:tenant-5", `{"tenant_id":"5"}`, false},
		{``, "orders:tenant-5", `{"tenant_id":null}`, false},
		{``, "orders:tenant-5", `{}`, false},
		{``, "orders", `{"tenant_id":6}`, false},
		{`{"tenant":"off"}`, "orders:tenant-5", `{"tenant_id":6}`, false},
		{`{"tenant_field":"owner.tenant"}`, "orders:tenant-5", `{"tenant_id":6}`, false},
	} {
		err := policy(t, c.options).CheckPublish(c.channel, parsed(t, c.data))
		if c.refused != (err != nil) || err != nil && (fault.CodeOf(err) != fault.InvalidValue || !strings.Contains(err.Error(), c.channel)) {
			t.Errorf("%s channel %s, data %s: %v, want refused %v", c.options, c.channel, c.data, err, c.refused)
		}
	}
}

func TestTenantIsCheckedBeforeRowAndBothMustAllow(t *testing.T) {
	ctx := context(t, `{"tenant_id":"a","user_id":1}`)
	for data, want := range map[string]string{
		`{"tenant_id":"a","user_id":1}`: "allowed",
		`{"tenant_id":"b","user_id":1}`: "tenant",
		`{"tenant_id":"a","user_id":2}`: "row",
		`{"tenant_id":"b","user_id":2}`: "tenant",
		`{"user_id":1}`:                 "tenant",
		`{"tenant_id":"a"}`:             "row",
		// The last of two members counts, as it does for whoever reads the data.
		`{"tenant_id":"b","tenant_id":"a","user_id":1}`: "allowed",
		`{"tenant_id":"a","tenant_id":"b","user_id":1}`: "tenant",
	} {
		if got := verdict(policy(t, ""), ctx, "orders", parsed(t, data)); got != want {
			t.Errorf("%s: %s, want %s", data, got, want)
		}
	}
}

func TestFieldsMayBeNested(t *testing.T) {
	p := policy(t, `{"tenant_field":"meta.owner.0","user_field":"meta.user"}`)
	ctx := context(t, `{"tenant_id":"a","user_id":1}`)
	for data, want := range map[string]string{
		`{"meta":{"owner":["a"],"user":1}}`:                 "allowed",
		`{"meta":{"owner":["b"],"user":1}}`:                 "tenant",
		`{"meta":{"owner":["a"],"user":2}}`:                 "row",
		`{"tenant_id":"a","user_id":1}`:                     "tenant",
		`{"meta":5}`:                                        "tenant",
		`{"meta":{"owner":["a"]},"user_id":1}`:              "row",
		`{"meta.owner.0":"a","meta":{"owner":[],"user":1}}`: "tenant",
	} {
		if got := verdict(p, ctx, "orders", parsed(t, data)); got != want {
			t.Errorf("%s: %s, want %s", data, got, want)
		}
	}
}

func TestWhatCannotBeDecidedIsDenied(t *testing.T) {
	own := &Context{User: Integer(1), Tenant: Text("a")}
	data := parsed(t, `{"tenant_id":"a","user_id":1}`)
	var zero Policy
	if got := verdict(&zero, own, "orders", data); got != "tenant" {
		t.Errorf("the zero policy says %s, want tenant", got)
	}
	p := *policy(t, "")
	p.Tenant, p.Row = Mode(9), Mode(9)
	if got := verdict(&p, own, "orders", parsed(t, `{}`)); got != "tenant" {
		t.Errorf("an unknown mode says %s, want tenant", got)
	}
	if got := verdict(policy(t, ""), &Context{}, "orders", data); got != "tenant" {
		t.Errorf("an anonymous context: %s, want tenant", got)
	}
	if got := verdict(policy(t, ""), &Context{}, "orders", parsed(t, `{}`)); got != "allowed" {
		t.Errorf("an anonymous context, public event: %s, want allowed", got)
	}
	strict := policy(t, "")
	facts := read(strict, "orders", data)
	other := cleared(t, strict, &Context{User: Integer(1), Tenant: Text("a")})
	for what, c := range map[string]*Clearance{"the zero clearance": {}, "that of another context": &other} {
		if allowed, module := strict.Check(own, &facts, c); allowed || module != ScopeModule {
			t.Errorf("%s: %v by %v, want a denial by scope", what, allowed, module)
		}
	}
}
