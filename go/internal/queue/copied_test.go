package queue

import (
	"bytes"
	"testing"
	"unsafe"
)

func TestACopyIsOfItsOwnBytesAndShortOnesAreOneAllocation(t *testing.T) {
	for _, size := range []int{0, 1, 80, 81, 128, 129, 208, 209, 304, 305, 464, 465, 5000} {
		payload := bytes.Repeat([]byte("x"), size)
		response := Copied(payload)
		clear(payload)
		got := response.Payload()
		if !bytes.Equal(got, bytes.Repeat([]byte("x"), size)) || response.isPending() {
			t.Fatalf("%d bytes were copied as %q", size, got)
		}
		if cap(got) != len(got) && size <= 464 {
			t.Errorf("%d bytes: an append could write beyond them", size)
		}
		want := 1.0
		if size > 464 {
			want = 2
		}
		if n := testing.AllocsPerRun(100, func() { response = Copied(payload) }); n != want {
			t.Errorf("%d bytes: %v allocations, want %v", size, n, want)
		}
	}
}

func TestACopyWithItsResponseFillsASizeClass(t *testing.T) {
	if size := unsafe.Sizeof(Response{}); size != 48 {
		t.Errorf("a response has %d bytes: Copied was sized for 48", size)
	}
}
