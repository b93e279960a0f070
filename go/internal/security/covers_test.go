package security

import (
	"reflect"
	"slices"
	"testing"
)

func TestAContextCoversThoseThatSeeNoMore(t *testing.T) {
	parse := func(text string) *Context {
		ctx, err := ParseContext([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return ctx
	}
	for _, one := range []struct {
		next, old string
		covers    bool
	}{
		{`{}`, `{}`, true},
		{`{"user_id":1}`, `{"user_id":1}`, true},
		{`{"user_id":1.50}`, `{"user_id":1.5}`, true},
		{`{"user_id":1}`, `{"user_id":"1"}`, false},
		{`{"user_id":true}`, `{"user_id":"true"}`, false},
		{`{"user_id":1}`, `{}`, false},
		{`{}`, `{"tenant_id":1}`, false},
		{`{"tenant_id":1,"claims":{"a":1},"roles":["r"],"expires_at":5}`, `{"tenant_id":1}`, true},
		{`{"federation_id":"a"}`, `{"federation_id":"b"}`, false},
		{`{"service_name":"a"}`, `{"service_name":"b"}`, false},
		{`{"service_name":"a","federation_id":1}`, `{"service_name":"a","federation_id":1}`, true},
	} {
		if got := parse(one.next).Covers(parse(one.old)); got != one.covers {
			t.Errorf("%s covers %s: %v", one.next, one.old, got)
		}
	}
}

// Whoever gives Context another member decides whether Covers must compare it.
func TestCoversKnowsEveryMemberOfAContext(t *testing.T) {
	known := []string{
		"User", "Tenant", "Federation", "Service", // compared
		"Permissions", "HasPermissions", // decide the answer's fields, and so its key
		"Roles", "Scopes", "Claims", // told to resolvers only
		"ExpiresAt", // decides no event that it has not ended
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Context]()) {
		if !slices.Contains(known, field.Name) {
			t.Errorf("Context.%s: does Covers have to compare it?", field.Name)
		}
	}
}

func TestAnIdentifierIsTheOneAskedForAsThePolicyCompares(t *testing.T) {
	one, text, none := Integer(1), Text("1"), Identifier{}
	for _, loose := range []bool{false, true} {
		p := &Policy{Loose: loose}
		if !p.Is(&one, &one) || p.Is(&one, &text) != loose || p.Is(&text, &one) != loose {
			t.Errorf("loose %v: 1 and \"1\"", loose)
		}
		if p.Is(&none, &none) || p.Is(&one, &none) || p.Is(&none, &one) {
			t.Errorf("loose %v: nobody is somebody", loose)
		}
	}
}
