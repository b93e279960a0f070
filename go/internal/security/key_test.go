package security

import (
	"hash/maphash"
	"testing"
)

func TestWhoeverMayBeSeenHasTheKeyThatTheContextRequires(t *testing.T) {
	seed := maphash.MakeSeed()
	ids := []string{`null`, `5`, `"5"`, `5.0`, `50e-1`, `0`, `-0`, `0.0`, `true`, `"true"`, `""`, `"a"`, `"\u0061"`, `{}`, `[]`, `1e99999999999999999`}
	allowed, refused := 0, 0
	for _, options := range []string{``, `{"identifiers":"loose"}`} {
		p := policy(t, options)
		for _, own := range ids[:13] {
			ctx := context(t, `{"tenant_id":`+own+`,"user_id":`+own+`}`)
			for _, carried := range ids {
				for _, channel := range []string{"orders", "orders:tenant-5", "orders:tenant-a", "orders:tenant-0"} {
					f := read(p, channel, parsed(t, `{"tenant_id":`+carried+`,"user_id":`+carried+`}`))
					if !p.tenantAllows(ctx, &f) {
						refused++
					} else {
						allowed++
						sameKey(t, "tenant "+own, carried+" on "+channel, func() (uint64, bool) { return p.TenantKey(seed, ctx) }, func() (uint64, bool) { return f.TenantKey(seed) })
					}
					if p.rowAllows(ctx, &f) {
						sameKey(t, "user "+own, carried, func() (uint64, bool) { return p.UserKey(seed, ctx) }, func() (uint64, bool) { return f.UserKey(seed) })
					}
				}
			}
		}
	}
	if allowed < 50 || refused < 50 {
		t.Errorf("compared %d allowed and %d refused pairs", allowed, refused)
	}
}

func sameKey(t *testing.T, own, carried string, required, key func() (uint64, bool)) {
	t.Helper()
	want, isRequired := required()
	got, ok := key()
	if !isRequired || !ok || got != want {
		t.Errorf("%s may see %s and an index would not find it", own, carried)
	}
}

func TestOnlyAStrictRuleRequiresAKey(t *testing.T) {
	seed := maphash.MakeSeed()
	for options, want := range map[string][2]bool{
		``: {true, true}, `{"tenant":"off"}`: {false, true}, `{"row":"if_present"}`: {true, false},
	} {
		p := policy(t, options)
		_, tenant := p.TenantKey(seed, &Context{})
		_, user := p.UserKey(seed, &Context{})
		if tenant != want[0] || user != want[1] {
			t.Errorf("%s requires a tenant: %v, a user: %v", options, tenant, user)
		}
	}
}
