package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/redis/redistest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestURLsThatAreWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                           "scheme",
		"localhost:6379":                             "scheme",
		"http://localhost":                           `"http"`,
		"redis+socket://x":                           `"redis+socket"`,
		"redis-cluster://a,b":                        "Cluster is not supported",
		"redis+cluster://a":                          "Cluster is not supported",
		"rediss+cluster://a":                         "Cluster is not supported",
		"redis://u:secret@a,b/0":                     "2 hosts",
		"redis://u:secret@a/x":                       `"x"`,
		"redis://u:secret@a/0/1":                     "/0/1",
		"redis://u:secret@a/-1":                      `"-1"`,
		"redis://u:sec%zzret@a/":                     "cannot be read",
		"redis://u:secret@a?what=1":                  `"what"`,
		"redis://u:secret@a?master=m":                "redis+sentinel",
		"redis+sentinel://u:secret@a,b/":             "master",
		"redis://u:secret@a?ssl_ca_certs=/x":         "rediss",
		"rediss://u:secret@a?ssl_ca_certs=/nowhere":  "/nowhere",
		"rediss://u:secret@a?ssl_ca_certs=/dev/null": "/dev/null",
		"rediss://u:secret@a?ssl_certfile=/nowhere":  "ssl_certfile",
	} {
		_, err := New(Options{URL: text})
		if fault.CodeOf(err) != fault.InvalidValue || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want INVALID_VALUE that names %s", text, err, want)
		}
	}
}

func TestURLsAreRead(t *testing.T) {
	for text, want := range map[string]target{
		"redis://":          {addresses: []string{"localhost:6379"}},
		"redis://h":         {addresses: []string{"h:6379"}},
		"REDIS://h:1/7":     {addresses: []string{"h:1"}, database: 7},
		"redis://[::1]":     {addresses: []string{"[::1]:6379"}},
		"redis://[::1]:5/":  {addresses: []string{"[::1]:5"}},
		"redis://u:p%40w@h": {addresses: []string{"h:6379"}, login: login{"u", "p@w"}},
		"redis://:pw@h":     {addresses: []string{"h:6379"}, login: login{"", "pw"}},
		"redis+sentinel://u:p@a,b:3/2?master=m&sentinel_username=su&sentinel_password=sp": {
			addresses: []string{"a:26379", "b:3"}, master: "m", database: 2, login: login{"u", "p"}, sentinel: login{"su", "sp"},
		},
	} {
		got, err := parseURL(text)
		if err != nil || fmt.Sprint(got.addresses, got.master, got.database, got.login, got.sentinel) != fmt.Sprint(want.addresses, want.master, want.database, want.login, want.sentinel) {
			t.Errorf("%q is read as %+v, %v", text, got, err)
		}
	}
	if got, err := parseURL("rediss://h"); err != nil || got.tls == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// refusal is the error with which a node cannot follow, publish or resume.
func refusal(t *testing.T, link string) error {
	t.Helper()
	n := openBus(t, Options{URL: link}, patience)
	err := n.bus.Follow(new(bus.Thread), bustest.Patterns(t, "a"))
	if state := fmt.Sprint(n.bus.State(), n.log, err); strings.Contains(state, "hunter") {
		t.Errorf("a password shows: %s", state)
	}
	return err
}

func TestServersThatRefuse(t *testing.T) {
	own := startOwn(t, "--requirepass", "hunter2")
	admin := clientOf(t, own)
	must(t, admin.Do(t.Context(), "auth", "hunter2").Err())
	secret := own.Login("", "hunter2")
	must(t, openBus(t, Options{URL: secret}, patience).bus.Follow(new(bus.Thread), bustest.Patterns(t, "a")))

	cluster := startOwn(t, "--cluster-enabled", "yes")
	replica := startOwn(t, "--replicaof", "127.0.0.1 "+fmt.Sprint(own.Port), "--masterauth", "hunter2")
	open := startOwn(t)
	for name, c := range map[string]struct{ link, want string }{
		"no password":                  {own.URL(), "asks for a password"},
		"a wrong password":             {own.Login("", "hunter3"), "refuses the user name or the password"},
		"an unknown user":              {own.Login("nobody", "hunter2"), "refuses the user name or the password"},
		"a cluster":                    {cluster.URL(), "Cluster is not supported"},
		"a replica":                    {replica.URL(), "read-only replica"},
		"a database that is not there": {strings.TrimSuffix(open.URL(), "0") + "99", "DB index"},
	} {
		if err := refusal(t, c.link); (fault.CodeOf(err) != fault.BusError && fault.CodeOf(err) != fault.InvalidValue) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want BUS_ERROR that says %q", name, err, c.want)
		}
	}
	n := openBus(t, Options{URL: strings.Replace(open.URL(), "redis:", "rediss:", 1)}, 2*handshakePatience)
	if err := n.bus.Follow(new(bus.Thread), bustest.Patterns(t, "a")); fault.CodeOf(err) != fault.BusUnavailable || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("a server without TLS: %v", err)
	}
	for _, key := range []string{channelsKey, usedKey} {
		must(t, open.Client().Set(t.Context(), key, "a text", 0).Err())
		if err := refusal(t, open.URL()); fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), "wrong type") {
			n := openBus(t, Options{URL: open.URL()}, patience)
			if err := n.bus.Follow(new(bus.Thread), bustest.Patterns(t, "*")); fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), "wrong type") {
				t.Errorf("%s: %v", key, err)
			}
		}
		must(t, open.Client().Del(t.Context(), key).Err())
	}
}

