package api

import (
	"encoding/json"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bridge"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// UpdateContext gives all subscriptions of a connection another context (JSON), and
// returns how many live on with it. It appends to the list at outAddress the ids of
// those whose unread responses were dropped.
func UpdateContext(handle int, connectionID, context string, outAddress int) (changed int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	changed, emptied, err := e.Executor.UpdateContext(t, connectionID, []byte(context))
	if err != nil {
		return 0, err
	}
	return changed, appendIDs(outAddress, emptied)
}

// Revoke takes rights from everybody that who (JSON: user_id, tenant_id, permission)
// names, and returns how many subscriptions ended or changed. It appends to the list
// at outAddress the ids of those whose unread responses were dropped.
func Revoke(handle int, who string, outAddress int) (changed int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	changed, emptied, err := e.Executor.Revoke(t, []byte(who))
	if err != nil {
		return 0, err
	}
	return changed, appendIDs(outAddress, emptied)
}

// Connect says who the client of a transport's connection is (context, JSON), until
// Disconnect: what is registered on it has this context, or what UpdateContext and
// Revoke have made of it.
func Connect(handle int, connectionID, context string) (_ int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	return 0, e.Executor.Connect(t, connectionID, []byte(context))
}

// Client is the context (JSON) of a transport's client as it is now, or the error with
// which it was turned away; "" where nobody is known.
func Client(handle int, connectionID string) (context string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	told, err := e.Executor.Client(t, connectionID)
	return string(told), err
}

// Disconnect forgets who the client of a transport's connection was.
func Disconnect(handle int, connectionID string) (_ int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	e.Executor.Disconnect(t, connectionID)
	return 0, nil
}

// Invalidate completes the subscriptions that pass a filter (JSON) over themselves,
// and returns how many.
func Invalidate(handle int, filter string) (ended int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	return e.Executor.Invalidate(t, []byte(filter))
}

func appendIDs(outAddress int, subscriptions []*executor.Subscription) error {
	list := bridge.ListAt(outAddress)
	for _, s := range subscriptions {
		if err := list.AppendText(s.ID()); err != nil {
			return err
		}
	}
	return nil
}

// AddPolicy makes a security policy (JSON) one that registrations can name by the
// number that it returns.
func AddPolicy(handle int, policy string) (number int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	return e.Executor.AddPolicy(t, json.RawMessage(policy))
}
