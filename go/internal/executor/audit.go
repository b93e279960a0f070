package executor

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bytedance/sonic"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// AuditOptions say what is told of decisions.
type AuditOptions struct {
	Denials float64 `json:"denials"` // events a second of which denials are told; 0: of none
	Data    bool    `json:"data"`    // with the event's data
}

// AuditKind is what a record tells of.
type AuditKind string

// The kinds.
const (
	AuditRefused        AuditKind = "refused"         // a registration
	AuditForbidden      AuditKind = "forbidden"       // a subscription ended, its new context may not have it
	AuditRevoked        AuditKind = "revoked"         // Revoke
	AuditExpired        AuditKind = "expired"         // subscriptions whose context did
	AuditInvalidated    AuditKind = "invalidated"     // Invalidate
	AuditCircuitBreaker AuditKind = "circuit_breaker" // a connection's subscriptions ended for its violations
	AuditDenied         AuditKind = "denied"          // a sampled event that somebody may not see
)

// AuditRecord is one decision, as it crosses to Python. Empty members are left out.
type AuditRecord struct {
	Kind         AuditKind       `json:"kind"`
	Time         float64         `json:"time"` // unix seconds
	Reason       string          `json:"reason"`
	Code         string          `json:"code,omitempty"`
	Connection   string          `json:"connection_id,omitempty"`
	Subscription string          `json:"subscription_id,omitempty"` // the client's
	User         json.RawMessage `json:"user_id,omitempty"`
	Tenant       json.RawMessage `json:"tenant_id,omitempty"`
	Permission   string          `json:"permission,omitempty"`
	Count        int             `json:"count,omitempty"` // of subscriptions
	EventID      string          `json:"event_id,omitempty"`
	EventType    string          `json:"event_type,omitempty"`
	Channel      string          `json:"channel,omitempty"`
	Denied       map[string]int  `json:"denied,omitempty"` // subscriptions by module
	Data         json.RawMessage `json:"data,omitempty"`
}

// maxAudit is how many records wait for Python; those beyond are counted only.
const maxAudit = 1024

// auditLog is the records on their way to Python, which a thread of the engine hands
// over: whoever decides calls nobody.
type auditLog struct {
	// denials is 1 while the next denial is to be told.
	denials atomic.Int32

	// mu is held for moments only, and never across a call into Python.
	mu      sync.Mutex
	records []AuditRecord
	lost    int
	telling bool        // a thread of the engine is at it
	timer   *time.Timer // sets denials
}

// Audit keeps a record for the application. It takes no lock that is held across
// anything, and calls nobody.
func (x *Executor) Audit(record AuditRecord) {
	record.Time = float64(x.clock.now()) / 1e9
	a := &x.audit
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.records) >= maxAudit {
		a.lost++
		x.metrics.AuditLost()
		return
	}
	a.records = append(a.records, record)
	if !a.telling {
		a.telling = true
		x.Lend(x.tellAudit)
	}
}

// tellAudit hands over what there is, until there is nothing.
func (x *Executor) tellAudit(t *bus.Thread) {
	a := &x.audit
	for {
		t.Lock(&a.mu)
		records, lost := a.records, a.lost
		a.records, a.lost = nil, 0
		a.telling = len(records) > 0
		a.mu.Unlock()
		if len(records) == 0 {
			return
		}
		text, err := sonic.Marshal(records)
		if err != nil {
			x.log.Error("audit records cannot be written", "records", len(records), "error", err)
			continue
		}
		x.python.Audit(t, lost, text)
	}
}

// sampleDenials begins to tell of denials.
func (x *Executor) sampleDenials() {
	if x.options.Audit.Denials > 0 {
		x.audit.denials.Store(1)
	}
}

// auditDenied tells of an event's denials if it is time for that. When it is not it
// costs one atomic load.
func (x *Executor) auditDenied(d *delivery) {
	a := &x.audit
	if a.denials.Load() == 0 || !a.denials.CompareAndSwap(1, 0) {
		return
	}
	denied := make(map[string]int)
	count := d.expired
	if d.expired > 0 {
		denied[Expired.String()] = d.expired
	}
	for module, subscriptions := range d.denied {
		if subscriptions > 0 {
			denied[security.Module(module).String()] = subscriptions
			count += subscriptions
		}
	}
	record := AuditRecord{
		Kind: AuditDenied, Reason: "subscriptions of the channel may not see the event", Count: count,
		EventID: strings.Clone(d.event.ID), EventType: d.event.Type, Channel: d.event.Channel, Denied: denied,
	}
	if x.options.Audit.Data {
		record.Data = bytes.Clone(d.event.Data)
	}
	x.Audit(record)
	pause := time.Duration(math.Min(float64(time.Second)/x.options.Audit.Denials, float64(time.Hour)))
	a.mu.Lock()
	defer a.mu.Unlock()
	if !x.closed.Load() {
		a.timer = time.AfterFunc(pause, func() { a.denials.Store(1) })
	}
}

// stopAudit is for an executor that is closed; what there is, is still told.
func (x *Executor) stopAudit() {
	x.audit.mu.Lock()
	defer x.audit.mu.Unlock()
	if x.audit.timer != nil {
		x.audit.timer.Stop()
	}
}

// auditRefusal counts and tells of a registration that was refused.
func (x *Executor) auditRefusal(r Registration, err error) {
	code := fault.CodeOf(err)
	if code == fault.EngineClosed {
		return
	}
	x.metrics.Refused(string(code))
	record := AuditRecord{
		Kind: AuditRefused, Reason: sentence(err), Code: string(code),
		Connection: r.Connection, Subscription: r.Subscription,
	}
	var options document.Document
	if options.Parse([]byte(r.Options)) == nil {
		record.identify(options.Root().Get("context"))
	}
	x.Audit(record)
}

// identify takes who it is from a context.
func (r *AuditRecord) identify(context document.Value) {
	r.User = append(r.User, context.Get("user_id").Raw()...)
	r.Tenant = append(r.Tenant, context.Get("tenant_id").Raw()...)
}

// auditForbidden tells of a subscription that its new context ended.
func (x *Executor) auditForbidden(s *Subscription, context []byte, reason string, code fault.Code) {
	record := AuditRecord{
		Kind: AuditForbidden, Reason: reason, Code: string(code),
		Connection: s.connection, Subscription: s.clientID, Count: 1,
	}
	var given document.Document
	if given.Parse(context) == nil {
		record.identify(given.Root())
	}
	x.Audit(record)
}

// auditRevocation tells of a call of Revoke.
func (x *Executor) auditRevocation(who []byte, permission string, count int) {
	record := AuditRecord{Kind: AuditRevoked, Permission: permission, Count: count}
	var given document.Document
	var names []string
	if given.Parse(who) == nil {
		record.identify(given.Root())
		for members := given.Root().Members(); members.Next(); {
			names = append(names, members.Key().Text())
		}
	}
	record.Reason = "revoked by " + strings.Join(names, ", ")
	x.Audit(record)
}
