package executor

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/metrics"

// Metrics is the snapshot behind get_metrics().
func (x *Executor) Metrics() metrics.Snapshot { return x.metrics.Snapshot() }

// MetricsText is the Prometheus exposition of the same.
func (x *Executor) MetricsText() (string, error) { return x.metrics.Text() }

// gauges are read when metrics are asked for, so that they cost nothing before:
// the queues are added up then, some 20 ns each.
func (x *Executor) gauges() metrics.Gauges {
	x.mu.Lock()
	subscriptions := make([]*Subscription, 0, len(x.subscriptions))
	gauges := metrics.Gauges{}
	for _, s := range x.subscriptions {
		subscriptions = append(subscriptions, s)
		if s.ending.Load() == nil {
			gauges.Active++
		}
	}
	x.mu.Unlock()
	for _, s := range subscriptions {
		inbox := s.inbox.Load()
		gauges.Queued += int64(inbox.Len())
		gauges.QueuedBytes += inbox.Bytes()
	}
	stats := x.bus.Stats()
	gauges.Bus = map[string]metrics.Bus{x.bus.Name(): {
		Published: stats.Published, Dispatched: stats.Dispatched, Pending: stats.Pending,
		Retained: stats.Retained, Server: x.bus.State(),
	}}
	return gauges
}
