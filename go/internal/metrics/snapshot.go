package metrics

// Snapshot is every number at about one moment: counters are read one after
// another while others go on counting. Its JSON form is what get_metrics()
// returns.
type Snapshot struct {
	Total          uint64            `json:"total"` // subscriptions ever registered
	Active         int64             `json:"active"`
	Completed      uint64            `json:"completed"`
	Errored        uint64            `json:"errored"`
	Ended          map[string]uint64 `json:"ended"` // by reason
	Published      uint64            `json:"published"`
	Dispatched     uint64            `json:"dispatched"`
	Delivered      uint64            `json:"delivered"`
	Dropped        map[string]uint64 `json:"dropped"` // by overflow policy
	Denied         map[string]uint64 `json:"denied"`  // by security module
	Filtered       uint64            `json:"filtered"`
	Refused        map[string]uint64 `json:"refused"` // registrations, by code
	AuditLost      uint64            `json:"audit_lost"`
	Rejected       map[string]uint64 `json:"rejected"`   // by limit
	Violations     map[string]uint64 `json:"violations"` // by kind
	BreakerTrips   uint64            `json:"breaker_trips"`
	ResolverErrors uint64            `json:"resolver_errors"`
	Queued         int64             `json:"queued"`
	QueuedBytes    int64             `json:"queued_bytes"`
	Bus            map[string]Bus    `json:"bus"` // by the bus's name
}

// Snapshot reads everything. The caller owns the result.
func (s *Set) Snapshot() Snapshot {
	gauges := s.gauges()
	if gauges.Bus == nil {
		gauges.Bus = map[string]Bus{}
	}
	return Snapshot{
		Total:          s.registered.value(),
		Active:         gauges.Active,
		Completed:      s.completed.value(),
		Errored:        s.errored.value(),
		Ended:          s.ended.values(),
		Published:      s.published.value(),
		Dispatched:     s.dispatched.value(),
		Delivered:      s.delivered.value(),
		Dropped:        s.dropped.values(),
		Denied:         s.denied.values(),
		Filtered:       s.filtered.value(),
		Refused:        s.refused.values(),
		AuditLost:      s.auditLost.value(),
		Rejected:       s.rejected.values(),
		Violations:     s.violations.values(),
		BreakerTrips:   s.breakerTrips.value(),
		ResolverErrors: s.resolverErrors.value(),
		Queued:         gauges.Queued,
		QueuedBytes:    gauges.QueuedBytes,
		Bus:            gauges.Bus,
	}
}
