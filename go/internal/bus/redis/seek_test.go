package redis

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// inDoubt has the answers to requests be lost, to attempts that were made when an id was the newest.
func inDoubt(after streamID, requests ...*remote.Request) []*remote.Request {
	for _, r := range requests {
		r.Err, r.Doubtful, r.Note, r.Positions = errors.New("not set"), true, after, nil
	}
	return requests
}

// entriesOf are the ids of a channel's entries, by those of their events.
func entriesOf(t *testing.T, client *redis.Client, channel string) (ids map[string]streamID, order []string) {
	t.Helper()
	ids = map[string]streamID{}
	for _, message := range client.XRange(t.Context(), streamPrefix+channel, "-", "+").Val() {
		text, _ := message.Values[dataField].(string)
		ev, err := event.Decode([]byte(text))
		if err != nil {
			continue // somebody else's
		}
		if _, twice := ids[ev.ID]; twice {
			t.Errorf("%s is there twice", ev.ID)
		}
		id, _ := parseID([]byte(message.ID))
		ids[ev.ID] = id
		order = append(order, ev.ID)
	}
	return ids, order
}

// checkAccepted looks whether each event of requests is in its stream, once and where its position says.
func checkAccepted(t *testing.T, client *redis.Client, requests ...*remote.Request) {
	t.Helper()
	for _, r := range requests {
		if must(t, r.Err); len(r.Positions) != len(r.Events) {
			t.Fatalf("%d positions of %d events", len(r.Positions), len(r.Events))
		}
		for i, ev := range r.Events {
			ids, _ := entriesOf(t, client, ev.Channel)
			c, err := cursorOf(r.Positions[i])
			must(t, err)
			seq, named := c.at.number(hashChannel(ev.Channel))
			if at := (streamID{c.at.ms, seq}); !named || at != ids[ev.ID] || at.isZero() {
				t.Errorf("%s is at %v, and said to be at %v (%v)", ev.ID, ids[ev.ID], at, named)
			}
		}
	}
}

// TestWhatIsTriedAgainIsAcceptedOnce tries requests again of which Redis has all, none or a part, with new ones and such
// with chosen ids among them.
func TestWhatIsTriedAgainIsAcceptedOnce(t *testing.T) {
	client := emptied(t)
	s := sender(t, server.URL())
	chosen := &remote.Request{Events: []*event.Event{bustest.NewEvent(t, "x", "a", "chosen"), bustest.NewEvent(t, "x", "a", "")}}
	there := []*remote.Request{asked(t, "a"), asked(t, "a", "b", "a"), chosen}
	s.Publish(t.Context(), there)
	part := asked(t, "a", "b", "a")
	addRaw(t.Context(), t, client, "b", "*", dataField, string(part.Events[1].AppendJSON(nil)))
	before := map[string]map[string]streamID{}
	for _, channel := range []string{"a", "b"} {
		before[channel], _ = entriesOf(t, client, channel)
	}
	missing := []*remote.Request{asked(t, "a"), asked(t, "b", "a"), {Events: []*event.Event{bustest.NewEvent(t, "x", "a", "second")}}}
	tried := inDoubt(streamID{ms: 1}, slices.Concat(there, []*remote.Request{part}, missing)...)
	tried = append(inDoubt(streamID{ms: math.MaxInt64}, asked(t, "a")), tried...) // another attempt has failed later
	requests := slices.Concat(tried, []*remote.Request{asked(t, "a"), asked(t, "b", "a")})
	from := executed(t, client, "eval")
	s.Publish(t.Context(), requests)
	// One looks into each stream, three requests have chosen ids or are there in part, and two are new, on two streams.
	if got := executed(t, client, "eval") - from; got != 2+3+2 {
		t.Errorf("%d scripts, want 7", got)
	}
	checkAccepted(t, client, requests...)
	for _, r := range requests {
		if slices.Contains(r.Repeated, true) {
			t.Errorf("%v is said to have come before, which its own attempt has brought", r.Events[0].ID)
		}
	}
	for channel, ids := range before {
		after, order := entriesOf(t, client, channel)
		for id, at := range ids {
			if after[id] != at {
				t.Errorf("%s was at %v and is at %v", id, at, after[id])
			}
		}
		var want []string
		for _, r := range requests {
			for _, ev := range r.Events {
				if _, old := ids[ev.ID]; ev.Channel == channel && !old {
					want = append(want, ev.ID)
				}
			}
		}
		if got := order[len(ids):]; !slices.Equal(got, want) {
			t.Errorf("%s: added are %v, want %v", channel, got, want)
		}
	}
}

