package redis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// packed is a parcel that waits for the end of a turn.
func packed(s *Server, before remote.Turn, requests []*remote.Request) *parcel {
	p := s.Turn(before).(*turn).parcel
	p.begin()
	p.load(requests)
	p.pack()
	return p
}

// deliver has a parcel answered whose turn has come.
func deliver(t *testing.T, s *Server, p *parcel) error {
	t.Helper()
	sent, err := s.outgoing.exchange(t.Context(), p)
	if !sent {
		t.Fatalf("it was not sent: %v", err)
	}
	s.outgoing.conclude(t.Context(), p, false, err)
	return err
}

// inTurn publishes some requests, while others wait until their turn comes.
func inTurn(t *testing.T, s *Server, first, second []*remote.Request) {
	t.Helper()
	before := s.Turn(nil)
	after := s.Turn(before)
	var group sync.WaitGroup
	group.Go(func() { after.Publish(t.Context(), second) })
	eventually(t, "the second ones to be packed", func() bool { return s.outgoing.packed.Load() != nil })
	before.Publish(t.Context(), first)
	group.Wait()
}

func eventsOf(requests []*remote.Request) (ids []string) {
	for _, r := range requests {
		for _, ev := range r.Events {
			ids = append(ids, ev.ID)
		}
	}
	return ids
}

func idsOf(items []remote.Item) (ids []string) {
	for _, one := range items {
		ids = append(ids, one.Event.ID)
	}
	return ids
}

// TestWhatWaitsForItsTurnIsSentWhenItComes has one crowd sent when the answers to another one have been read, by whoever has
// read them.
func TestWhatWaitsForItsTurnIsSentWhenItComes(t *testing.T) {
	client := emptied(t)
	s := readerOf(t, Options{URL: server.URL()}, "a", "b")
	first, second := crowdOn(t, "a", "b"), append(crowdOn(t, "b", "a"), asked(t, "a", "b"))
	before := executed(t, client, "xread")
	turn := s.Turn(nil)
	p := packed(s, turn, second)
	turn.Publish(t.Context(), first)
	if p.over == nil || p.flight == nil {
		t.Fatal("it has not been sent")
	}
	must(t, deliver(t, s, p))
	for _, r := range append(first, second...) {
		if r.Err != nil || len(r.Positions) != len(r.Events) {
			t.Errorf("%d positions of %d, %v", len(r.Positions), len(r.Events), r.Err)
		}
	}
	if got, want := idsOf(read(t, s, len(first)+len(second)+1)), append(eventsOf(first), eventsOf(second)...); !slices.Equal(got, want) {
		t.Error("not in their order")
	}
	if got := executed(t, client, "xread") - before; got != 2 {
		t.Errorf("%d XREADs, want one a crowd", got)
	}
}

// TestATurnIsOver takes turns that are used in every order in which they may be.
func TestATurnIsOver(t *testing.T) {
	client := emptied(t)
	s := sender(t, server.URL())
	one := s.Turn(nil)
	two := s.Turn(one)
	one.Leave() // nothing was published
	one.Leave()
	requests := crowdOn(t, "a")
	two.Publish(t.Context(), requests)
	two.Leave()
	three := s.Turn(two) // it has ended, and is not known to have
	more := crowdOn(t, "a")
	three.Publish(t.Context(), more)
	for _, r := range append(requests, more...) {
		must(t, r.Err)
	}
	if n := client.XLen(t.Context(), streamPrefix+"a").Val(); n != int64(len(requests)+len(more)) {
		t.Errorf("%d events", n)
	}
	if three.(*turn).parcel == two.(*turn).parcel {
		t.Error("positions are overwritten that may still be looked at")
	}
}

// TestATurnThatIsLeftIsOverBehindTheOneBefore leaves a turn that has not come.
func TestATurnThatIsLeftIsOverBehindTheOneBefore(t *testing.T) {
	s := sender(t, "redis://127.0.0.1:1")
	one := s.Turn(nil)
	two := s.Turn(one)
	left := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		close(left)
		two.Leave()
		select {
		case <-one.(*turn).ended:
		default:
			t.Error("it is over before the other one")
		}
	})
	<-left
	one.Leave()
	group.Wait()
}

