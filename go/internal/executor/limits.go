package executor

import (
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/limit"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
)

// Limits bound what there may be, and what one call may ask for. Zero and nil mean
// unlimited.
type Limits struct {
	Subscriptions              int         `json:"max_subscriptions"`
	SubscriptionsPerConnection int         `json:"max_subscriptions_per_connection"`
	SubscriptionsPerUser       int         `json:"max_subscriptions_per_user"`
	Connections                int         `json:"max_connections"`
	ConnectionsPerUser         int         `json:"max_connections_per_user"`
	QueryBytes                 int         `json:"max_query_bytes"`
	QueryFields                int         `json:"max_query_fields"`
	QueryDepth                 int         `json:"max_query_depth"`
	QueryAliases               int         `json:"max_query_aliases"`
	QueryDirectives            int         `json:"max_query_directives"`
	VariablesBytes             int         `json:"max_variables_bytes"`
	EventBytes                 int         `json:"max_event_bytes"`
	FilterDepth                int         `json:"max_filter_depth"`
	SubscriptionRate           *limit.Rate `json:"subscription_rate"`
	UserRate                   *limit.Rate `json:"user_rate"`
	ChannelRate                *limit.Rate `json:"channel_rate"`
}

// limitNames are what a new executor's metrics show at zero.
var limitNames = []string{
	"max_subscriptions", "max_subscriptions_per_connection", "max_subscriptions_per_user", "max_connections",
	"max_connections_per_user", "max_query_bytes", "max_query_fields", "max_query_depth", "max_query_aliases",
	"max_query_directives", "max_variables_bytes", "max_event_bytes", "max_filter_depth",
	subscriptionRate, userRate, channelRate, maxViolations,
}

const (
	subscriptionRate = "subscription_rate"
	userRate         = "user_rate"
	channelRate      = "channel_rate"
	maxViolations    = "max_violations"
)

func (l Limits) query() query.Limits {
	return query.Limits{
		Bytes: l.QueryBytes, Fields: l.QueryFields, Depth: l.QueryDepth,
		Aliases: l.QueryAliases, Directives: l.QueryDirectives, VariablesBytes: l.VariablesBytes,
	}
}

func (l Limits) counts() limit.Counts {
	return limit.Counts{
		Subscriptions: l.Subscriptions, SubscriptionsPerConnection: l.SubscriptionsPerConnection,
		SubscriptionsPerUser: l.SubscriptionsPerUser, Connections: l.Connections, ConnectionsPerUser: l.ConnectionsPerUser,
	}
}

// limiter is an executor's limits at work.
type limiter struct {
	// elapsed is a clock that never steps back, in nanoseconds.
	elapsed func() int64
	book    *limit.Book // under Executor.mu
	// rates are those of deliveries; nil when there are none.
	rates    *rates
	channels *limit.Buckets // nil: channels have no rate
	breaker  *limit.Breaker
	trips    trips
}

func (l *limiter) open(limits Limits) (err error) {
	began := time.Now()
	l.elapsed = func() int64 { return int64(time.Since(began)) }
	subscription, err := paceOf(subscriptionRate, limits.SubscriptionRate)
	if err != nil {
		return err
	}
	user, err := paceOf(userRate, limits.UserRate)
	if err != nil {
		return err
	}
	channels, err := paceOf(channelRate, limits.ChannelRate)
	if err != nil {
		return err
	}
	if subscription != nil || user != nil {
		l.rates = &rates{subscription: subscription, user: user}
	}
	if channels != nil {
		l.channels = limit.NewBuckets(*channels)
	}
	l.book = limit.NewBook(limits.counts(), user)
	return nil
}

func paceOf(name string, rate *limit.Rate) (*limit.Pace, error) {
	if rate == nil {
		return nil, nil
	}
	pace, err := limit.NewPace(name, *rate)
	return &pace, err
}

// openAccount counts a subscription in the books and makes sure that its connection is not
// cut off. Where that fails nothing has changed. x.mu is held.
func (x *Executor) openAccount(connection string, s *spec) (*limit.Account, error) {
	now := x.limits.elapsed()
	if x.limits.breaker.IsOpen(connection, now) {
		return nil, x.tooManyViolations(connection)
	}
	if s.part {
		return x.limits.book.Accompany(s.user), nil
	}
	return x.limits.book.Reserve(connection, s.user, now)
}

// freeEnded gives back what ended subscriptions hold of the limits, before somebody
// is refused for it.
func (x *Executor) freeEnded(t *bus.Thread) {
	x.unlistEnded(t)
	t.Settle()
}

// refused counts why a registration, a publish or a context was refused.
func (x *Executor) refused(err error) {
	if name := fault.LimitOf(err); name != "" {
		x.metrics.Rejected(name, 1)
	}
}