// TestWhatIsThereIsFoundPageByPage has more entries than one call looks at, those of others among them.
func TestWhatIsThereIsFoundPageByPage(t *testing.T) {
	client := emptied(t)
	s := sender(t, server.URL())
	s.Publish(t.Context(), []*remote.Request{asked(t, "a"), asked(t, "b")}) // they are announced
	var requests []*remote.Request
	const others = mostSought / 100 * 31
	for i := range 5 {
		r := asked(t, "a")
		requests = append(requests, r)
		pipe := client.Pipeline()
		for n := range others - 1 {
			add(t.Context(), t, pipe, "a", "*", n)
		}
		values := []string{dataField, string(r.Events[0].AppendJSON(nil))}
		if i == 3 {
			values = slices.Concat([]string{"source", `{"id":"x",`, "data2", values[1]}, values)
		}
		addRaw(t.Context(), t, pipe, "a", "*", values...)
		_, err := pipe.Exec(t.Context())
		must(t, err)
	}
	addRaw(t.Context(), t, client, "a", "*", dataField, "no JSON", "other", string(asked(t, "a").Events[0].AppendJSON(nil)))
	addRaw(t.Context(), t, client, "a", "*", "text", `{"id":"`+requests[0].Events[0].ID+`",`)
	requests = append(requests, asked(t, "b"), asked(t, "a"))
	length := client.XLen(t.Context(), streamPrefix+"a").Val()
	from := executed(t, client, "eval")
	s.Publish(t.Context(), inDoubt(streamID{ms: 1}, requests...))
	checkAccepted(t, client, requests...)
	if got := client.XLen(t.Context(), streamPrefix+"a").Val(); got != length+1 {
		t.Errorf("%d entries, want %d", got, length+1)
	}
	// Two streams get half of the first round each; what is left of one of them takes two more.
	if got := executed(t, client, "eval") - from; got != 4 {
		t.Errorf("%d scripts, want 4", got)
	}
	from = executed(t, client, "eval")
	s.Publish(t.Context(), inDoubt(streamID{ms: 1}, requests[:2]...))
	checkAccepted(t, client, requests[:2]...)
	if got := executed(t, client, "eval") - from; got != 1 {
		t.Errorf("%d scripts where everything is found by the first, want 1", got)
	}
}

// TestAPassEndsWhereItsStreamEndedWhenItBegan reads the script's answers: others may add more than it looks at.
func TestAPassEndsWhereItsStreamEndedWhenItBegan(t *testing.T) {
	client := emptied(t)
	look := func(after, last string, entries int, heads ...string) []any {
		t.Helper()
		arguments := []any{after, last, entries}
		for _, one := range heads {
			arguments = append(arguments, one)
		}
		answer, err := client.Eval(t.Context(), seekScript, []string{streamPrefix + "a"}, arguments...).Slice()
		must(t, err)
		return answer
	}
	if got := fmt.Sprint(look("0-0", "+", 5, "x")); got != "[ ]" {
		t.Errorf("no stream: %s", got)
	}
	ids := []string{"1-1", "1-2", "2-0", "3-0", "3-1"}
	var heads []string
	for _, id := range ids {
		ev := asked(t, "a").Events[0]
		heads = append(heads, string(ev.AppendID(nil)))
		addRaw(t.Context(), t, client, "a", id, dataField, string(ev.AppendJSON(nil)))
	}
	for _, c := range []struct {
		after, last string
		entries     int
		want        string
	}{
		{"0-0", "+", 5, "[3-1 3-1 1 1-1 2 1-2 3 2-0 4 3-0 5 3-1]"},
		{"0-0", "+", 6, "[ 3-1 1 1-1 2 1-2 3 2-0 4 3-0 5 3-1]"},
		{"0-0", "+", 2, "[1-2 3-1 1 1-1 2 1-2]"},
		{"1-2", "3-0", 2, "[3-0 3-0 3 2-0 4 3-0]"},
		{"3-0", "3-0", 2, "[ 3-0]"},
		{"1-2", "3-0", 5, "[ 3-0 3 2-0 4 3-0]"},
	} {
		if got := fmt.Sprint(look(c.after, c.last, c.entries, heads...)); got != c.want {
			t.Errorf("%d behind %s to %s: %s, want %s", c.entries, c.after, c.last, got, c.want)
		}
	}
	if got := fmt.Sprint(look("0-0", "+", 6, heads[1], heads[0], heads[1])); got != "[ 3-1 2 1-1 1 1-2]" {
		t.Errorf("given twice: %s", got)
	}
}

