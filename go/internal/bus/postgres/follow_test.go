package postgres

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
)

func TestPatternsAreFollowedAsOftenAsTheyWereCounted(t *testing.T) {
	var f followed
	check := func(want string) {
		t.Helper()
		got := ""
		for _, name := range []string{"a", "a.x", "a.y", "b"} {
			for range 2 { // the second answer is remembered
				if f.has(name) {
					got += name + " "
				}
			}
		}
		if got != want {
			t.Errorf("followed are %q, want %q", got, want)
		}
	}
	one, wild := bustest.Patterns(t, "a", "a.x"), bustest.Patterns(t, "a.*", "a.*")
	check("")
	if f.any() || f.join(one) {
		t.Error("something is followed")
	}
	first := 0
	f.begin(one, func() { first++ })
	check("a a a.x a.x ")
	f.begin(wild, func() { first++ })
	check("a a a.x a.x a.y a.y ")
	if first != 1 || !f.any() || !f.join(bustest.Patterns(t, "b")) {
		t.Errorf("%d were the first", first)
	}
	f.remove(wild[:1])
	check("a a a.x a.x a.y a.y b b ")
	f.remove(wild[:1])
	check("a a a.x a.x b b ")
	f.remove(one)
	f.unlessSome(func() { t.Error("nothing is followed") })
	f.remove(bustest.Patterns(t, "b"))
	check("")
	idle := false
	if f.unlessSome(func() { idle = true }); !idle || f.any() {
		t.Error("something is left")
	}
}

func TestAnswersAboutChannelsAreNotKeptForEver(t *testing.T) {
	var f followed
	f.begin(bustest.Patterns(t, "a.*"), func() {})
	for i := range 2*maxVerdicts + 1 {
		if !f.has(fmt.Sprint("a.", i)) || f.has(fmt.Sprint("b.", i)) {
			t.Fatalf("channel %d is taken for another", i)
		}
	}
	if len(f.verdicts) > maxVerdicts {
		t.Errorf("%d answers are kept", len(f.verdicts))
	}
}
