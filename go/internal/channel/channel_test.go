package channel

import (
	"errors"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestValidateAcceptsNamesAndRefusesWhatCannotBePublishedOn(t *testing.T) {
	for _, c := range []struct {
		name string
		says string // "" means accepted
	}{
		{"orders", ""},
		{"orders.eu:42", ""},
		{"a", ""},
		{"tenant-5", ""},
		{"ordres.été", ""},
		{"日本.東京", ""},
		{"a-b_c/d?e", ""},
		{"\uFFFD", ""},
		{"tag\U0001F600", ""},
		{strings.Repeat("a", 255), ""},
		{"", "empty"},
		{strings.Repeat("a", 256), "256 bytes"},
		{strings.Repeat("é", 128), "256 bytes"},
		{"*", "wildcard"},
		{"orders.*", "wildcard"},
		{"orders.>", "wildcard"},
		{"a*b", "wildcard"},
		{"a b", "white space"},
		{"a\u00a0b", "white space"},
		{"a\u2028b", "white space"},
		{"a\tb", "control character U+0009"},
		{"a\x00b", "control character U+0000"},
		{"a\x7fb", "control character U+007F"},
		{"a\u0085b", "control character U+0085"},
		{"a\xffb", "not valid UTF-8 at byte 1"},
		{"a\xed\xa0\x80", "not valid UTF-8"},
		{".a", "empty segment"},
		{"a.", "empty segment"},
		{"a..b", "empty segment"},
		{"a.:b", "empty segment"},
		{":", "empty segment"},
	} {
		err := Validate(c.name)
		if c.says == "" {
			if err != nil {
				t.Errorf("Validate(%q) = %v, want nil", c.name, err)
			}
			continue
		}
		var coded *fault.Error
		if !errors.As(err, &coded) || coded.Code != fault.InvalidValue || !strings.Contains(coded.Text, c.says) {
			t.Errorf("Validate(%q) = %v, want INVALID_VALUE saying %q", c.name, err, c.says)
		}
	}
}

func TestValidateNamesTheValueItRefuses(t *testing.T) {
	for _, name := range []string{"a b", "a..b", "orders.*", "a\x00"} {
		if err := Validate(name); err == nil || !strings.Contains(err.Error(), quoted(name)) {
			t.Errorf("Validate(%q) = %v, want it quoted", name, err)
		}
	}
}

func TestTenantIsTheFirstSegmentThatNamesOne(t *testing.T) {
	for _, c := range []struct {
		name, id string
		ok       bool
	}{
		{"orders:tenant-5", "5", true},
		{"tenant-acme.orders", "acme", true},
		{"a.tenant-5.b", "5", true},
		{"a.tenant-5:tenant-6", "5", true},
		{"a.tenant-.tenant-6", "6", true},
		{"a.tenant-tenant-7", "tenant-7", true},
		{"orders", "", false},
		{"tenant-", "", false},
		{"mytenant-5", "", false},
		{"Tenant-5", "", false},
		{"tenant.5", "", false},
		{"", "", false},
	} {
		if id, ok := Tenant(c.name); id != c.id || ok != c.ok {
			t.Errorf("Tenant(%q) = %q, %v, want %q, %v", c.name, id, ok, c.id, c.ok)
		}
	}
}

func TestCheckingANameAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		if id, _ := Tenant("orders.eu:tenant-5"); Validate("orders.eu:tenant-5") != nil || id != "5" {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
