package redis

import (
	"bytes"
	"fmt"
	"strconv"
)

// reply reads what the server answered, as it came: streams hold most of what the bus
// ever receives, and events are used where they lie in it.
// https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2)
type reply struct {
	rest []byte
	bad  error // the first thing that was wrong; nothing is read after it
}

// replyError is an error that the server answered. It implements redis.Error.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError implements redis.Error.
func (replyError) RedisError() {}

// line reads a line of a kind, without its kind and its end.
func (r *reply) line(kind byte) []byte {
	if r.bad != nil {
		return nil
	}
	end := bytes.IndexByte(r.rest, '\n')
	if end < 2 || r.rest[end-1] != '\r' {
		r.bad = fmt.Errorf("the server's answer ends within a line: %.40q", r.rest)
		return nil
	}
	line := r.rest[:end-1]
	r.rest = r.rest[end+1:]
	switch line[0] {
	case kind:
		return line[1:]
	case '-':
		r.bad = replyError(line[1:])
	default:
		r.bad = fmt.Errorf("the server answers %.40q where %q should be", line, kind)
	}
	return nil
}

// length reads how long something is, -1 for nothing.
func (r *reply) length(kind byte) int {
	line := r.line(kind)
	if r.bad != nil {
		return -1
	}
	n, err := strconv.ParseInt(string(line), 10, 32)
	if err != nil || n < -1 {
		r.bad = fmt.Errorf("the server answers with the length %.40q", line)
		return -1
	}
	return int(n)
}

// array reads how many elements follow.
func (r *reply) array() int { return r.length('*') }

// text reads a text, which shares the reply's memory.
func (r *reply) text() []byte {
	n := r.length('$')
	if n < 0 {
		if r.bad == nil {
			r.bad = fmt.Errorf("the server answers nothing where a text should be")
		}
		return nil
	}
	if len(r.rest) < n+2 || r.rest[n] != '\r' || r.rest[n+1] != '\n' {
		r.bad = fmt.Errorf("the server's answer ends within a text of %d bytes", n)
		return nil
	}
	text := r.rest[:n:n]
	r.rest = r.rest[n+2:]
	return text
}

// pair checks that two elements follow.
func (r *reply) pair() {
	if n := r.array(); n != 2 && r.bad == nil {
		r.bad = fmt.Errorf("the server answers %d elements where two should be", n)
	}
}

// entries reads the entries of a stream.
func (r *reply) entries(of *stream, each func(entry)) (count int) {
	n := r.array()
	for range n {
		r.pair()
		id := r.text()
		fields := fieldsOf(r)
		if r.bad != nil {
			return count
		}
		e, err := parseEntry(of, id, fields)
		if err != nil {
			r.bad = err
			return count
		}
		each(e)
		count++
	}
	return count
}

// fields are names and values in turn.
type fields [][]byte

func fieldsOf(r *reply) (found fields) {
	n := r.array()
	if n > 0 && n%2 == 0 {
		found = make(fields, 0, min(n, 16))
	}
	for range n {
		found = append(found, r.text())
		if r.bad != nil {
			return nil
		}
	}
	if len(found)%2 != 0 {
		r.bad = fmt.Errorf("the server answers a field without a value")
	}
	return found
}

// get is the value of a field.
func (f fields) get(name string) ([]byte, bool) {
	for i := 0; i+1 < len(f); i += 2 {
		if string(f[i]) == name {
			return f[i+1], true
		}
	}
	return nil, false
}
