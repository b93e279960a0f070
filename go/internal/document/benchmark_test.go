package document

import (
	"testing"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/ast"
)

// event200 is an event's data of 200 bytes, the size that the targets name.
const event200 = `{"id":123456,"status":"shipped","amount":1234.56,"tenant_id":"acme","user_id":42,"order":{"items":[{"sku":"A-1","qty":3}],"paid":true},"note":"caf\u00e9 \n","tags":["new","eu"],"by":null,"at":17000001}`

func BenchmarkParse(b *testing.B) {
	text := []byte(event200)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var d Document
	for b.Loop() {
		if err := d.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseIntoNewDocument(b *testing.B) {
	text := []byte(event200)
	b.ReportAllocs()
	for b.Loop() {
		if !Valid(text) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkSonicValid(b *testing.B) {
	text := []byte(event200)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if !sonic.Valid(text) {
			b.Fatal("refused")
		}
	}
}

// BenchmarkSonicTree is what sonic does for reads of any path: it loads the
// whole tree.
func BenchmarkSonicTree(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		root, err := sonic.GetFromString(event200)
		if err == nil {
			err = root.LoadAll()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	root := parse(b, event200)
	path, _ := ParsePath("order.items.0.sku")
	b.ReportAllocs()
	for b.Loop() {
		if !root.Lookup(path).EqualText("A-1") {
			b.Fatal("not found")
		}
	}
}

func BenchmarkSonicSearcher(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		searcher := ast.NewSearcher(event200)
		if _, err := searcher.GetByPath("order", "items", 0, "sku"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompareNumbers(b *testing.B) {
	for _, pair := range [][2]string{{"123456", "123457"}, {"1234.56", "1234.5"}, {"5", "5.0"}} {
		x, y := parse(b, pair[0]), parse(b, pair[1])
		b.Run(pair[0]+" "+pair[1], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = CompareNumbers(x, y)
			}
		})
	}
}