// TestNothingOvertakesWhatIsTriedAgain has Redis refuse for a while what is published first.
func TestNothingOvertakesWhatIsTriedAgain(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	s := readerOf(t, Options{URL: own.URL()}, "a", "b")
	must(t, client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err())
	first, second := crowdOn(t, "a"), crowdOn(t, "a", "b")
	inTurn(t, s, first, second)
	for i, r := range append(slices.Clone(first), second...) {
		if !r.IsOpen() || i >= len(first) && !errors.Is(r.Err, remote.ErrBusy) {
			t.Fatalf("request %d: %v", i, r.Err)
		}
	}
	must(t, client.ConfigSet(t.Context(), "min-replicas-to-write", "0").Err())
	if n := client.Exists(t.Context(), streamPrefix+"a", streamPrefix+"b").Val(); n != 0 {
		t.Fatal("something was accepted")
	}
	inTurn(t, s, first, second)
	for _, r := range append(slices.Clone(first), second...) {
		must(t, r.Err)
	}
	newest := map[string]string{}
	for _, one := range read(t, s, len(first)+len(second)) {
		if one.Event.ID <= newest[one.Event.Channel] {
			t.Fatal("not in their order")
		}
		newest[one.Event.Channel] = one.Event.ID
	}
	// Its channels have been announced by whoever accepted its events.
	if got := client.ZCard(t.Context(), usedKey).Val(); got != 2 {
		t.Errorf("%d channels are announced, want 2", got)
	}
}

// TestNothingIsSentBehindWhatIsTriedAgain has more to send than is sent at once, and Redis refuse the first of it for a while.
func TestNothingIsSentBehindWhatIsTriedAgain(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	s := sender(t, own.URL())
	must(t, client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err())
	var requests []*remote.Request
	for range maxPipelined + 1 {
		requests = append(requests, asked(t, "a"))
	}
	s.Publish(t.Context(), requests)
	for i, r := range requests {
		if !r.IsOpen() || i >= maxPipelined && !errors.Is(r.Err, remote.ErrBusy) {
			t.Fatalf("request %d: %v", i, r.Err)
		}
	}
}

// TestWhatIsGivenBackSaysWhy has two turns wait for one that cannot reach the server.
func TestWhatIsGivenBackSaysWhy(t *testing.T) {
	s := sender(t, "redis://127.0.0.1:1")
	first, second, third := crowdOn(t, "a"), crowdOn(t, "a"), crowdOn(t, "a")
	one := s.Turn(nil)
	two := s.Turn(one)
	one.Publish(t.Context(), first)
	two.Publish(t.Context(), second)
	s.Turn(two).Publish(t.Context(), third)
	for _, r := range append(second, third...) {
		if text := r.Err.Error(); !errors.Is(r.Err, remote.ErrBusy) || !strings.Contains(text, first[0].Err.Error()) || strings.Count(text, remote.ErrBusy.Error()) != 1 {
			t.Fatalf("%v, want it to be held up by %v", r.Err, first[0].Err)
		}
	}
}

// TestARefusalIsFinalAndHoldsUpNothing has what is published first be refused for good.
func TestARefusalIsFinalAndHoldsUpNothing(t *testing.T) {
	client := emptied(t)
	must(t, client.Set(t.Context(), streamPrefix+"wrong", "text", 0).Err())
	s := sender(t, server.URL())
	first, second := append(crowdOn(t, "a"), asked(t, "wrong")), crowdOn(t, "a")
	inTurn(t, s, first, second)
	if err := first[len(first)-1].Err; fault.CodeOf(err) != fault.BusError {
		t.Errorf("refused with %v", err)
	}
	for _, r := range append(first[:len(first)-1:len(first)-1], second...) {
		must(t, r.Err)
	}
}

// TestALinkThatBreaksBehindWhatIsSentAhead loses the answers to what was sent before its turn: it may have been accepted, and is
// once, when it is asked for again.
func TestALinkThatBreaksBehindWhatIsSentAhead(t *testing.T) {
	client := emptied(t)
	s := readerOf(t, Options{URL: server.URL()}, "a")
	turn := s.Turn(nil)
	first, second := crowdOn(t, "a"), crowdOn(t, "a", "new")
	p := packed(s, turn, second)
	turn.Publish(t.Context(), first)
	over := s.outgoing.link.peer
	s.outgoing.link.drop()
	if err := deliver(t, s, p); err == nil || s.outgoing.doubt == nil || s.outgoing.doubt.number != over.number {
		t.Errorf("%v; in doubt is %v, not %v", err, s.outgoing.doubt, over)
	}
	for _, r := range second {
		if !errors.Is(r.Err, remote.ErrDoubtful) {
			t.Fatalf("outcome %v", r.Err)
		}
		r.Doubtful = true
	}
	if s.flights.current != nil {
		t.Error("it flies still")
	}
	if !s.outgoing.written.channels["new"].tended.IsZero() {
		t.Error("a channel counts as announced, and may not be")
	}
	s.Publish(t.Context(), second)
	for _, r := range append(first, second...) {
		must(t, r.Err)
	}
	onNew := client.XLen(t.Context(), streamPrefix+"new").Val()
	if n := onNew + client.XLen(t.Context(), streamPrefix+"a").Val(); n != int64(len(first)+len(second)) {
		t.Errorf("%d events, want %d", n, len(first)+len(second))
	}
	read(t, s, len(first)+len(second)-int(onNew))
}

