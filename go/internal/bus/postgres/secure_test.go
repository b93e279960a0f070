package postgres

import (
	"fmt"
	"net/url"
	"syscall"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// TestPasswordsAndCertificatesAreChecked has a server that lets nobody in over the
// network without TLS and a SCRAM password, but the superuser.
func TestPasswordsAndCertificatesAreChecked(t *testing.T) {
	own := startServer(t, "password_encryption=scram-sha-256")
	admin := connectTo(t, installOn(t, own))
	must(t, admin, `CREATE ROLE app LOGIN PASSWORD 'hunter2 : /é'`)
	must(t, admin, "SELECT fraiseql_subscriptions.allow_publishing('app'), fraiseql_subscriptions.allow_reading('app')")
	authority, err := own.WriteCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Write("pg_hba.conf", "host all postgres 127.0.0.1/32 trust\nhostssl all app 127.0.0.1/32 scram-sha-256\n"); err != nil {
		t.Fatal(err)
	}
	must(t, admin, "ALTER SYSTEM SET ssl = on")
	if err := own.Down(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := own.Up(); err != nil {
		t.Fatal(err)
	}
	at := func(password, parameters string) Options {
		return Options{URL: fmt.Sprintf("postgresql://%s@127.0.0.1:%d/postgres?%s", url.UserPassword("app", password), own.Port, parameters)}
	}
	verified := "sslmode=verify-full&sslrootcert=" + url.QueryEscape(authority)
	n := openNode(t, at("hunter2 : /é", verified))
	if _, err := n.publish(t, "x", "a", "", bus.WaitDispatched); err != nil {
		t.Fatal(err)
	}
	var encrypted int
	if err := connectTo(t, own.URL("postgres")).QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND usename = 'app'").Scan(&encrypted); err != nil || encrypted < 2 {
		t.Errorf("%d connections are encrypted, error %v", encrypted, err)
	}
	refused(t, at("hunter2", verified), fault.BusError, "28P01", "user and password")
	refused(t, at("hunter2 : /é", "sslmode=disable"), fault.BusError, "28000", "pg_hba.conf")
	n = openBus(t, at("hunter2 : /é", "sslmode=verify-full"), patience/30)
	if _, err := n.publish(t, "x", "a", "", bus.WaitAccepted); fault.CodeOf(err) != fault.BusUnavailable || !words(err, "certificate") || words(err, "hunter2") {
		t.Errorf("a certificate of an unknown authority: %v", err)
	}
}
