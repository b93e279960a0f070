package metrics

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

type name string

func (n name) String() string { return string(n) }

func fixed() Gauges {
	return Gauges{Active: 7, Queued: 21, QueuedBytes: 4096, Bus: map[string]Bus{
		"memory": {Published: 30, Dispatched: 28, Pending: 2, Retained: 15},
	}}
}

func newSet(gauges func() Gauges) *Set {
	return New(gauges, []string{"drop_oldest", "drop_newest"}, []string{"completed", "slow"}, []string{"max_subscriptions"}, []string{"rate"})
}

// used is a Set in which every number is different.
func used() *Set {
	s := newSet(fixed)
	for range 10 {
		s.Registered()
	}
	s.Completed(2)
	s.Errored(1)
	s.Ended("completed", 2)
	s.Ended("slow", 1)
	s.Published(30)
	s.Dispatched(29)
	s.Delivered(100)
	s.Filtered(12)
	s.ResolverError()
	s.ResolverError()
	s.ResolverError()
	s.Dropped("drop_oldest", 5)
	s.Dropped("drop_newest", 6)
	s.Dropped("latest", 8)
	s.Rejected("max_subscriptions", 13)
	s.Violated("rate", 14)
	for range 15 {
		s.BreakerTripped()
	}
	s.Denied(name("tenant"), 9)
	s.Denied(name("row"), 11)
	return s
}

