package security

import (
	"encoding/binary"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// RBAC: a field needs a permission. An entry of the policy's map that matches the
// selection path decides; otherwise what the schema declares; otherwise a field that
// selects from an object needs "singular:read" by its name's first word, and a leaf
// needs nothing.

// RBACMode says what becomes of a field whose permission is missing.
type RBACMode uint8

const (
	// RBACRefuse: the subscription is refused.
	RBACRefuse RBACMode = iota
	// RBACNull: the field is null, with an error.
	RBACNull
	// RBACOff: no field needs anything.
	RBACOff
)

// anyName stands in a path for one field of any name.
const anyName = "*"

// permissionEntry is one of the policy's map. An empty permission: none is needed.
type permissionEntry struct {
	text       string
	path       []string
	permission string
}

// compare orders entries so that of those that match one path the first decides:
// where they first differ, a name comes before "*".
func (e *permissionEntry) compare(other *permissionEntry) int {
	if len(e.path) != len(other.path) {
		return len(e.path) - len(other.path)
	}
	for i := range e.path {
		if mine, theirs := e.path[i] == anyName, other.path[i] == anyName; mine != theirs {
			if theirs {
				return -1
			}
			return 1
		}
	}
	return strings.Compare(e.text, other.text)
}

// PermissionPaths are the paths of the policy's map.
func (p *Policy) PermissionPaths() [][]string {
	paths := make([][]string, len(p.permissions))
	for i := range p.permissions {
		paths[i] = p.permissions[i].path
	}
	return paths
}

// noEntry is the state of paths that no entry goes on to match, at whatever depth.
const noEntry = "\x00"

// Step implements query.Rules. The state is the depth and the entries whose paths
// have matched so far, "" when none has.
func (p *Policy) Step(state, name string, object bool, declared []string) (needs []string, next string) {
	depth, reading := uint64(0), []byte(state)
	candidates := make([]uint64, 0, len(p.permissions))
	if state == "" {
		for i := range p.permissions {
			candidates = append(candidates, uint64(i))
		}
	} else {
		var n int
		depth, n = binary.Uvarint(reading)
		for reading = reading[n:]; len(reading) > 0; reading = reading[n:] {
			var i uint64
			i, n = binary.Uvarint(reading)
			candidates = append(candidates, i)
		}
	}
	var decided *permissionEntry
	following := binary.AppendUvarint(nil, depth+1)
	for _, i := range candidates {
		e := &p.permissions[i]
		switch at := e.path[depth]; {
		case at != name && at != anyName:
		case int(depth) == len(e.path)-1:
			if decided == nil {
				decided = e
			}
		default:
			following = binary.AppendUvarint(following, i)
		}
	}
	switch {
	case decided != nil && decided.permission != "":
		needs = []string{decided.permission}
	case decided != nil:
	case len(declared) > 0:
		needs = declared
	case object:
		needs = []string{DefaultPermission(name)}
	}
	if len(following) == len(binary.AppendUvarint(nil, depth+1)) {
		return needs, noEntry
	}
	return needs, string(following)
}

// DefaultPermission is what a field that selects from an object needs by its name:
// its first word in the singular, ":read".
func DefaultPermission(field string) string { return singular(firstWord(field)) + ":read" }

// firstWord is a name's first word in lower case: orderUpdated and order_updated →
// order, URLChanged → url.
func firstWord(name string) string {
	trimmed := strings.TrimLeft(name, "_")
	end := len(trimmed)
	for i := 1; i < len(trimmed) && end == len(trimmed); i++ {
		switch {
		case trimmed[i] == '_', isUpper(trimmed[i]) && !isUpper(trimmed[i-1]):
			end = i
		case isUpper(trimmed[i-1]) && i > 1 && isLower(trimmed[i]):
			end = i - 1
		}
	}
	if end == 0 {
		return strings.ToLower(name)
	}
	return strings.ToLower(trimmed[:end])
}

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

// singular is a rule for names, not English: "ies" → "y"; after ss, sh, ch, x and
// after us (but for aus and ous) "es" goes; "ss", "us" and "is" stay; else a final
// "s" goes.
func singular(word string) string {
	cut := func(ending string) (string, bool) {
		stem, found := strings.CutSuffix(word, ending)
		return stem, found && len(stem) > 1
	}
	if stem, found := cut("ies"); found {
		return stem + "y"
	}
	if stem, found := cut("es"); found {
		for _, ending := range []string{"ss", "sh", "ch", "x"} {
			if strings.HasSuffix(stem, ending) {
				return stem
			}
		}
		if len(stem) > 2 && strings.HasSuffix(stem, "us") && !strings.HasSuffix(stem, "aus") && !strings.HasSuffix(stem, "ous") {
			return stem
		}
	}
	for _, ending := range []string{"ss", "us", "is"} {
		if strings.HasSuffix(word, ending) {
			return word
		}
	}
	if stem, found := cut("s"); found {
		return stem
	}
	return word
}

// ChecksFields reports whether fields need permissions under this context.
func (p *Policy) ChecksFields(ctx *Context) bool {
	return p.RBAC != RBACOff && (ctx.HasPermissions || p.RequirePermissions)
}

// rights is which of the permissions that a query needs are held, and which of the
// others have been seen to: their fields are nulled. One bit a permission.
type rights struct {
	needed, held, nulled []uint64
	missing              []string // those that are not held
}

// rbacAllows reports whether each permission is held or its fields are nulled.
func (r *rights) rbacAllows() bool {
	if r == nil {
		return true
	}
	for i, needed := range r.needed {
		if needed&^(r.held[i]|r.nulled[i]) != 0 {
			return false
		}
	}
	return true
}

func newRights(ctx *Context, required []string) *rights {
	words := (len(required) + 63) / 64
	bits := make([]uint64, 3*words)
	r := &rights{needed: bits[:words], held: bits[words : 2*words], nulled: bits[2*words:]}
	for i, permission := range required {
		r.needed[i/64] |= 1 << (i % 64)
		if ctx.Grants(permission) {
			r.held[i/64] |= 1 << (i % 64)
		} else {
			r.missing = append(r.missing, permission)
		}
	}
	return r
}

func refuseFields(missing []string, projected bool) error {
	named := strings.Join(missing[:min(len(missing), 5)], ", ")
	if len(missing) > 5 {
		named += ", …"
	}
	if !projected {
		return refuse(RBACModule, fault.Forbidden, "the query selects fields that need %s, which the context does not hold, and they cannot be nulled in what a resolver returns", named)
	}
	return refuse(RBACModule, fault.Forbidden, "the query selects fields that need %s, which the context does not hold", named)
}