// TestAnswersOfAPassThatCannotBe reads what no Redis answers.
func TestAnswersOfAPassThatCannotBe(t *testing.T) {
	for answer, good := range map[string]bool{
		"*4\r\n$0\r\n\r\n$3\r\n9-9\r\n:1\r\n$3\r\n1-1\r\n":    true,
		"*2\r\n$3\r\n1-1\r\n$3\r\n9-9\r\n":                    true,
		"*2\r\n$3\r\nxyz\r\n$3\r\n9-9\r\n":                    false,
		"*4\r\n$0\r\n\r\n$3\r\n9-9\r\n:0\r\n$3\r\n1-1\r\n":    false,
		"*4\r\n$0\r\n\r\n$3\r\n9-9\r\n:2\r\n$3\r\n1-1\r\n":    false,
		"*4\r\n$0\r\n\r\n$3\r\n9-9\r\n:1\r\n$3\r\nxyz\r\n":    false,
		"*3\r\n$0\r\n\r\n$3\r\n9-9\r\n:1\r\n":                 false,
		"*4\r\n$0\r\n\r\n$3\r\n9-9\r\n$1\r\n1\r\n$3\r\n1-1\r": false,
		"*0\r\n":  false,
		"$-1\r\n": false,
	} {
		s := &sought{channel: newChannelWritten("a"), events: []soughtEvent{{event: &sending{}}}}
		r := reply{rest: []byte(answer)}
		if s.read(&r); (r.bad == nil) != good {
			t.Errorf("%q: %v", answer, r.bad)
		}
	}
}

// TestWhatHasBeenTrimmedOrDeletedIsAcceptedAnew has lost what was accepted before.
func TestWhatHasBeenTrimmedOrDeletedIsAcceptedAnew(t *testing.T) {
	client := emptied(t)
	s := sender(t, server.URL())
	requests := []*remote.Request{asked(t, "trimmed"), asked(t, "trimmed"), asked(t, "deleted"), asked(t, "emptied")}
	s.Publish(t.Context(), requests)
	must(t, client.XTrimMaxLen(t.Context(), streamPrefix+"trimmed", 1).Err())
	must(t, client.XTrimMaxLen(t.Context(), streamPrefix+"emptied", 0).Err())
	must(t, client.Del(t.Context(), streamPrefix+"deleted").Err())
	s.Publish(t.Context(), inDoubt(streamID{ms: 1}, requests...))
	checkAccepted(t, client, requests...)
	for channel, want := range map[string]int64{"trimmed": 2, "deleted": 1, "emptied": 1} {
		if got := client.XLen(t.Context(), streamPrefix+channel).Val(); got != want {
			t.Errorf("%s has %d entries, want %d", channel, got, want)
		}
	}
}

