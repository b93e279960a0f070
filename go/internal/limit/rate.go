// Package limit counts what connections and users may have, and how often things
// may happen: the books of live subscriptions (Book), token buckets (Pace, Buckets)
// and the violations of connections (Breaker).
//
// Times are nanoseconds on a clock that never steps back; whoever calls brings
// them, so nothing here reads a clock, starts a goroutine or waits. What has been
// idle is forgotten a few entries a call, so that memory follows what is in use and
// not what was ever seen.
package limit

import (
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Rate is how often something may happen: PerSecond times a second in the long run,
// and Burst times at once after a pause.
type Rate struct {
	PerSecond float64 `json:"per_second"`
	Burst     int     `json:"burst"`
}

const (
	// maxPerSecond keeps the interval between two at a microsecond or more: whole
	// nanoseconds are exact to 0.05% there.
	maxPerSecond = 1_000_000
	// maxFill is how long an empty bucket may take to fill.
	maxFill = 100_000_000 * time.Second
)

// Pace is a rate as buckets keep it.
type Pace struct {
	Rate
	interval int64 // nanoseconds from one to the next
	span     int64 // Burst of them
}

// NewPace checks a rate, which name names in the error.
func NewPace(name string, rate Rate) (Pace, error) {
	if !(rate.PerSecond > 0) || rate.PerSecond > maxPerSecond {
		return Pace{}, fault.New(fault.InvalidValue, "%s: per_second must be above 0 and at most %d, not %v", name, maxPerSecond, rate.PerSecond)
	}
	if rate.Burst < 1 {
		return Pace{}, fault.New(fault.InvalidValue, "%s: burst must be at least 1, not %d", name, rate.Burst)
	}
	if float64(rate.Burst)/rate.PerSecond > maxFill.Seconds() {
		return Pace{}, fault.New(fault.InvalidValue, "%s: a burst of %d at %v a second takes more than %v to come back", name, rate.Burst, rate.PerSecond, maxFill)
	}
	interval := int64(float64(time.Second)/rate.PerSecond + 0.5)
	return Pace{Rate: rate, interval: interval, span: interval * int64(rate.Burst)}, nil
}
