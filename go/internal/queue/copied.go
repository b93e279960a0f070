package queue

// Copied is Ready with a copy of payload, which the caller may use again. A
// short copy lies beside the response itself, so that both are one allocation.
func Copied(payload []byte) *Response {
	// With the response these fill the allocator's size classes 128, 256 and 512.
	switch n := len(payload); {
	case n <= 80:
		one := &struct {
			Response
			bytes [80]byte
		}{}
		return one.hold(append(one.bytes[:0], payload...))
	case n <= 208:
		one := &struct {
			Response
			bytes [208]byte
		}{}
		return one.hold(append(one.bytes[:0], payload...))
	case n <= 464:
		one := &struct {
			Response
			bytes [464]byte
		}{}
		return one.hold(append(one.bytes[:0], payload...))
	}
	return Ready(append([]byte(nil), payload...))
}

func (r *Response) hold(payload []byte) *Response {
	r.payload = payload[:len(payload):len(payload)]
	return r
}
