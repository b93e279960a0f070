package schema

import (
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestServersBeforeVersion13AreRefused(t *testing.T) {
	for text, supported := range map[string]bool{
		"9.6.24": false, "12.22 (Debian 12.22-1)": false, "13.0": true, "13beta1": true, "15.4 (Debian 15.4-1)": true, "18": true, "": false, "x": false,
	} {
		err := checkVersion(text)
		if (err == nil) != supported || err != nil && fault.CodeOf(err) != fault.BusError {
			t.Errorf("%q: %v", text, err)
		}
	}
}
