package executor

import (
	"encoding/json"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// Revoke takes rights from everybody whose context fits who (JSON: an object with
// user_id, tenant_id and permission, one at least; all that are given must fit). With
// a permission, that is taken from their contexts, and RBAC decides what becomes of
// each subscription; without, their subscriptions end, with UNAUTHENTICATED where
// only a user is named, otherwise with FORBIDDEN. Nothing that they may not see can
// be read after it returned, and what transports' clients register later is decided by
// what is left to them. changed is how many subscriptions ended or live on with
// less; emptied are those whose unread responses were dropped.
func (x *Executor) Revoke(t *bus.Thread, who []byte) (changed int, emptied []*Subscription, err error) {
	if err := x.checkOpen(); err != nil {
		return 0, nil, err
	}
	asked, permission, err := parseRevocation(who)
	if err != nil {
		return 0, nil, err
	}
	r := new(replacements)
	t.Lock(&x.replacing)
	t.Unlocked(func() {
		outside := &bus.Thread{}
		final := revoked(asked)
		x.revokeConnected(asked, permission, final)
		for _, s := range x.whoever(asked, permission) {
			if permission == "" {
				x.endFor(outside, s, newEnding(final, EndRevoked), r)
			} else if context := x.without(s, permission); context != nil {
				x.replaceContext(outside, s, context, r)
			}
		}
	})
	x.replacing.Unlock()
	x.auditRevocation(who, permission, r.changed+r.ended)
	x.concludeReplacing(t, r)
	return r.changed + r.ended, r.emptied, nil
}

// revoked is the end by a revocation: who is not who they were signs in again.
func revoked(asked *security.Context) Final {
	if asked.Tenant.Absent() {
		return Final{Message: "the user's access was revoked; sign in again", Code: string(fault.Unauthenticated)}
	}
	return Final{Message: "access to this subscription was revoked", Code: string(fault.Forbidden)}
}

func parseRevocation(who []byte) (asked *security.Context, permission string, err error) {
	var d document.Document
	if err := d.Parse(who); err != nil || d.Root().Kind() != document.Object {
		return nil, "", fault.New(fault.InvalidValue, "what to revoke cannot be read; give user_id, tenant_id or permission")
	}
	for members := d.Root().Members(); members.Next(); {
		switch key := members.Key().Text(); key {
		case "user_id", "tenant_id":
		case "permission":
			permission = members.Value().Text()
			if permission == "" {
				return nil, "", fault.New(fault.InvalidValue, "permission must be a text that is not empty")
			}
		default:
			return nil, "", fault.New(fault.InvalidValue, "%q cannot be revoked; give user_id, tenant_id or permission", key)
		}
	}
	identity, err := setMember(who, "permission", nil)
	if err != nil {
		return nil, "", err
	}
	if asked, err = security.ParseContext(identity); err != nil {
		return nil, "", err
	}
	if permission == "" && asked.User.Absent() && asked.Tenant.Absent() {
		return nil, "", fault.New(fault.InvalidValue, "nothing to revoke; give user_id, tenant_id or permission")
	}
	return asked, permission, nil
}

// whoever is every subscription whose context fits, also those that have ended and
// that have not been read to their end.
func (x *Executor) whoever(asked *security.Context, permission string) (all []*Subscription) {
	known := make(map[*security.Context]bool)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.subscriptions {
		spec := s.lastSpec()
		if spec == nil || spec.context == nil {
			continue
		}
		fit, found := known[spec.context]
		if !found {
			fit = fits(spec.policy, spec.context, asked, permission)
			known[spec.context] = fit
		}
		if fit {
			all = append(all, s)
		}
	}
	return all
}

// fits says whether a context is one that a revocation is about.
func fits(policy *security.Policy, context, asked *security.Context, permission string) bool {
	return (asked.User.Absent() || policy.Is(&context.User, &asked.User)) &&
		(asked.Tenant.Absent() || policy.Is(&context.Tenant, &asked.Tenant)) &&
		(permission == "" || context.Grants(permission))
}

// lastSpec is the spec by which events reach s, or did until it ended; nil for one
// that the application ended. Executor.mu is held.
func (s *Subscription) lastSpec() *spec {
	if s.current != nil {
		return s.current.cohort.spec
	}
	if e := s.ending.Load(); e != nil {
		return e.spec
	}
	return nil
}

// without is the context of s after a permission has been taken from it; nil for a
// subscription that is gone.
func (x *Executor) without(s *Subscription, permission string) []byte {
	x.mu.Lock()
	spec := s.lastSpec()
	x.mu.Unlock()
	if spec == nil || spec.context == nil {
		return nil
	}
	return withoutPermission(spec.context, spec.contextJSON, permission)
}

// withoutPermission is the text of a context after a permission has been taken from it.
func withoutPermission(context *security.Context, text []byte, permission string) []byte {
	left := context.Without(permission).Permissions
	if left == nil {
		left = []string{} // the empty set is one
	}
	names, err := json.Marshal(left)
	if err != nil {
		return nil // cannot be: they are texts
	}
	less, err := setMember(text, "permissions", names)
	if err != nil {
		return nil // cannot be: it was read before
	}
	return less
}