// TestWhatWasPackedToFlyIsWrittenAnewForTheReader has the reader read by itself when the turn comes: it then
// recognises what it is sent.
func TestWhatWasPackedToFlyIsWrittenAnewForTheReader(t *testing.T) {
	emptied(t)
	s := readerOf(t, Options{URL: server.URL()}, "a")
	turn := s.Turn(nil)
	first, second := crowdOn(t, "a"), crowdOn(t, "a")
	p := packed(s, turn, second)
	s.flights.reclaim()
	turn.Publish(t.Context(), first)
	if p.over == nil || p.flight != nil {
		t.Fatal("it flies, or was not sent")
	}
	must(t, deliver(t, s, p))
	for _, r := range second {
		if must(t, r.Err); r.Events[0].Echo.Load() == 0 {
			t.Fatal("it will not be recognised")
		}
	}
	read(t, s, len(first)+len(second))
}

// TestWhoListensOutsideHearsTurnsInTheirOrder has PUBLISHes between one crowd and the next.
func TestWhoListensOutsideHearsTurnsInTheirOrder(t *testing.T) {
	client := emptied(t)
	listener := client.Subscribe(t.Context(), "a")
	defer listener.Close()
	_, err := listener.Receive(t.Context())
	must(t, err)
	s := sender(t, server.URL())
	s.Publish(t.Context(), []*remote.Request{asked(t, "b")})
	first, second := crowdOn(t, "a"), crowdOn(t, "a")
	inTurn(t, s, first, second)
	for i, id := range append(eventsOf(first), eventsOf(second)...) {
		message, err := listener.ReceiveMessage(t.Context())
		must(t, err)
		if ev, err := event.Decode([]byte(message.Payload)); err != nil || ev.ID != id {
			t.Fatalf("message %d is %s (%v), want %s", i, message.Payload, err, id)
		}
	}
}

// TestManyThatDoNotWaitKeepTheirOrderThroughLinksThatBreak publishes so much at once that whole batches are under way one behind
// the other, while connections break again and again.
func TestManyThatDoNotWaitKeepTheirOrderThroughLinksThatBreak(t *testing.T) {
	const cuts, between = 5, 3000
	own := startOwn(t)
	client := clientOf(t, own)
	proxy := through(t, own)
	n := openNode(t, Options{URL: proxy.URL()}, ">")
	var channels []string
	for i := range 5 {
		channels = append(channels, fmt.Sprint("c", i))
	}
	var publishers sync.WaitGroup
	var mu sync.Mutex
	outcome := map[string]error{}
	var cut atomic.Int64
	for p := range 4 {
		publishers.Go(func() {
			thread := new(bus.Thread)
			for round := 0; cut.Load() < cuts; round++ {
				tickets := map[string]uint64{}
				for i := range 800 {
					ev := bustest.NewEvent(t, fmt.Sprintf("%d.%06d", p, round*1000+i), channels[i%len(channels)], "")
					receipts, err := n.bus.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitAccepted)
					if err != nil {
						t.Error(err)
						return
					}
					tickets[ev.ID] = receipts[0].Ticket
				}
				for id, ticket := range tickets {
					if !n.bus.Await(thread, ticket, patience) {
						t.Error("waited too long")
						return
					}
					_, err := n.bus.Outcome(thread, ticket)
					mu.Lock()
					outcome[id] = err
					mu.Unlock()
				}
			}
		})
	}
	for ; cut.Load() < cuts; cut.Add(1) {
		from := n.bus.Stats().Published
		next := from + between + rand.Uint64N(between)
		eventually(t, "more to be published", func() bool { return n.bus.Stats().Published > next })
		proxy.Cut()
	}
	publishers.Wait()
	for _, name := range channels {
		newest := map[byte]string{}
		for _, message := range client.XRange(t.Context(), streamPrefix+name, "-", "+").Val() {
			ev, err := event.Decode([]byte(message.Values[dataField].(string)))
			must(t, err)
			if ev.Type <= newest[ev.Type[0]] {
				t.Fatalf("%s is behind %s, or twice", ev.Type, newest[ev.Type[0]])
			}
			newest[ev.Type[0]] = ev.Type
			if err := outcome[ev.ID]; err != nil && fault.CodeOf(err) != fault.PublishOutcomeUnknown {
				t.Errorf("%s is there: %v", ev.Type, err)
			}
			delete(outcome, ev.ID)
		}
	}
	for id, err := range outcome {
		if err == nil {
			t.Errorf("%s was accepted and is not there", id)
		}
	}
	n.checkStreams(t.Context(), t, client, channels...)
}
