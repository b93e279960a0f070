package queue

import "unsafe"

// Copied is Ready with a copy of payload, which the caller may use again. A
// short copy lies beside the response itself, so that both are one allocation.
func Copied(payload []byte) *Response {
	// With the response these fill size classes of the allocator.
	switch n := len(payload); {
	case n <= 80:
		return beside[[80]byte](payload)
	case n <= 128:
		return beside[[128]byte](payload)
	case n <= 208:
		return beside[[208]byte](payload)
	case n <= 304:
		return beside[[304]byte](payload)
	case n <= 464:
		return beside[[464]byte](payload)
	}
	return Ready(append([]byte(nil), payload...))
}

// beside copies payload into a room, an array of bytes that it fits into, beside its response.
func beside[Room any](payload []byte) *Response {
	one := new(struct {
		Response
		room Room
	})
	room := unsafe.Slice((*byte)(unsafe.Pointer(&one.room)), unsafe.Sizeof(one.room))
	n := copy(room, payload)
	one.payload = room[:n:n]
	return &one.Response
}
