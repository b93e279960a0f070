package executor

import (
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// queuePolicy bounds the queues of the subscriptions that share it. Immutable.
type queuePolicy struct {
	queue.Policy
	// unwaited is for responses whose publisher does not wait.
	unwaited queue.Policy
	name     string // the overflow policy's, as metrics and logs give it
	// key leads to the value in an event's data by which queue.Latest tells what a
	// response replaces. The zero Path: every response replaces the one before.
	key document.Path
	// timeout is how long a publisher waits for room under queue.Block.
	timeout time.Duration
}

// queueOptions are a queue policy in the form in which it crosses from Python.
type queueOptions struct {
	MaxResponses int     `json:"max_responses"`
	MaxBytes     int64   `json:"max_bytes"`
	Overflow     string  `json:"overflow"`
	Key          string  `json:"key"`           // "": none
	BlockTimeout float64 `json:"block_timeout"` // seconds
}

// overflows are the overflow policies by their public names.
var overflows = map[string]queue.Overflow{
	"drop_oldest": queue.DropOldest,
	"drop_newest": queue.DropNewest,
	"latest":      queue.Latest,
	"block":       queue.Block,
	"disconnect":  queue.Disconnect,
}

func (o queueOptions) policy() (*queuePolicy, error) {
	overflow, known := overflows[o.Overflow]
	if !known {
		return nil, fault.New(fault.InvalidValue, "the queue's overflow policy %q is not one of drop_oldest, drop_newest, latest, block, disconnect", o.Overflow)
	}
	p := &queuePolicy{
		Policy:  queue.Policy{MaxResponses: o.MaxResponses, MaxBytes: o.MaxBytes, Overflow: overflow},
		name:    o.Overflow,
		timeout: time.Duration(o.BlockTimeout * float64(time.Second)),
	}
	p.unwaited = p.Policy
	if overflow == queue.Block {
		p.unwaited.Overflow = queue.DropNewest
		if p.timeout <= 0 {
			p.Policy = p.unwaited
		}
	}
	if o.BlockTimeout != 0 && overflow != queue.Block {
		return nil, fault.New(fault.InvalidValue, "the queue's block_timeout is for the overflow policy block, not for %s", o.Overflow)
	}
	if o.Key == "" {
		return p, nil
	}
	if overflow != queue.Latest {
		return nil, fault.New(fault.InvalidValue, "the queue's key is for the overflow policy latest, not for %s", o.Overflow)
	}
	var err error
	p.key, err = document.ParsePath(o.Key)
	return p, err
}

// keyOf is the key of an event's responses: equal for equal values, whatever the
// client selects. An absent value has a key, too.
func (p *queuePolicy) keyOf(data document.Value) string {
	if p.key.String() == "" {
		return ""
	}
	return string(document.AppendCanonical(nil, data.Lookup(p.key)))
}
