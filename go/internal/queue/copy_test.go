package queue

import (
	"bytes"
	"flag"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	update = flag.Bool("update", false, "write interleave/copied_test.go anew")

	copied  = filepath.Join("interleave", "copied_test.go")
	sources = []string{"response.go", "overflow.go", "segment.go", "queue.go", "bound.go", "latest.go", "block.go", "settle.go", "finish.go", "readylist.go", "chain.go"}
	prelude = regexp.MustCompile(`(?s)^.*?\npackage queue\n|^package queue\n`)
	imports = regexp.MustCompile(`(?m)^import (\((?s:.*?)\n\)|".*")\n`)
	atomics = regexp.MustCompile(`\batomic\.([A-Z])`)
)

func TestTheCopyForInterleavingIsCurrent(t *testing.T) {
	var all bytes.Buffer
	all.WriteString("// Code generated from package queue by its TestTheCopyForInterleavingIsCurrent. DO NOT EDIT.\n\npackage interleave\n\nimport \"math\"\n")
	for _, name := range sources {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = prelude.ReplaceAll(source, nil)
		source = imports.ReplaceAll(source, nil)
		source = atomics.ReplaceAll(source, []byte("stepped$1"))
		all.WriteString("\n// From " + name + ".\n\n")
		all.Write(bytes.TrimSpace(source))
		all.WriteString("\n")
	}
	want, err := format.Source(all.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(copied, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(copied)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf(copied+" is not what package queue is now (%v): run this test with -update", err)
	}
}