func TestSnapshotHasEveryCountUnderItsPublicName(t *testing.T) {
	text, err := json.Marshal(used().Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"total":10,"active":7,"completed":2,"errored":1,"ended":{"completed":2,"slow":1},"published":30,"dispatched":29,"delivered":100,` +
		`"dropped":{"drop_newest":6,"drop_oldest":5,"latest":8},"denied":{"expired":0,"federation":0,"rbac":0,"row":11,"scope":0,"tenant":9},"filtered":12,"refused":{},"audit_lost":0,"rejected":{"max_subscriptions":13},"violations":{"rate":14},"breaker_trips":15,"resolver_errors":3,` +
		`"queued":21,"queued_bytes":4096,"bus":{"memory":{"published":30,"dispatched":28,"pending":2,"retained":15}}}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestAFreshSetShowsItsSeriesAtZero(t *testing.T) {
	text, err := json.Marshal(newSet(func() Gauges { return Gauges{} }).Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"total":0,"active":0,"completed":0,"errored":0,"ended":{"completed":0,"slow":0},"published":0,"dispatched":0,"delivered":0,` +
		`"dropped":{"drop_newest":0,"drop_oldest":0},"denied":{"expired":0,"federation":0,"rbac":0,"row":0,"scope":0,"tenant":0},"filtered":0,"refused":{},"audit_lost":0,"rejected":{"max_subscriptions":0},"violations":{"rate":0},"breaker_trips":0,"resolver_errors":0,` +
		`"queued":0,"queued_bytes":0,"bus":{}}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func parse(t *testing.T, s *Set) map[string]*dto.MetricFamily {
	t.Helper()
	text, err := s.Text()
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return families
}

func TestTextHoldsEverySeriesWithItsValueTypeAndHelp(t *testing.T) {
	got := map[string]float64{}
	for family, f := range parse(t, used()) {
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", family)
		}
		for _, m := range f.GetMetric() {
			key := strings.TrimPrefix(family, "fraiseql_subscriptions_")
			for _, label := range m.GetLabel() {
				key += " " + label.GetName() + "=" + label.GetValue()
			}
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				got[key] = m.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				if strings.HasSuffix(family, "_total") {
					t.Errorf("%s is a gauge", family)
				}
				got[key] = m.GetGauge().GetValue()
			case dto.MetricType_HISTOGRAM:
				got[key] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	want := map[string]float64{
		"registered_total": 10, "active": 7, "completed_total": 2, "errored_total": 1, "ended_total reason=completed": 2, "ended_total reason=slow": 1,
		"events_published_total": 30, "events_dispatched_total": 29, "responses_delivered_total": 100,
		"responses_dropped_total policy=drop_oldest": 5, "responses_dropped_total policy=drop_newest": 6,
		"responses_dropped_total policy=latest": 8,
		"deliveries_denied_total module=tenant": 9, "deliveries_denied_total module=row": 11,
		"deliveries_denied_total module=federation": 0, "deliveries_denied_total module=expired": 0, "deliveries_denied_total module=scope": 0, "deliveries_denied_total module=rbac": 0,
		"deliveries_filtered_total": 12, "rejected_total limit=max_subscriptions": 13, "violations_total kind=rate": 14, "breaker_trips_total": 15, "resolver_errors_total": 3, "audit_records_lost_total": 0, "queued_responses": 21, "queued_bytes": 4096,
		"bus_published_total bus=memory": 30, "bus_dispatched_total bus=memory": 28,
		"bus_pending_events bus=memory": 2, "bus_retained_events bus=memory": 15,
		"dispatch_duration_seconds": 0,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestNumbersThatABusTellsOfItsServerAreMetrics(t *testing.T) {
	s := newSet(func() Gauges {
		return Gauges{Bus: map[string]Bus{"redis": {Server: map[string]any{
			"connected": true, "cluster": false, "reconnects": uint64(2), "lag": 0.5, "streams": 3, "behind": int64(4), "version": "7.0",
		}}}}
	})
	got := map[string]float64{}
	for _, m := range parse(t, s)["fraiseql_subscriptions_bus_server"].GetMetric() {
		got[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
	}
	want := map[string]float64{"connected": 1, "cluster": 0, "reconnects": 2, "lag": 0.5, "streams": 3, "behind": 4}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTextFollowsPrometheusNamingRules(t *testing.T) {
	text, err := used().Text()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestDispatchDurationsFallIntoTheirBuckets(t *testing.T) {
	s := newSet(fixed)
	for _, d := range []time.Duration{
		-time.Second, 0, 5 * time.Microsecond, 5*time.Microsecond + 1, time.Millisecond, 5 * time.Second, time.Minute,
	} {
		s.DispatchTook(d)
	}
	h := parse(t, s)["fraiseql_subscriptions_dispatch_duration_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 7 || h.GetSampleSum() != 65.001010001 {
		t.Errorf("%d observations, sum %v, want 7 and 65.001010001", h.GetSampleCount(), h.GetSampleSum())
	}
	got := map[float64]uint64{}
	for _, b := range h.GetBucket() {
		got[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	for bound, want := range map[float64]uint64{5e-6: 3, 1e-5: 4, 0.0005: 4, 0.001: 5, 1: 5, 5: 6} {
		if got[bound] != want {
			t.Errorf("%d observations up to %v s, want %d", got[bound], bound, want)
		}
	}
	if !slices.IsSorted(bounds[:]) {
		t.Error("the bounds aren't in order")
	}
}

func TestTwoSetsShareNothing(t *testing.T) {
	a, b := used(), newSet(fixed)
	if n := b.Snapshot().Total; n != 0 {
		t.Errorf("the other set counts %d", n)
	}
	if n := parse(t, b)["fraiseql_subscriptions_registered_total"].GetMetric()[0].GetCounter().GetValue(); n != 0 {
		t.Errorf("the other set's text counts %v", n)
	}
	if n := a.Snapshot().Total; n != 10 {
		t.Errorf("the set counts %d, want 10", n)
	}
}

func TestNothingIsLostWhenManyCountAtOnce(t *testing.T) {
	s := newSet(fixed)
	const workers, rounds = 8, 500
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range rounds {
				s.Delivered(3)
				s.Dropped([]string{"drop_oldest", "new_one", "new_two"}[(i+w)%3], 1)
				s.Denied(name("tenant"), 2)
				s.DispatchTook(time.Microsecond)
				if i%100 == 0 {
					s.Snapshot()
					if _, err := s.Text(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	got := s.Snapshot()
	count, _, _ := s.latency.cumulative()
	var dropped uint64
	for _, n := range got.Dropped {
		dropped += n
	}
	if got.Delivered != 3*workers*rounds || got.Denied["tenant"] != 2*workers*rounds || dropped != workers*rounds || count != workers*rounds {
		t.Errorf("delivered %d, denied %v, dropped %v, timed %d", got.Delivered, got.Denied, got.Dropped, count)
	}
}

func TestCountingNothingChangesNothing(t *testing.T) {
	s := newSet(fixed)
	s.Delivered(0)
	s.Delivered(-1)
	s.Dropped("unseen", 0)
	s.Denied(name("unseen"), -1)
	got := s.Snapshot()
	if got.Delivered != 0 || len(got.Dropped) != 2 || len(got.Denied) != 6 {
		t.Errorf("got %+v", got)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	s := newSet(fixed)
	module := name("row")
	if n := testing.AllocsPerRun(100, func() {
		s.Published(1)
		s.Denied(&module, 2)
		s.Dropped("drop_newest", 1)
		s.DispatchTook(time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkCount(b *testing.B) {
	s := newSet(fixed)
	module := name("row")
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			s.Delivered(3)
		}
	})
	b.Run("labelled", func(b *testing.B) {
		for b.Loop() {
			s.Denied(&module, 3)
		}
	})
	b.Run("duration", func(b *testing.B) {
		for b.Loop() {
			s.DispatchTook(30 * time.Microsecond)
		}
	})
	b.Run("text", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Text(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
