package redis

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// target is where the server is, and how to log in.
type target struct {
	addresses []string // host:port: of the server, or of sentinels
	master    string   // what the sentinels call the server; "" without them
	tls       *tls.Config
	login     login
	sentinel  login // for the sentinels
	database  int
}

type login struct{ user, password string }

// parseURL reads
//
//	redis://[user:password@]host[:port][/database]
//	redis+sentinel://[user:password@]host[:port][,host[:port]…][/database]?master=name
//
// rediss in place of redis is TLS. Options in the query: ssl_ca_certs, ssl_certfile and
// ssl_keyfile, files in PEM; sentinel_username and sentinel_password. An error never
// holds a password.
func parseURL(text string) (target, error) {
	scheme, _, ok := strings.Cut(text, "://")
	if !ok {
		return target{}, bad("a Redis URL is missing its scheme; give one such as redis://localhost:6379/0")
	}
	transport, kind, _ := strings.Cut(strings.ToLower(scheme), "+")
	switch {
	case strings.Contains(strings.ToLower(scheme), "cluster"):
		return target{}, errCluster
	case transport != "redis" && transport != "rediss", kind != "" && kind != "sentinel":
		return target{}, bad("%q is no scheme of a Redis URL; it is redis, rediss, redis+sentinel or rediss+sentinel", scheme)
	}
	// What url.Parse says of a wrong URL holds all of it.
	u, err := url.Parse(text)
	if err != nil {
		return target{}, bad("a %s URL cannot be read; write it as scheme://user:password@host:port/database, with special characters of the password as %%xx", scheme)
	}
	t := target{login: loginOf(u.User)}
	if err := t.configure(u, transport); err != nil {
		return target{}, err
	}
	if err := t.locate(u, kind); err != nil {
		return target{}, err
	}
	return t, nil
}

func loginOf(user *url.Userinfo) (l login) {
	l.user = user.Username()
	l.password, _ = user.Password()
	return l
}

// locate reads the hosts and the path.
func (t *target) locate(u *url.URL, kind string) error {
	port, example := "6379", "redis://localhost:6379/0"
	if kind == "sentinel" {
		port, example = "26379", "redis+sentinel://one:26379,two:26379/0?master=mymaster"
	}
	switch {
	case kind == "sentinel" && t.master == "":
		return bad("a Sentinel URL does not name its master; write %s", example)
	case kind != "sentinel" && t.master != "":
		return bad("a Redis URL names a master and no sentinels; write redis+sentinel://host:26379/0?master=%s", t.master)
	}
	for host := range strings.SplitSeq(u.Host, ",") {
		if host == "" {
			host = "localhost"
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		t.addresses = append(t.addresses, host)
	}
	if len(t.addresses) > 1 && t.master == "" {
		return bad("a Redis URL names %d hosts; for a server behind Sentinel write %s; Redis Cluster is not supported yet", len(t.addresses), "redis+sentinel://host,host/0?master=name")
	}
	path := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	if len(path) > 1 {
		return bad("the path of a Redis URL, %q, is too long; it is the number of a database: %s", u.Path, example)
	}
	if len(path) == 1 {
		var err error
		if t.database, err = strconv.Atoi(path[0]); err != nil || t.database < 0 {
			return bad("%q is no number of a Redis database; give one such as %s", path[0], example)
		}
	}
	return nil
}

// configure reads the query, and the files that it names.
func (t *target) configure(u *url.URL, transport string) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("the options behind the ? of a Redis URL cannot be read")
	}
	values := map[string]string{"master": "", "ssl_ca_certs": "", "ssl_certfile": "", "ssl_keyfile": "", "sentinel_username": "", "sentinel_password": ""}
	for name := range query {
		if _, known := values[name]; !known {
			return bad("%q is no option of a Redis URL; there are master, ssl_ca_certs, ssl_certfile, ssl_keyfile, sentinel_username and sentinel_password", name)
		}
		values[name] = query.Get(name)
	}
	t.master = values["master"]
	t.sentinel = login{values["sentinel_username"], values["sentinel_password"]}
	files := values["ssl_ca_certs"] + values["ssl_certfile"] + values["ssl_keyfile"]
	if transport != "rediss" {
		if files != "" {
			return bad("a Redis URL has options for TLS and a scheme without it; write rediss in place of redis")
		}
		return nil
	}
	t.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if path := values["ssl_ca_certs"]; path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return bad("the certificates of ssl_ca_certs cannot be read: %w", err)
		}
		t.tls.RootCAs = x509.NewCertPool()
		if !t.tls.RootCAs.AppendCertsFromPEM(pem) {
			return bad("there is no certificate in %q, the file of ssl_ca_certs; it must hold them as PEM", path)
		}
	}
	if values["ssl_certfile"]+values["ssl_keyfile"] != "" {
		pair, err := tls.LoadX509KeyPair(values["ssl_certfile"], values["ssl_keyfile"])
		if err != nil {
			return bad("the client's certificate, ssl_certfile and ssl_keyfile, cannot be read: %w", err)
		}
		t.tls.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// String names the target without its login.
func (t target) String() string {
	if t.master != "" {
		return t.master + " of the sentinels " + strings.Join(t.addresses, ", ")
	}
	return t.addresses[0]
}

// clean takes passwords out of a text of somebody else's making.
func (t target) clean(text string) string {
	for _, secret := range []string{t.login.password, t.sentinel.password} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	return text
}

func bad(format string, arguments ...any) error {
	return fault.New(fault.InvalidValue, format, arguments...)
}

var errCluster = fault.New(fault.InvalidValue, "Redis Cluster is not supported yet: the bus reads many streams at once, and a cluster keeps them on different nodes; give the URL of one Redis server or of its sentinels")
