package event

import (
	"testing"
	"time"
)

// data200 is an event's data of 200 bytes, the size that the targets name.
const data200 = `{"id":123456,"status":"shipped","amount":1234.56,"tenant_id":"acme","user_id":42,"order":{"items":[{"sku":"A-1","qty":3}],"paid":true},"note":"caf\u00e9 \n","tags":["new","eu"],"by":null,"at":17000001}`

func BenchmarkID(b *testing.B) {
	var room [idBytes]byte
	b.ReportAllocs()
	for b.Loop() {
		appendID(room[:0], time.Now())
	}
}

func BenchmarkIDParallel(b *testing.B) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var room [idBytes]byte
		for pb.Next() {
			appendID(room[:0], time.Now())
		}
	})
}

func BenchmarkNew(b *testing.B) {
	data := []byte(data200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New("orderUpdated", "orders:tenant-5", data, "", ""); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMake is an event from the memory of one before.
func BenchmarkMake(b *testing.B) {
	data := []byte(data200)
	b.ReportAllocs()
	for b.Loop() {
		e, err := Make(time.Now(), "orderUpdated", "orders:tenant-5", data, "", "")
		if err != nil {
			b.Fatal(err)
		}
		e.Release()
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	e, err := New("orderUpdated", "orders:tenant-5", []byte(data200), "", "")
	if err != nil {
		b.Fatal(err)
	}
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		buffer = e.AppendJSON(buffer[:0])
	}
}

func BenchmarkDecode(b *testing.B) {
	e, err := New("orderUpdated", "orders:tenant-5", []byte(data200), "", "")
	if err != nil {
		b.Fatal(err)
	}
	text := e.AppendJSON(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParsePosition(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePosition("0198c0de7ab1:123456"); err != nil {
			b.Fatal(err)
		}
	}
}