// TestARefusalToLookIsItsRequestsAlone has Redis refuse to look into some of the streams.
func TestARefusalToLookIsItsRequestsAlone(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	user(t, client, "app", rights+" resetkeys ~fraiseql:channels* ~fraiseql:epoch ~fraiseql:floors ~fraiseql:events:a* ~fraiseql:events:wrong")
	s := sender(t, own.Login("app", "hunter2"))
	there := asked(t, "a")
	s.Publish(t.Context(), []*remote.Request{there})
	must(t, client.Set(t.Context(), streamPrefix+"wrong", "text", 0).Err())
	wrong := []*remote.Request{asked(t, "wrong"), asked(t, "a", "wrong")}
	forbidden := []*remote.Request{asked(t, "forbidden"), asked(t, "forbidden", "a")}
	good := []*remote.Request{there, asked(t, "a", "a2"), asked(t, "a3")}
	inDoubt(streamID{ms: 1}, slices.Concat(wrong, forbidden, good[:2])...)
	s.Publish(t.Context(), []*remote.Request{wrong[0], good[0], forbidden[0], wrong[1], good[1], forbidden[1], good[2]})
	checkAccepted(t, client, good...)
	for i, r := range wrong {
		if fault.CodeOf(r.Err) != fault.BusError || !strings.Contains(r.Err.Error(), `wrong type`) || !strings.Contains(r.Err.Error(), streamPrefix+"wrong") {
			t.Errorf("request %d of the wrong type: %v", i, r.Err)
		}
	}
	for i, r := range forbidden {
		if fault.CodeOf(r.Err) != fault.BusError || !strings.Contains(r.Err.Error(), "lacks rights") || !strings.Contains(r.Err.Error(), streamPrefix+"forbidden") {
			t.Errorf("request %d that is not permitted: %v", i, r.Err)
		}
	}
	if got := client.XLen(t.Context(), streamPrefix+"a").Val(); got != 2 {
		t.Errorf("%d entries, want 2", got)
	}
}

// TestWhoMayNotLookAddsNothingTwice has a user who may add to streams and not read them.
func TestWhoMayNotLookAddsNothingTwice(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	user(t, client, "app", rights+" -xrange -xrevrange")
	s := sender(t, own.Login("app", "hunter2"))
	there, other := asked(t, "a"), asked(t, "a")
	s.Publish(t.Context(), []*remote.Request{there})
	must(t, there.Err)
	s.Publish(t.Context(), append(inDoubt(streamID{ms: 1}, there), other))
	if fault.CodeOf(there.Err) != fault.BusError || !strings.Contains(there.Err.Error(), streamPrefix+"a") {
		t.Errorf("%v, want BUS_ERROR that names the key", there.Err)
	}
	checkAccepted(t, client, other)
	if got := client.XLen(t.Context(), streamPrefix+"a").Val(); got != 2 {
		t.Errorf("%d entries, want 2", got)
	}
}

// answering has Redis answer so whoever looks for events, until called again.
func answering(t *testing.T, refusal string) (again func()) {
	script := seekScript
	seekScript = fmt.Sprintf("return redis.error_reply(%q)", refusal)
	again = func() { seekScript = script }
	t.Cleanup(again)
	return again
}

// TestWhatCannotBeLookedForNowIsNotOvertaken has Redis be busy with something else when it is to look.
func TestWhatCannotBeLookedForNowIsNotOvertaken(t *testing.T) {
	client := emptied(t)
	s := sender(t, server.URL())
	s.Publish(t.Context(), []*remote.Request{asked(t, "a")})
	first, second := asked(t, "a"), asked(t, "a", "b")
	requests := append(inDoubt(streamID{ms: 1}, first), second)
	again := answering(t, "BUSY Redis is busy running a script")
	s.Publish(t.Context(), requests)
	for i, r := range requests {
		if !r.IsOpen() || errors.Is(r.Err, remote.ErrDoubtful) || !strings.Contains(r.Err.Error(), "BUSY") {
			t.Errorf("request %d: %v", i, r.Err)
		}
	}
	again()
	s.Publish(t.Context(), requests)
	checkAccepted(t, client, requests...)
	if got := client.ZCard(t.Context(), usedKey).Val(); got != 2 {
		t.Errorf("%d channels are announced, want 2", got)
	}
	if _, order := entriesOf(t, client, "a"); !slices.Equal(order[1:], []string{first.Events[0].ID, second.Events[0].ID}) {
		t.Errorf("in the order %v", order)
	}
}