// rights are those that docs/operations.md names.
const rights = "~fraiseql:* &* -@all +@connection +@read +@write +@stream +@scripting +@pubsub +multi +exec +info +role +time +client|kill"

func TestAUserNeedsTheDocumentedRightsAndNoOthers(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/operations.md")
	must(t, err)
	if !strings.Contains(string(page), rights) {
		t.Errorf("docs/operations.md does not name the rights %s", rights)
	}
	own := startOwn(t)
	admin := clientOf(t, own)
	allow := func(user, rights string) {
		t.Helper()
		arguments := []any{"acl", "setuser", user, "on", ">hunter2"}
		for _, one := range strings.Fields(rights) {
			arguments = append(arguments, one)
		}
		must(t, admin.Do(t.Context(), arguments...).Err())
	}
	allow("app", rights)
	n := openNode(t, Options{URL: own.Login("app", "hunter2")}, ">", "a")
	since := n.say(t, "a", "one")
	must(t, admin.ClientKillByFilter(t.Context(), "USER", "app").Err())
	n.say(t, "a", "two")
	_, err = n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, "three", "a", "chosen"), bustest.NewEvent(t, "four", "b", ""))
	must(t, err)
	// three and four are on two channels and of one millisecond.
	if kinds, recovered := n.replay(t, since, ">"); kinds != "two three four" && kinds != "two four three" || !recovered {
		t.Errorf("%q, %v", kinds, recovered)
	}
	n.server.look(t.Context(), since.Epoch, "")
	if log := n.log.String(); strings.Contains(log, "NOPERM") || strings.Contains(log, "permission") {
		t.Error(log)
	}
	for lacking, want := range map[string]string{"-xread": "xread", "-eval": "eval", "-info": "info", "-multi": "multi", "-exec": "exec", "resetkeys": " key"} {
		allow("less", "reset on >hunter2 "+rights+" "+lacking)
		err := refusal(t, own.Login("less", "hunter2"))
		if fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "less") {
			t.Errorf("%s: %v", lacking, err)
		}
	}
	allow("silent", "reset on >hunter2 "+rights+" -xadd")
	quiet := openBus(t, Options{URL: own.Login("silent", "hunter2")}, patience)
	if _, err := quiet.publish(t, bus.WaitAccepted, bustest.NewEvent(t, "x", "a", "")); fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), "xadd") {
		t.Errorf("publishing without xadd: %v", err)
	}
}

func TestTLS(t *testing.T) {
	folder := t.TempDir()
	certificate(t, folder)
	port, err := redistest.FreePort()
	must(t, err)
	ca, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	startOwn(t, "--tls-port", fmt.Sprint(port), "--tls-cert-file", ca, "--tls-key-file", key, "--tls-ca-cert-file", ca)
	at := fmt.Sprintf("rediss://127.0.0.1:%d/0?", port)
	with := at + "ssl_ca_certs=" + url.QueryEscape(ca)
	if err := refusal(t, at); fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("an unknown authority: %v", err)
	}
	if err := refusal(t, strings.Replace(with, "127.0.0.1", "localhost", 1)); fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("another host's certificate: %v", err)
	}
	n := openBus(t, Options{URL: with}, 500*time.Millisecond)
	if err := n.bus.Follow(new(bus.Thread), bustest.Patterns(t, "a")); err == nil {
		t.Error("the server takes a client without a certificate")
	}
	n = openNode(t, Options{URL: with + "&ssl_certfile=" + url.QueryEscape(ca) + "&ssl_keyfile=" + url.QueryEscape(key)}, "a")
	n.say(t, "a", "one")
	began := time.Now()
	n.close()
	if took := time.Since(began); took > time.Second {
		t.Errorf("closing took %v", took)
	}
}

// certificate writes one that signs itself, for 127.0.0.1.
func certificate(t *testing.T, folder string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: raw}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		must(t, os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600))
	}
}
