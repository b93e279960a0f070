package redis

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strconv"
)

// reply reads what the server answered, as it came: streams hold most of what the bus
// ever receives, and events are used where they lie in it.
// https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2)
type reply struct {
	rest     []byte    // received, and not read yet
	from     io.Reader // more of it; nil for none
	received int       // bytes from there
	bad      error     // the first thing that was wrong; nothing is read after it
	fields   fields    // memory
}

// replyError is an error that the server answered. It implements redis.Error.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError implements redis.Error.
func (replyError) RedisError() {}

// fill receives until there are so many bytes to be read, and reports whether there are.
func (r *reply) fill(count int) bool {
	for len(r.rest) < count && r.from != nil && r.bad == nil {
		if len(r.rest) == cap(r.rest) { // what was read stays where it is
			r.rest = append(make([]byte, 0, max(count+count/4, leastRoom)), r.rest...)
		}
		n, err := r.from.Read(r.rest[len(r.rest):cap(r.rest)])
		r.rest = r.rest[:len(r.rest)+n]
		r.received += n
		if n == 0 {
			r.bad = cmp.Or(err, io.ErrNoProgress)
		}
	}
	return len(r.rest) >= count
}

// maxLine bounds a line; what is long comes as a text.
const maxLine = 64 << 10

// line reads a line of a kind, without its kind and its end.
func (r *reply) line(kind byte) []byte {
	if r.bad != nil {
		return nil
	}
	end := bytes.IndexByte(r.rest, '\n')
	for seen := len(r.rest); end < 0 && seen < maxLine && r.fill(seen+1); seen = len(r.rest) {
		end = bytes.IndexByte(r.rest, '\n')
	}
	if end < 2 || r.rest[end-1] != '\r' {
		r.bad = cmp.Or(r.bad, fmt.Errorf("the server's answer ends within a line: %.40q", r.rest))
		return nil
	}
	line := r.rest[:end-1]
	r.rest = r.rest[end+1:]
	if line[0] != kind { // an error too, where refusal did not expect one: how much follows is not known
		r.bad = fmt.Errorf("the server answers %.40q where %q should be", line, kind)
		return nil
	}
	return line[1:]
}

// length reads how long something is, -1 for nothing.
func (r *reply) length(kind byte) int {
	if n, size := shortLength(r.rest, kind); size > 0 && r.bad == nil {
		r.rest = r.rest[size:]
		return n
	}
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

// shortLength is the usual line with a length: a few digits, all of them there. Each entry has five
// of them. size is the line's, 0 if it is another one.
func shortLength(text []byte, kind byte) (n, size int) {
	const digits = 8
	if len(text) <= digits || text[0] != kind {
		return 0, 0
	}
	for i, c := range text[1:digits] {
		switch {
		case '0' <= c && c <= '9':
			n = n*10 + int(c-'0')
		case c == '\r' && i > 0 && text[i+2] == '\n':
			return n, i + 3
		default:
			return 0, 0
		}
	}
	return 0, 0
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
	return r.bytes(n)
}

// optional is like text, and nil for nothing.
func (r *reply) optional() []byte {
	n := r.length('$')
	if n < 0 {
		return nil
	}
	return r.bytes(n)
}

// bytes reads the bytes of a text.
func (r *reply) bytes(n int) []byte {
	if !r.fill(n+2) || r.rest[n] != '\r' || r.rest[n+1] != '\n' {
		r.bad = cmp.Or(r.bad, fmt.Errorf("the server's answer ends within a text of %d bytes", n))
		return nil
	}
	text := r.rest[:n:n]
	r.rest = r.rest[n+2:]
	return text
}

// id reads an entry's id.
func (r *reply) id() streamID {
	text := r.text()
	id, ok := parseID(text)
	if !ok && r.bad == nil {
		r.bad = fmt.Errorf("the server answers the id %.40q", text)
	}
	return id
}

// skip reads whatever comes next.
func (r *reply) skip() {
	if r.bad != nil || !r.fill(1) {
		r.bad = cmp.Or(r.bad, io.ErrUnexpectedEOF)
		return
	}
	switch kind := r.rest[0]; kind {
	case '*':
		for count := r.array(); count > 0 && r.bad == nil; count-- {
			r.skip()
		}
	case '$':
		r.optional()
	default:
		r.line(kind)
	}
}

// number reads a number.
func (r *reply) number() int64 {
	line := r.line(':')
	if r.bad != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(line), 10, 64)
	if err != nil {
		r.bad = fmt.Errorf("the server answers with the number %.40q", line)
	}
	return n
}

// refusal is the error that is answered next, if it is one: then it has been read.
func (r *reply) refusal() error {
	if r.bad != nil || !r.fill(1) || r.rest[0] != '-' {
		return nil
	}
	line := r.line('-')
	if r.bad != nil {
		return nil
	}
	return replyError(line)
}

// pair checks that two elements follow.
func (r *reply) pair() { r.counted(2) }

// counted checks that so many elements follow.
func (r *reply) counted(want int) bool {
	if n := r.array(); n != want && r.bad == nil {
		r.bad = fmt.Errorf("the server answers %d elements where %d should be", n, want)
	}
	return r.bad == nil
}

// fields are names and values in turn.
type fields [][]byte

// pairs reads fields, which are good until the next are read.
func (r *reply) pairs() fields {
	r.fields = r.fields[:0]
	for range r.array() {
		r.fields = append(r.fields, r.text())
		if r.bad != nil {
			return nil
		}
	}
	if len(r.fields)%2 != 0 {
		r.bad = fmt.Errorf("the server answers a field without a value")
	}
	return r.fields
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
