package redis

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
)

// inspected is how a stream is.
type inspected struct {
	exists  bool
	newest  streamID // that it has ever had
	first   streamID // that it has now; zero: none
	gone    int64    // entries
	deleted streamID // the greatest of those deleted singly
	has     bool     // the entry that was asked for
	floor   uint64   // the time after which nothing was written that is gone
}

// question is a stream to be inspected.
type question struct {
	key, channel string
	id           streamID // zero: none
}

// pageOfStreams is how many streams are inspected by one script: the server does nothing
// else meanwhile.
const pageOfStreams = 500

// inspect asks how streams are. clock is the server's time.
func (s *Server) inspect(ctx context.Context, client redis.Cmdable, questions []question) (answers []inspected, clock uint64, err error) {
	for {
		page := questions[:min(len(questions), pageOfStreams)]
		questions = questions[len(page):]
		c := call{}
		c.key(floorsKey)
		for _, one := range page {
			c.key(one.key)
			c.argument(one.channel, one.id.String())
		}
		answer, err := c.run(ctx, client, inspectScript).Slice()
		if err != nil {
			return nil, 0, err
		}
		some, now, err := parseInspected(answer, len(page))
		if err != nil {
			return nil, 0, err
		}
		answers, clock = append(answers, some...), now
		if len(questions) == 0 {
			return answers, clock, nil
		}
	}
}

func parseInspected(answer []any, count int) (answers []inspected, clock uint64, err error) {
	const width = 7
	wrong := fmt.Errorf("the server answers %v about %d streams", answer, count)
	if len(answer) != 1+width*count {
		return nil, 0, wrong
	}
	now, ok := answer[0].(int64)
	if !ok {
		return nil, 0, wrong
	}
	for part := answer[1:]; len(part) > 0; part = part[width:] {
		var one inspected
		for i, field := range part[:width] {
			text, isText := field.(string)
			number, isNumber := field.(int64)
			ok := isNumber
			switch i {
			case 0:
				one.exists = number == 1
			case 1:
				one.newest, ok = parseID([]byte(text))
			case 2:
				one.first, ok = parseID([]byte(text))
			case 3:
				one.gone = number
			case 4:
				one.deleted, ok = parseID([]byte(text))
			case 5:
				one.has = number == 1
			case 6:
				if one.floor = uint64(number); number < 0 {
					one.floor = math.MaxUint64
				}
			}
			if !ok || isText == isNumber {
				return nil, 0, wrong
			}
		}
		answers = append(answers, one)
	}
	return answers, uint64(now), nil
}

// resume goes on where the reader was when the connection was lost. It looks whether
// Redis still has what was read, and what this node has published: where the newest of a
// stream is gone before its time, Redis has lost it, and a new epoch says so.
func (s *Server) resume(ctx context.Context, client *redis.Client) error {
	t := s.reading.tail
	var missing []string
	named, wild := s.interests.patterns()
	for _, p := range named {
		if t.follows(p.String()) == nil {
			missing = append(missing, p.String())
		}
	}
	w, err := s.wakeUp(ctx, client, s.calls.wakes, missing, true)
	if err != nil {
		return err
	}
	questions, followed := s.questions()
	answers, clock, err := s.inspect(ctx, client, questions)
	if err != nil {
		return err
	}
	lost := w.epoch == ""
	if s.reading.told {
		questions = nil
	}
	oldest := clock - min(clock, uint64(s.options.Retention.Milliseconds()))
	for i, one := range questions {
		lost = lost || answers[i].lacks(one.id, oldest)
	}
	epoch := w.epoch
	if lost && (epoch == t.epoch || epoch == "") {
		if epoch, err = s.renew(ctx, client, epoch, true); err != nil {
			return err
		}
	}
	names, err := s.used(ctx, client, wild, int64(t.at.ms)-s.options.horizon().Milliseconds())
	if err != nil {
		return err
	}
	// From here on nothing fails.
	for i, one := range followed {
		if newest := answers[i].newest; newest.compare(one.last) < 0 && (one.known != streamID{} || one.channel == "") {
			one.moveTo(newest)
			one.added = -1
		}
		t.suspect(one)
		if lost || s.reading.told {
			one.known = streamID{}
		}
	}
	for _, name := range names {
		t.follow(name, before(t.at.ms))
	}
	t.epoch = epoch
	if s.reading.told {
		s.outgoing.written.forget()
	}
	if lost {
		s.declareLost(epoch)
		s.outgoing.written.forget()
		s.reading.ready = append(s.reading.ready, remote.Item{Mark: s.reading.mark(), Lost: true})
	}
	return nil
}

// lacks reports whether an entry that was there is gone before its time, and not by the
// engine's own trimming.
func (i inspected) lacks(id streamID, oldest uint64) bool {
	trimmed := i.floor != math.MaxUint64 && id.ms <= i.floor && i.newest.compare(id) >= 0
	return !id.isZero() && id.ms > oldest && !i.has && !trimmed
}

// questions are of every stream that is followed, and then of those that this node has
// published on.
func (s *Server) questions() (questions []question, followed []*stream) {
	for _, one := range s.reading.tail.byKey {
		known := one.known
		if strings.HasPrefix(one.key, wakePrefix) {
			known = streamID{} // nobody misses it
		}
		questions = append(questions, question{one.key, one.channel, known})
		followed = append(followed, one)
	}
	for channel, id := range s.outgoing.written.newest() {
		questions = append(questions, question{streamPrefix + channel, channel, id})
	}
	return questions, followed
}
