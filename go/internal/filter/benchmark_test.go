package filter

import "testing"

// event200 is an event's data of 200 bytes, the size that the targets name.
const event200 = `{"id":123456,"status":"shipped","amount":1234.56,"tenant_id":"acme","user_id":42,"order":{"items":[{"sku":"A-1","qty":3}],"paid":true},"note":"caf\u00e9 \n","tags":["new","eu"],"by":null,"at":17000001}`

func BenchmarkMatch(b *testing.B) {
	event := root(b, event200)
	for _, benchmark := range []struct{ name, filter string }{
		{"equals", `{"status":"shipped"}`},
		{"equals a number", `{"user_id":42}`},
		{"range", `{"amount":{"gte":1000,"lt":2000.5}}`},
		{"nested path", `{"order.items.0.sku":"A-1"}`},
		{"in 100", `{"user_id":{"in":[` + hundred + `]}}`},
		{"contains", `{"note":{"contains":"fé"}}`},
		{"three conditions", `{"status":"shipped","amount":{"gt":1000},"any":[{"order.paid":false},{"tags":{"contains":"eu"}}]}`},
	} {
		f := compiled(b, benchmark.filter)
		b.Run(benchmark.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !f.Match(event) {
					b.Fatal("no match")
				}
			}
		})
	}
}

const hundred = `1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,
51,52,53,54,55,56,57,58,59,60,61,62,63,64,65,66,67,68,69,70,71,72,73,74,75,76,77,78,79,80,81,82,83,84,85,86,87,88,89,90,91,92,93,94,95,96,97,98,99,100`

func BenchmarkCompile(b *testing.B) {
	text := []byte(`{"status":"shipped","amount":{"gt":1000},"any":[{"order.paid":false},{"tags":{"contains":"eu"}}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(text, 10); err != nil {
			b.Fatal(err)
		}
	}
}
