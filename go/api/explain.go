package api

import (
	"github.com/bytedance/sonic"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bridge"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// Explain is the JSON of what publishing an event would do for each subscription, a
// list. data is the bytes object at dataAddress; showData (0 or 1) lets reasons tell
// values of it.
func Explain(handle int, eventType, channel string, dataAddress, showData int) (text string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	data, err := bridge.Bytes(dataAddress)
	if err != nil {
		return "", err
	}
	ev, err := event.New(eventType, channel, data, "", "")
	if err != nil {
		return "", err
	}
	found, err := e.Executor.Explain(t, ev, showData != 0)
	if err != nil {
		return "", err
	}
	t.Unlocked(func() { text, err = sonic.MarshalString(found) })
	return text, err
}
