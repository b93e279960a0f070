package redis

import (
	"fmt"
	"net"
	"strconv"
	"time"
)

// wire is a connection itself, for what is asked all the time: commands are written and
// answers read where they lie, where a client library makes several objects of each.
// go-redis has made the connection and has nothing under way on it meanwhile.
type wire struct {
	conn     net.Conn
	commands []byte // what is to be sent
	unsent   error  // why that, or the beginning of it, could not be
	received []byte // memory for what is received
}

const (
	// leastRoom is what an answer gets at least to begin with.
	leastRoom = 16 << 10
	// maxUnsent is how much is written before it is sent: the server has begun with it while
	// the rest is written.
	maxUnsent = 64 << 10
	// maxIdle is how much memory is kept at most that is not needed.
	maxIdle = 1 << 20
)

// begin bounds how long what is sent next, and its answers, may take.
func (w *wire) begin(patience time.Duration) {
	w.commands = w.commands[:0]
	w.unsent = w.conn.SetDeadline(time.Now().Add(patience))
}

// send sends w.commands. Their answer tells what went wrong.
func (w *wire) send() {
	w.pass(w.commands)
	if w.commands = w.commands[:0]; cap(w.commands) > maxIdle {
		w.commands = nil
	}
}

// pass sends what has been written elsewhere, behind what has been sent.
func (w *wire) pass(commands []byte) {
	if w.unsent == nil {
		_, w.unsent = w.conn.Write(commands)
	}
}

// spill sends w.commands if they are many, and there is a connection.
func (w *wire) spill() {
	if len(w.commands) > maxUnsent && w.conn != nil {
		w.send()
	}
}

// answer is what answers all that was sent since begin. It is to be read to its end before
// anything else is sent, and then done.
func (w *wire) answer() reply {
	if w.received == nil {
		w.received = make([]byte, 0, leastRoom)
	}
	return reply{rest: w.received, from: w.conn, bad: w.unsent}
}

// done takes an answer's memory for the next one, unless something lies in it that is kept:
// then the next one gets as much to begin with.
func (w *wire) done(r *reply, kept bool) {
	room := max(leastRoom, r.received+r.received/4)
	if kept || room > cap(w.received) || cap(w.received) > maxIdle && cap(w.received) > 4*room {
		w.received = make([]byte, 0, room)
	}
}

// appendCommand appends a command: its name and what else it is given in so many
// arguments, to be appended next. https://redis.io/docs/latest/develop/reference/protocol-spec/
func appendCommand(dst []byte, name string, arguments int) []byte {
	dst = strconv.AppendInt(append(dst, '*'), int64(1+arguments), 10)
	return appendArgument(append(dst, '\r', '\n'), name)
}

func appendArgument[text string | []byte](dst []byte, argument text) []byte {
	dst = strconv.AppendInt(append(dst, '$'), int64(len(argument)), 10)
	dst = append(dst, '\r', '\n')
	dst = append(dst, argument...)
	return append(dst, '\r', '\n')
}

// appendScript appends a script with so many keys and other arguments, to be appended next.
func appendScript(dst []byte, script string, keys, arguments int) []byte {
	dst = appendArgument(appendCommand(dst, "EVAL", 2+keys+arguments), script)
	return appendArgument(dst, strconv.Itoa(keys))
}

// appendTo appends a script to what is sent.
func (c *call) appendTo(dst []byte, script string) []byte {
	dst = appendScript(dst, script, len(c.keys), len(c.arguments))
	for _, key := range c.keys {
		dst = appendArgument(dst, key)
	}
	for _, argument := range c.arguments {
		switch argument := argument.(type) {
		case string:
			dst = appendArgument(dst, argument)
		case []byte:
			dst = appendArgument(dst, argument)
		default:
			dst = appendArgument(dst, fmt.Sprint(argument))
		}
	}
	return dst
}
