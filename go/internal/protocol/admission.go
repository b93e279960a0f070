package protocol

import (
	"net/url"
	"slices"
	"strings"
)

// Origins are the other sites whose pages may use a server, such as
// "https://app.example.com"; "*" is every site.
type Origins []string

// Admit tells whether a request may come from where it does: Origin, Host and
// Sec-Fetch-Site are headers of it, "" where it has none. A browser names the page's
// origin, but for a page of the server's own that only reads; whatever else has no
// origin is no page, or says by Sec-Fetch-Site that it comes from elsewhere.
func (o Origins) Admit(origin, host, site string) bool {
	if slices.Contains(o, "*") {
		return true
	}
	if origin == "" {
		return site == "" || site == "same-origin" || site == "none"
	}
	return slices.Contains(o, origin) || ownOrigin(origin, host)
}

// ownOrigin compares hosts only: what ends TLS before the server hides the scheme.
func ownOrigin(origin, host string) bool {
	parsed, err := url.Parse(origin)
	return err == nil && host != "" && parsed.Host != "" && strings.EqualFold(parsed.Host, host)
}

// sharing are the headers that let a page of another site read the answer.
func (o Origins) sharing(origin, host string) []Header {
	named := slices.Contains(o, origin)
	if origin == "" || ownOrigin(origin, host) || !named && !slices.Contains(o, "*") {
		return nil
	}
	headers := []Header{{"access-control-allow-origin", origin}, {"vary", "origin"}}
	if named {
		// A site that is named is trusted with what the user is signed in to.
		headers = append(headers, Header{"access-control-allow-credentials", "true"})
	}
	return headers
}
