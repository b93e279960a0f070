package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/schema"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// words reports whether an error says all of these.
func words(err error, all ...string) bool {
	for _, word := range all {
		if !strings.Contains(err.Error(), word) {
			return false
		}
	}
	return true
}

// refused is what following and publishing say, which must be the same kind of thing.
func refused(t *testing.T, options Options, code fault.Code, words ...string) {
	t.Helper()
	n := openBus(t, options, patience)
	_, publishing := n.publish(t, "x", "a", "", bus.WaitAccepted)
	following := n.bus.Follow(new(bus.Thread), bustest.Patterns(t, "*"))
	for what, err := range map[string]error{"publishing": publishing, "following": following} {
		if fault.CodeOf(err) != code {
			t.Errorf("%s: %v, want %s", what, err, code)
			continue
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v, which does not say %q", what, err, word)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s shows a password: %v", what, err)
		}
	}
	if state := fmt.Sprint(n.bus.State()); strings.Contains(state, "hunter2") || n.log.has("hunter2") {
		t.Errorf("a password is shown: %s", state)
	}
}

func TestAMissingSchemaNamesTheCommandThatInstallsIt(t *testing.T) {
	name, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refused(t, Options{URL: server.URL(name)}, fault.BusError, "python -m fraiseql_subscriptions postgres install", name)
}

func TestASchemaThatIsTooOldNamesTheCommandThatMigratesIt(t *testing.T) {
	database := newDatabase(t)
	must(t, connect(t, database), "DELETE FROM fraiseql_subscriptions.migration WHERE version > 1")
	refused(t, Options{URL: server.URL(database)}, fault.BusError, "version 1", fmt.Sprint("needs ", schema.Version), "postgres install")
}

func TestAnotherPrefixThanTheInstalledIsRefused(t *testing.T) {
	database := newDatabase(t)
	refused(t, Options{URL: server.URL(database), Prefix: "shop"}, fault.BusError, `"shop"`, `"fraiseql"`, "--prefix shop")
	n := openNode(t, Options{URL: server.URL(database), Prefix: "fraiseql"})
	if _, err := n.publish(t, "x", "a", "", bus.WaitDispatched); err != nil {
		t.Error(err)
	}
}

func TestMissingRightsSayWhichAndHowToGiveThem(t *testing.T) {
	database := newDatabase(t)
	conn := connect(t, database)
	stranger, _ := newRole(t, conn, "stranger")
	half, _ := newRole(t, conn, "half")
	refused(t, Options{URL: server.URLFor(stranger, database)}, fault.BusError, "42501", "--publisher "+stranger+" --reader "+stranger)
	must(t, conn, "SELECT fraiseql_subscriptions.allow_reading($1::text::regrole)", half)
	n := openNode(t, Options{URL: server.URLFor(half, database)})
	if _, err := n.publish(t, "x", "a", "", bus.WaitAccepted); fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), "publish_batch") {
		t.Errorf("a reader publishes: %v", err)
	}
	publish(t, conn, "y")
	n.awaitKinds(t, "y")
	must(t, conn, "SELECT fraiseql_subscriptions.allow_publishing($1::text::regrole)", half)
	if _, err := n.publish(t, "z", "a", "", bus.WaitDispatched); err != nil {
		t.Errorf("with both rights: %v", err)
	}
}

func TestNobodyIsThereOrNoSuchDatabase(t *testing.T) {
	refused(t, Options{URL: server.URL("nowhere")}, fault.BusError, "3D000", "create the database")
	n := openBus(t, Options{URL: "postgresql://user:hunter2@127.0.0.1:1/x"}, 300*time.Millisecond)
	_, err := n.publish(t, "x", "a", "", bus.WaitAccepted)
	if fault.CodeOf(err) != fault.BusUnavailable || !strings.Contains(err.Error(), "127.0.0.1 port 1") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("publishing: %v", err)
	}
	if err := n.bus.Follow(new(bus.Thread), bustest.Patterns(t, "*")); fault.CodeOf(err) != fault.BusUnavailable {
		t.Errorf("following: %v", err)
	}
}

func TestAURLThatIsNoneIsRefusedWithoutShowingIt(t *testing.T) {
	for _, url := range []string{"", "hunter2", "redis://hunter2@x", "postgresql://user:hunter2/x@host/db", "postgresql://h/d?sslmode=hunter2"} {
		for _, options := range []Options{{URL: url}, {URL: server.URL("postgres"), ReaderURL: url}} {
			if options.ReaderURL == "" && options.URL != url {
				continue // that means none
			}
			if _, err := New(options); fault.CodeOf(err) != fault.InvalidValue || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v", err)
			}
		}
	}
}
