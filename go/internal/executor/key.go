package executor

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"

// eventKey is the key of an event under one path.
type eventKey struct{ path, key string }

// keyFor is the key that the event's responses have under a policy, computed once
// for all policies with the same path.
func (d *delivery) keyFor(p *queuePolicy) string {
	path := p.key.String()
	if path == "" {
		return ""
	}
	for _, one := range d.keys {
		if one.path == path {
			return one.key
		}
	}
	key := p.keyOf(d.event.Document().Root())
	d.keys = append(d.keys, eventKey{path, key})
	return key
}

// responseFor is the response for the members of a target, which share it; nil
// where each has a place of its own. Under queue.Latest it carries the key.
func (d *delivery) responseFor(one target) *queue.Response {
	response := d.works[one.work].response
	if one.key == "" || response == nil {
		return response
	}
	return queue.ReadyKeyed(response.Payload(), one.key)
}
