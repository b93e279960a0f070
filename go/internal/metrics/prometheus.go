package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// Text is everything in Prometheus's text exposition format.
func (s *Set) Text() (string, error) {
	families, err := s.registry.Gather()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	encoder := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// exposition is a Set as Prometheus reads it.
type exposition struct {
	set     *Set
	series  []series
	latency *prometheus.Desc
}

// series is one metric and where its values are in a Snapshot, by the value of
// its label, "" when it has none.
type series struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	values func(s *Snapshot) map[string]float64
}

// newExposition names every series by the rules of
// https://prometheus.io/docs/practices/naming/.
func newExposition(set *Set) *exposition {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return &exposition{
		set: set,
		series: []series{
			plain(counter, "registered_total", "Subscriptions registered.",
				func(s *Snapshot) float64 { return float64(s.Total) }),
			plain(gauge, "active", "Subscriptions now live.",
				func(s *Snapshot) float64 { return float64(s.Active) }),
			plain(counter, "completed_total", "Subscriptions that completed.",
				func(s *Snapshot) float64 { return float64(s.Completed) }),
			plain(counter, "errored_total", "Subscriptions ended by an error.",
				func(s *Snapshot) float64 { return float64(s.Errored) }),
			counts("ended_total", "Subscriptions that ended, by reason.", "reason",
				func(s *Snapshot) map[string]uint64 { return s.Ended }),
			plain(counter, "events_published_total", "Events accepted from publishers of this process.",
				func(s *Snapshot) float64 { return float64(s.Published) }),
			plain(counter, "events_dispatched_total", "Events dispatched to the subscriptions of this process.",
				func(s *Snapshot) float64 { return float64(s.Dispatched) }),
			plain(counter, "responses_delivered_total", "Responses put in subscriptions' queues.",
				func(s *Snapshot) float64 { return float64(s.Delivered) }),
			counts("responses_dropped_total", "Responses dropped from full queues, by overflow policy.", "policy",
				func(s *Snapshot) map[string]uint64 { return s.Dropped }),
			counts("deliveries_denied_total", "Deliveries refused by a security module.", "module",
				func(s *Snapshot) map[string]uint64 { return s.Denied }),
			plain(counter, "deliveries_filtered_total", "Deliveries kept away by subscriptions' own filters.",
				func(s *Snapshot) float64 { return float64(s.Filtered) }),
			counts("registrations_refused_total", "Registrations refused, by the error's code.", "code",
				func(s *Snapshot) map[string]uint64 { return s.Refused }),
			plain(counter, "audit_records_lost_total", "Audit records for which there was no room.",
				func(s *Snapshot) float64 { return float64(s.AuditLost) }),
			counts("rejected_total", "Calls refused and events withheld, by limit.", "limit",
				func(s *Snapshot) map[string]uint64 { return s.Rejected }),
			counts("violations_total", "Violations of connections, by kind.", "kind",
				func(s *Snapshot) map[string]uint64 { return s.Violations }),
			plain(counter, "breaker_trips_total", "Connections cut off for their violations.",
				func(s *Snapshot) float64 { return float64(s.BreakerTrips) }),
			plain(counter, "resolver_errors_total", "Resolvers that raised, timed out or returned an invalid response.",
				func(s *Snapshot) float64 { return float64(s.ResolverErrors) }),
			plain(gauge, "queued_responses", "Responses waiting in queues.",
				func(s *Snapshot) float64 { return float64(s.Queued) }),
			plain(gauge, "queued_bytes", "Payload bytes of the responses waiting in queues.",
				func(s *Snapshot) float64 { return float64(s.QueuedBytes) }),
			byBus(counter, "bus_published_total", "Events the bus accepted.",
				func(b Bus) float64 { return float64(b.Published) }),
			byBus(counter, "bus_dispatched_total", "Events the bus handed to dispatch.",
				func(b Bus) float64 { return float64(b.Dispatched) }),
			byBus(gauge, "bus_pending_events", "Events the bus accepted and has not handed to dispatch yet.",
				func(b Bus) float64 { return float64(b.Pending) }),
			byBus(gauge, "bus_retained_events", "Events the bus keeps for subscriptions that resume.",
				func(b Bus) float64 { return float64(b.Retained) }),
			{describe("bus_server", "What the bus tells of its server: the numbers of health(), yes and no as 1 and 0.", "name"), gauge, serverNumbers},
		},
		latency: describe("dispatch_duration_seconds", "How long the dispatch of an event took."),
	}
}

func plain(kind prometheus.ValueType, name, help string, value func(*Snapshot) float64) series {
	return series{describe(name, help), kind, func(s *Snapshot) map[string]float64 {
		return map[string]float64{"": value(s)}
	}}
}

func counts(name, help, label string, values func(*Snapshot) map[string]uint64) series {
	return series{describe(name, help, label), prometheus.CounterValue, func(s *Snapshot) map[string]float64 {
		found := map[string]float64{}
		for label, n := range values(s) {
			found[label] = float64(n)
		}
		return found
	}}
}

func byBus(kind prometheus.ValueType, name, help string, value func(Bus) float64) series {
	return series{describe(name, help, "bus"), kind, func(s *Snapshot) map[string]float64 {
		found := map[string]float64{}
		for label, bus := range s.Bus {
			found[label] = value(bus)
		}
		return found
	}}
}

// serverNumbers are the numbers that buses tell of their servers.
func serverNumbers(s *Snapshot) map[string]float64 {
	found := map[string]float64{}
	for _, bus := range s.Bus {
		for name, value := range bus.Server {
			switch value := value.(type) {
			case int:
				found[name] = float64(value)
			case int64:
				found[name] = float64(value)
			case uint64:
				found[name] = float64(value)
			case float64:
				found[name] = value
			case bool:
				found[name] = 0
				if value {
					found[name] = 1
				}
			}
		}
	}
	return found
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("fraiseql", "subscriptions", name), help, labels, nil)
}

// Describe implements prometheus.Collector.
func (e *exposition) Describe(to chan<- *prometheus.Desc) {
	for _, one := range e.series {
		to <- one.desc
	}
	to <- e.latency
}

// Collect implements prometheus.Collector.
func (e *exposition) Collect(to chan<- prometheus.Metric) {
	snapshot := e.set.Snapshot()
	for _, one := range e.series {
		for label, value := range one.values(&snapshot) {
			if label == "" {
				to <- prometheus.MustNewConstMetric(one.desc, one.kind, value)
			} else {
				to <- prometheus.MustNewConstMetric(one.desc, one.kind, value, label)
			}
		}
	}
	count, sum, buckets := e.set.latency.cumulative()
	to <- prometheus.MustNewConstHistogram(e.latency, count, sum, buckets)
}