// TestALinkThatBreaksWhileEventsAreLookedForPutsNothingInDoubt tries requests again over a link that has been cut.
func TestALinkThatBreaksWhileEventsAreLookedForPutsNothingInDoubt(t *testing.T) {
	client := emptied(t)
	proxy := through(t, server)
	s := sender(t, proxy.URL())
	there := asked(t, "a")
	s.Publish(t.Context(), []*remote.Request{there})
	must(t, there.Err)
	note := streamID{ms: 1}
	requests := append(inDoubt(note, there, asked(t, "a")), asked(t, "a"))
	proxy.Cut()
	s.Publish(t.Context(), requests)
	for i, r := range requests {
		if !r.IsOpen() || errors.Is(r.Err, remote.ErrDoubtful) || i < 2 && r.Note != note || i == 2 && r.Note != nil {
			t.Errorf("request %d: %v, note %v", i, r.Err, r.Note)
		}
	}
	if s.outgoing.doubt != nil {
		t.Error("the connection is in doubt, though nothing was sent over it")
	}
	s.Publish(t.Context(), requests)
	checkAccepted(t, client, requests...)
}

// TestWhatIsSentAnewMayBeLostAnew has a link break behind the answer that an event is not there, while that is sent.
func TestWhatIsSentAnewMayBeLostAnew(t *testing.T) {
	client := emptied(t)
	proxy := through(t, server)
	s := sender(t, proxy.URL())
	long, err := event.New("plain", "a", []byte(`{"text":"`+strings.Repeat("x", 100_000)+`"}`), "", "")
	must(t, err)
	note := streamID{ms: 1}
	requests := inDoubt(note, &remote.Request{Events: []*event.Event{long}}, asked(t, "a"))
	asking := true
	proxy.Break(func() int {
		if asking = !asking; asking {
			return math.MaxInt
		}
		return 20_000
	})
	s.Publish(t.Context(), requests)
	for i, r := range requests {
		if !errors.Is(r.Err, remote.ErrDoubtful) || r.Note != note {
			t.Errorf("request %d: %v, note %v", i, r.Err, r.Note)
		}
	}
	if s.outgoing.doubt == nil {
		t.Error("the connection is not in doubt")
	}
	proxy.Break(nil)
	s.Publish(t.Context(), requests)
	checkAccepted(t, client, requests...)
}

// TestACrowdThatIsTriedAgainReachesTheReader has it be sent as any other, if nothing of it was there.
func TestACrowdThatIsTriedAgainReachesTheReader(t *testing.T) {
	for name, there := range map[string]int{"none is there": 0, "some are": 5} {
		t.Run(name, func(t *testing.T) {
			client := emptied(t)
			s := readerOf(t, Options{URL: server.URL()}, "a", "b")
			requests := crowdOn(t, "a", "b")
			s.Publish(t.Context(), requests[:there])
			before := executed(t, client, "xread")
			s.Publish(t.Context(), inDoubt(streamID{ms: 1}, requests...))
			checkAccepted(t, client, requests...)
			if flew := executed(t, client, "xread")-before == 1; flew != (there == 0) {
				t.Errorf("its transaction reads for the reader: %v", flew)
			}
			got := idsOf(read(t, s, len(requests)))
			if !slices.Equal(got, eventsOf(requests)) {
				t.Error("not in their order, or not each once")
			}
		})
	}
}

// TestAnEventInDoubtIsPublishedAgainTwiceAtOnce looks for one event for two requests.
func TestAnEventInDoubtIsPublishedAgainTwiceAtOnce(t *testing.T) {
	for name, accepted := range map[string]bool{"it is there": true, "it is not": false} {
		t.Run(name, func(t *testing.T) {
			client := emptied(t)
			s := sender(t, server.URL())
			first := asked(t, "a")
			if accepted {
				s.Publish(t.Context(), []*remote.Request{first})
			}
			s.outgoing.doubts.note(first.Events[0], streamID{ms: 1})
			var requests []*remote.Request
			for range 2 {
				requests = append(requests, &remote.Request{Events: []*event.Event{bustest.NewEvent(t, "again", "a", first.Events[0].ID)}})
			}
			s.Publish(t.Context(), requests)
			checkAccepted(t, client, requests...)
			for i, r := range requests {
				if before := r.Repeated != nil && r.Repeated[0]; before != (accepted || i == 1) {
					t.Errorf("request %d: accepted before it %v", i, before)
				}
			}
		})
	}
}
