package redis

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

// TestAPanicLeavesNoAnswersBehind asks something, and does not read what is answered.
func TestAPanicLeavesNoAnswersBehind(t *testing.T) {
	target, err := parseURL(server.URL())
	must(t, err)
	l := link{target: target}
	defer l.close()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nobody hears of the panic")
			}
		}()
		_, _ = l.do(t.Context(), func(*redis.Client) error {
			l.wire.begin(answerPatience)
			l.wire.commands = appendArgument(appendCommand(l.wire.commands, "ECHO", 1), "old")
			l.wire.send()
			panic("before it is read")
		})
	}()
	_, err = l.do(t.Context(), func(client *redis.Client) error {
		l.wire.begin(answerPatience)
		l.wire.commands = appendArgument(appendCommand(l.wire.commands, "ECHO", 1), "new")
		l.wire.send()
		r := l.wire.answer()
		if got := string(r.text()); got != "new" {
			t.Errorf("the answer is %q", got)
		}
		return r.bad
	})
	must(t, err)
}
