package api

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bridge"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// flagStreamed: an event loop's consumer is about to be given the subscription.
const flagStreamed = 2

// RegisterSubscription makes a subscription live and returns its id. variables and
// options are JSON objects or "", since is a position or "". flags are flagLoop and
// flagStreamed.
func RegisterSubscription(handle int, connectionID, subscriptionID, query, operationName, variables, options, since string, flags int) (id string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	if !t.Nested() {
		t.Loop = flags&flagLoop != 0
	}
	s, err := e.Executor.RegisterSubscription(t, executor.Registration{
		Connection: connectionID, Subscription: subscriptionID,
		Query: query, Operation: operationName, Variables: variables, Options: options, Since: since,
		Streamed: flags&flagStreamed != 0,
	})
	if err != nil {
		return "", err
	}
	return s.ID(), nil
}

// Recovered is 0 when the subscription's resume was not exact, otherwise 1.
func Recovered(handle int, id string) (recovered int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	s, err := e.Find(t, id)
	if err != nil {
		return 0, err
	}
	return truth(s.Recovered()), nil
}

// SetResolver gives a subscription the resolver with this key, 0 for none. flags:
// 1 takes variables, 2 takes info, 4 is async.
func SetResolver(handle int, id string, resolver, flags int) (_ int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	return 0, e.Executor.SetResolver(t, id, resolver, executor.ResolverFlags(flags))
}

// CompleteSubscription ends a subscription: 1, or 0 when there is none with that id.
func CompleteSubscription(handle int, id string) (ended int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	return truth(e.Executor.CompleteSubscription(t, id)), nil
}

// CloseConnection ends every subscription of a connection, appends their ids to the
// list at outAddress and returns how many.
func CloseConnection(handle int, connectionID string, outAddress int) (ended int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	subscriptions := e.Executor.CloseConnection(t, connectionID)
	list := bridge.ListAt(outAddress)
	for _, s := range subscriptions {
		if err := list.AppendText(s.ID()); err != nil {
			return 0, err
		}
	}
	return len(subscriptions), nil
}
