package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// isReply reports whether an error is the server's answer: the connection is good.
func isReply(err error) bool {
	if err == nil {
		return true
	}
	var reply redis.Error
	return errors.As(err, &reply)
}

// replyOf is the server's answer itself, without what the client wrote around it.
func replyOf(err error) string {
	var reply redis.Error
	if errors.As(err, &reply) {
		return reply.Error()
	}
	return err.Error()
}

// passing are the answers of a server that cannot do it now: another attempt may
// succeed, and nothing was done.
var passing = []string{
	"LOADING", "BUSY ", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN", "MISCONF", "NOREPLICAS", "UNBLOCKED",
	"ERR max number of clients",
}

// refusal is an error of the server's in the terms of remote.Server: a *fault.Error
// when the server would answer the same again. key is what was written, "" for what
// has none.
func (t target) refusal(err error, key string) error {
	if err == nil {
		return nil
	}
	if !isReply(err) {
		return t.unreached(err)
	}
	reply := strings.TrimPrefix(replyOf(err), "EXECABORT Transaction discarded because of: ")
	text := strings.TrimPrefix(t.clean(reply), "ERR ")
	for _, prefix := range passing {
		if strings.HasPrefix(reply, prefix) {
			return errors.New(text)
		}
	}
	if at := strings.LastIndexByte(reply, ' '); key == "" && strings.HasPrefix(reply[at+1:], keyPrefix) {
		key = reply[at+1:] // of the scripts' own making
	}
	where := ""
	if key != "" {
		where = fmt.Sprintf(" on the key %q", key)
	}
	switch code, _, _ := strings.Cut(reply, " "); {
	case code == "READONLY" && t.master != "":
		return errors.New(text) // the sentinels will name another one
	case code == "READONLY":
		return fault.New(fault.BusError, "the Redis server at %s is a read-only replica; give the URL of its master", t)
	case code == "OOM":
		return fault.New(fault.BusError, "the Redis server at %s has no memory left (maxmemory)%s and accepted nothing; raise maxmemory or shorten the retention", t, where)
	case code == "WRONGTYPE":
		return fault.New(fault.BusError, "a Redis key of the wrong type is where a stream should be%s; delete or rename it", where)
	case code == "NOAUTH":
		return fault.New(fault.BusError, "the Redis server at %s asks for a password; write it into the URL: redis://user:password@host", t)
	case code == "WRONGPASS", strings.Contains(text, "invalid password"), strings.Contains(text, "without any password configured"):
		return fault.New(fault.BusError, "the Redis server at %s refuses the user name or the password of the URL", t)
	case code == "NOPERM", strings.Contains(text, "ACL failure"):
		return fault.New(fault.BusError, "the Redis user %q lacks rights%s: %s; docs/operations.md lists what the engine needs", t.userName(), where, text)
	default:
		return fault.New(fault.BusError, "the Redis server at %s refuses%s: %s", t, where, text)
	}
}

// unreached is an error of the network or of TLS. What the certificates decide stays so.
func (t target) unreached(err error) error {
	var final *fault.Error
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &final):
		return final
	case errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return fault.New(fault.BusError, "the certificate of the Redis server at %s is not trusted: %w; ssl_ca_certs=FILE in the URL names those to trust", t, err)
	case errors.As(err, &record):
		return fault.New(fault.BusError, "the server at %s does not speak TLS; write redis in place of rediss, or give its TLS port", t)
	default:
		return fmt.Errorf("%s: %w", t, err)
	}
}

func (t target) userName() string {
	if t.login.user == "" {
		return "default"
	}
	return t.login.user
}
