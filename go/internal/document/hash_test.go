package document

import (
	"hash/maphash"
	"testing"
)

// equalTexts are groups of texts that stand for one value.
var equalTexts = [][]string{
	{`5`, `5.0`, `50e-1`, `0.5E+1`, `5.000`},
	{`0`, `-0`, `0.0`, `0e9`, `-0.0e-5`},
	{`-120`, `-1.2e2`, `-120.00`, `-0.12e3`},
	{`9007199254740993`, `9007199254740993.0`, `9007199254740.993e3`},
	{`1e2000000000000000000`, `1e1000000000000000000`},
	{`"aé"`, `"\u0061\u00e9"`, `"a\u00E9"`},
	{`"😀/"`, `"\ud83d\ude00\/"`},
	{`{"a":1,"b":2}`, `{"b":2,"a":1.0}`, `{"b":0,"a":1,"b":2}`},
	{`[1,"a"]`, `[1.0,"\u0061"]`},
	{`null`},
	{`true`},
	{`false`},
	{`"5"`},
	{`-5`},
	{`0.05`},
	{`500`},
	{`51`},
	{`"a"`},
}

func TestEqualValuesShareAHashAndOthersRarelyDo(t *testing.T) {
	seed := maphash.MakeSeed()
	seen := map[uint64]string{}
	for _, group := range equalTexts {
		hash := parse(t, group[0]).Hash(seed)
		if other, taken := seen[hash]; taken {
			t.Errorf("%s has the hash of %s", group[0], other)
		}
		seen[hash] = group[0]
		for _, text := range group[1:] {
			if got := parse(t, text).Hash(seed); got != hash {
				t.Errorf("%s and %s are equal and their hashes %d and %d", group[0], text, hash, got)
			}
		}
	}
	if text := parse(t, `"aé"`); text.HashText(seed) != maphash.String(seed, "aé") || parse(t, `5`).HashText(seed) != 0 {
		t.Error("a string's hash is not its text's")
	}
}

func TestHashingAllocatesNothing(t *testing.T) {
	seed := maphash.MakeSeed()
	for _, text := range []string{`"plain"`, `"esc\u0061ped"`, `12.50`, `120`, `{"a":1}`} {
		v := parse(t, text)
		if n := testing.AllocsPerRun(100, func() { v.Hash(seed) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func FuzzEqualValuesShareAHash(f *testing.F) {
	for i, group := range equalTexts {
		for _, text := range group {
			f.Add([]byte(text), []byte(equalTexts[(i+1)%len(equalTexts)][0]))
			f.Add([]byte(text), []byte(group[0]))
		}
	}
	seed := maphash.MakeSeed()
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var first, second Document
		if first.Parse(a) != nil || second.Parse(b) != nil {
			return
		}
		if Equal(first.Root(), second.Root()) && first.Root().Hash(seed) != second.Root().Hash(seed) {
			t.Errorf("%s and %s are equal and their hashes are not", a, b)
		}
	})
}
