package protocol

import (
	"mime"
	"strconv"
	"strings"
)

// format is how a client over HTTP gets its results.
type format uint8

const (
	noFormat format = iota
	eventStream
	multipart
	graphqlJSON // application/graphql-response+json
	plainJSON   // application/json
)

// contentTypes are what the formats are sent as.
var contentTypes = [...]string{
	eventStream: "text/event-stream; charset=utf-8",
	multipart:   `multipart/mixed; boundary="graphql"; subscriptionSpec=1.0`,
	graphqlJSON: "application/graphql-response+json; charset=utf-8",
	plainJSON:   "application/json; charset=utf-8",
}

func (f format) streams() bool { return f == eventStream || f == multipart }

// accepted is the format that an Accept header asks for (RFC 9110, section 12.5.1): of
// the greatest quality, and of several such the first that it names. offered says which
// there are.
func accepted(accept string, offered func(format) bool) format {
	if strings.TrimSpace(accept) == "" {
		accept = "*/*"
	}
	chosen, best := noFormat, 0.0
	for _, part := range splitList(accept) {
		kind, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		quality := 1.0
		if text, given := parameters["q"]; given {
			if quality, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		if !(quality > best) || quality > 1 {
			continue
		}
		for _, f := range meant(kind, parameters) {
			if offered(f) {
				chosen, best = f, quality
				break
			}
		}
	}
	return chosen
}

// meant are the formats of a media type or range, the likeliest first.
func meant(kind string, parameters map[string]string) []format {
	switch kind {
	case "text/event-stream":
		return []format{eventStream}
	case "multipart/mixed":
		// Without this parameter another protocol of the same type is asked for.
		if parameters["subscriptionspec"] == "1.0" {
			return []format{multipart}
		}
	case "application/graphql-response+json":
		return []format{graphqlJSON}
	case "application/json", "application/*", "*/*":
		return []format{plainJSON}
	}
	return nil
}

// splitList splits a header's list at the commas outside of quoted strings.
func splitList(text string) []string {
	var parts []string
	quoted, start := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == ',' && !quoted:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}

// acceptsText tells whether a plain text may be the answer.
func acceptsText(accept string) bool {
	if strings.TrimSpace(accept) == "" {
		return true
	}
	for _, part := range splitList(accept) {
		switch kind, _, _ := mime.ParseMediaType(part); kind {
		case "*/*", "text/*", "text/plain":
			return true
		}
	}
	return false
}

// isJSON tells whether a Content-Type is JSON in UTF-8.
func isJSON(contentType string) bool {
	kind, parameters, err := mime.ParseMediaType(contentType)
	charset, given := parameters["charset"]
	return err == nil && kind == "application/json" && (!given || strings.EqualFold(charset, "utf-8"))
}
