package redis

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/redis/redistest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// server serves every test that does not break it.
var server *redistest.Server

func TestMain(m *testing.M) {
	var err error
	if server, err = redistest.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	if status == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

// emptied is a client of the server, which holds nothing.
func emptied(t testing.TB) *redis.Client {
	t.Helper()
	client := server.Client()
	t.Cleanup(func() { client.Close() })
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	return client
}

// add writes an event with an id, "*" for one of the server's.
func add(ctx context.Context, t testing.TB, client redis.Cmdable, channel, id string, n int) {
	t.Helper()
	ev, err := event.New("changed", channel, fmt.Appendf(nil, `{"n":%d}`, n), "", "")
	if err != nil {
		t.Error(err)
		return
	}
	addRaw(ctx, t, client, channel, id, dataField, string(ev.AppendJSON(nil)))
}

func addRaw(ctx context.Context, t testing.TB, client redis.Cmdable, channel, id string, values ...string) {
	t.Helper()
	if err := client.XAdd(ctx, &redis.XAddArgs{Stream: streamPrefix + channel, ID: id, Values: values}).Err(); err != nil {
		t.Error(err)
	}
}

// following is a tail of these channels from their beginning.
func following(channels ...string) *tail {
	r := newTail(100, func(string) (uint64, bool) { return 0, false })
	for _, channel := range channels {
		r.follow(channel, streamID{})
	}
	return r
}

// next reads once, on a connection of its own to the client's server.
func next(r *tail, client *redis.Client, patience time.Duration) ([]entry, error) {
	conn, err := net.Dial("tcp", client.Options().Addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return r.next(&wire{conn: conn}, patience)
}

// readAll reads until there are so many.
func readAll(t *testing.T, r *tail, client *redis.Client, count int) (entries []entry) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(entries) < count; {
		if time.Now().After(deadline) {
			t.Fatalf("read %d entries of %d", len(entries), count)
		}
		some, err := next(r, client, 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, some...)
	}
	return entries
}

func names(entries []entry) string {
	var texts []string
	for _, e := range entries {
		texts = append(texts, e.channel()+" "+e.id.String())
	}
	return strings.Join(texts, ", ")
}

func called(channel string) func(*stream) bool {
	return func(one *stream) bool { return one.channel == channel }
}

func channelNames(count int) (channels []string) {
	for i := range count {
		channels = append(channels, fmt.Sprint("c", i))
	}
	return channels
}

// TestReadersSeeOneOrderWhileManyWrite lets four clients write on seven channels while
// two readers follow them: each channel's order is the stream's own, times ascend
// across channels, and each entry's place tells exactly what had been given.
func TestReadersSeeOneOrderWhileManyWrite(t *testing.T) {
	client := emptied(t)
	channels := channelNames(7)
	const writers, each = 4, 1500
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			own := server.Client()
			defer own.Close()
			random := rand.New(rand.NewPCG(uint64(w), 6))
			for n := 0; n < each; {
				pipe := own.Pipeline()
				for range 1 + random.IntN(200) {
					if n < each {
						add(t.Context(), t, pipe, channels[random.IntN(len(channels))], "*", n)
						n++
					}
				}
				if _, err := pipe.Exec(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var reading sync.WaitGroup
	given := make([][]entry, 2)
	for i := range given {
		reading.Go(func() {
			own := server.Client()
			defer own.Close()
			r := following(channels...)
			for len(given[i]) < writers*each && !t.Failed() {
				some, err := next(r, own, 100*time.Millisecond)
				if err != nil {
					t.Error(err)
					return
				}
				given[i] = append(given[i], some...)
			}
			if r.skewed {
				t.Error("the clock went back")
			}
		})
	}
	writing.Wait()
	reading.Wait()
	for _, entries := range given {
		if !slices.IsSortedFunc(entries, func(a, b entry) int { return int(a.id.ms) - int(b.id.ms) }) {
			t.Error("times do not ascend")
		}
		of := map[string][]string{}
		for _, e := range entries {
			of[e.channel()] = append(of[e.channel()], e.id.String())
		}
		for _, channel := range channels {
			stream, err := client.XRange(t.Context(), streamPrefix+channel, "-", "+").Result()
			if err != nil {
				t.Fatal(err)
			}
			var own []string
			for _, message := range stream {
				own = append(own, message.ID)
			}
			if !slices.Equal(of[channel], own) {
				t.Errorf("%s: %d entries given, %d in the stream, or in another order", channel, len(of[channel]), len(own))
			}
		}
		checkPlaces(t, entries)
	}
}

// checkPlaces looks, after each entry, whether the place covers what was given so far
// and nothing else. (What is more than 300 entries away is of another millisecond.)
func checkPlaces(t *testing.T, entries []entry) {
	t.Helper()
	var at place
	for i, e := range entries {
		at = at.pass(e.from.hash, e.id)
		for j := max(0, i-300); j < min(len(entries), i+300); j++ {
			if got := at.covers(entries[j].from.hash, entries[j].id); got != (j <= i) {
				t.Fatalf("after entry %d (%s), the place says of entry %d (%s): passed %v", i, e.id, j, entries[j].id, got)
			}
		}
	}
}

func TestWhatIsCutOffIsWaitedFor(t *testing.T) {
	client := emptied(t)
	// a has more than one batch before anything of b; then they alternate.
	for n := range 250 {
		add(t.Context(), t, client, "a", fmt.Sprintf("%d-1", 1000+n), n)
	}
	for n := range 60 {
		add(t.Context(), t, client, "b", fmt.Sprintf("%d-0", 1100+2*n), n)
		add(t.Context(), t, client, "b", fmt.Sprintf("%d-1", 1100+2*n), n)
	}
	r := following("a", "b")
	entries, err := next(r, client, time.Second)
	if err != nil || len(entries) != r.batch || len(r.kept) == 0 {
		t.Errorf("%d entries first, %d kept, %v", len(entries), len(r.kept), err)
	}
	entries = slices.Clone(entries)
	entries = append(entries, readAll(t, r, client, 370-len(entries))...)
	if len(entries) != 370 || r.skewed {
		t.Errorf("%d entries, late ones: %v", len(entries), r.skewed)
	}
	if !slices.IsSortedFunc(entries, func(a, b entry) int { return cmp.Compare(a.id.ms, b.id.ms) }) || !isOrdered(entries) {
		t.Errorf("not in order: %s", names(entries))
	}
	checkPlaces(t, entries)
	if some, err := next(r, client, time.Millisecond); len(some) > 0 || len(r.kept) > 0 || err != nil {
		t.Errorf("then %s, %d kept, %v", names(some), len(r.kept), err)
	}
}

// isOrdered reports whether every channel's entries are in their own order.
func isOrdered(entries []entry) bool {
	newest := make(map[string]streamID)
	for _, e := range entries {
		if e.id.compare(newest[e.channel()]) < 0 {
			return false
		}
		newest[e.channel()] = e.id
	}
	return true
}

func TestFollowedFromAnIdAndForgotten(t *testing.T) {
	client := emptied(t)
	for n := range 5 {
		add(t.Context(), t, client, "a", fmt.Sprintf("5-%d", n+1), n)
		add(t.Context(), t, client, "b", fmt.Sprintf("5-%d", n+1), n)
	}
	r := following()
	r.follow("a", streamID{5, 3})
	if got, want := names(readAll(t, r, client, 2)), "a 5-4, a 5-5"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	r.follow("b", streamID{5, 2})
	r.forget(called("a"))
	add(t.Context(), t, client, "a", "6-0", 9)
	if got, want := names(readAll(t, r, client, 3)), "b 5-3, b 5-4, b 5-5"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if some, err := next(r, client, time.Millisecond); len(some) > 0 || err != nil {
		t.Errorf("a forgotten channel gives %s, %v", names(some), err)
	}
	// What is kept back of a channel goes with it.
	for n := range 120 {
		add(t.Context(), t, client, "c", fmt.Sprintf("%d-0", 10+n), n)
	}
	add(t.Context(), t, client, "b", "500-0", 0)
	r.follow("c", streamID{})
	if some, err := next(r, client, time.Second); len(some) != 100 || len(r.kept) == 0 || err != nil {
		t.Errorf("%d entries, %d kept, %v", len(some), len(r.kept), err)
	}
	r.forget(called("b"))
	if got := names(readAll(t, r, client, 20)); strings.Contains(got, "b ") {
		t.Errorf("a forgotten channel's entry is given: %s", got)
	}
}

func TestAClockThatWentBackIsNoticed(t *testing.T) {
	client := emptied(t)
	add(t.Context(), t, client, "a", "100-0", 1)
	r := following("a", "b")
	readAll(t, r, client, 1)
	add(t.Context(), t, client, "b", "99-0", 2)
	add(t.Context(), t, client, "b", "100-0", 3)
	if some, err := next(r, client, time.Second); len(some) > 0 || err != nil || !r.skewed {
		t.Fatalf("%s, %v, noticed: %v", names(some), err, r.skewed)
	}
	r.straighten("new")
	got := readAll(t, r, client, 2)
	if names(got) != "b 99-0, b 100-0" || r.skewed || got[0].mark.epoch != "new" {
		t.Errorf("%s, %v, epoch %q", names(got), r.skewed, got[0].mark.epoch)
	}
	checkPlaces(t, got)
}

func TestWhatIsNoEventIsGivenAsSuch(t *testing.T) {
	client := emptied(t)
	const event = `{"id":"1","event_type":"t","channel":"a","data":{"n":1},"timestamp":1700000000,"correlation_id":"1"}`
	addRaw(t.Context(), t, client, "a", "1-1", dataField, event)
	addRaw(t.Context(), t, client, "a", "1-2", "other", event)
	addRaw(t.Context(), t, client, "a", "1-3", dataField, event[:40])
	addRaw(t.Context(), t, client, "a", "1-4", dataField, strings.Replace(event, `"a"`, `"b"`, 1))
	addRaw(t.Context(), t, client, "a", "1-5", dataField, "\xff")
	addRaw(t.Context(), t, client, "a", "1-6", "more", "x", dataField, event)
	entries := readAll(t, following("a"), client, 6)
	for i, e := range entries {
		if good := i == 0 || i == 5; good != (e.event != nil) || good != (e.wrong == nil) {
			t.Errorf("entry %s: %v, %v", e.id, e.event, e.wrong)
		}
	}
	if got := string(entries[0].event.Data); got != `{"n":1}` {
		t.Errorf("its data are %s", got)
	}
}

func TestNothingIsLostWhereReadingFails(t *testing.T) {
	own, err := redistest.Start("--appendonly", "yes", "--appendfsync", "always")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	}()
	client := own.Client()
	defer client.Close()
	r := following("a", "b")
	add(t.Context(), t, client, "a", "1-0", 1)
	readAll(t, r, client, 1)
	if err := own.Down(9); err != nil {
		t.Fatal(err)
	}
	if _, err := next(r, client, time.Millisecond); err == nil {
		t.Error("a server that is down was read")
	}
	if err := own.Up(); err != nil {
		t.Fatal(err)
	}
	add(t.Context(), t, client, "b", "2-0", 2)
	add(t.Context(), t, client, "a", "3-0", 3)
	if got, want := names(readAll(t, r, client, 2)), "b 2-0, a 3-0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestIDsAreReadAsTheyAreWritten(t *testing.T) {
	for _, text := range []string{"0-0", "1700000000000-12", "18446744073709551615-18446744073709551615"} {
		if id, ok := parseID([]byte(text)); !ok || id.String() != text {
			t.Errorf("%s is read as %v, %v", text, id, ok)
		}
	}
	for _, text := range []string{"", "1", "-", "1-", "-1", "1-2-3", "a-1", "1-b", "+1-1", "18446744073709551616-0", "$", "1 -1"} {
		if id, ok := parseID([]byte(text)); ok {
			t.Errorf("%q is read as %v", text, id)
		}
	}
}

// TestATransactionOverSeveralMillisecondsKeepsItsOrder has a reader wait for what one
// transaction writes to two streams in turn: an older Redis answers with one of them.
func TestATransactionOverSeveralMillisecondsKeepsItsOrder(t *testing.T) {
	own := startOwn(t, "--enable-debug-command", "yes")
	client := clientOf(t, own)
	r := following("a", "b")
	r.give(nil)
	done := make(chan []entry)
	go func() {
		defer close(done)
		var all []entry
		for len(all) < 4 {
			some, err := next(r, client, 10*time.Second)
			if err != nil || r.skewed {
				t.Errorf("%v, skewed: %v", err, r.skewed)
				return
			}
			all = append(all, some...)
		}
		done <- all
	}()
	other := clientOf(t, own)
	eventually(t, "the reader to wait", func() bool { return strings.Contains(other.Info(t.Context(), "clients").Val(), "blocked_clients:1") })
	_, err := other.TxPipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for n := range 4 {
			add(t.Context(), t, pipe, []string{"a", "b"}[n%2], "*", n)
			pipe.Do(t.Context(), "debug", "sleep", "0.003")
		}
		return nil
	})
	must(t, err)
	got := <-done
	if !slices.IsSortedFunc(got, func(a, b entry) int { return a.id.compare(b.id) }) || len(got) != 4 {
		t.Errorf("in the order %s", names(got))
	}
}

func TestEventsOfOneMillisecondComeAsTheyWereMade(t *testing.T) {
	client := emptied(t)
	var want []string
	for n := range 30 {
		channel := []string{"z", "b", "a"}[n%3]
		add(t.Context(), t, client, channel, fmt.Sprintf("7-%d", n/3), n)
		want = append(want, fmt.Sprintf("%s 7-%d", channel, n/3))
	}
	if got := names(readAll(t, following("a", "b", "z"), client, 30)); got != strings.Join(want, ", ") {
		t.Errorf("%s", got)
	}
	// Where ids of events say otherwise than the stream, the stream is right.
	for _, one := range []string{"a 9-0 id3", "a 9-1 id1", "b 9-0 id2"} {
		parts := strings.Fields(one)
		ev, err := event.New("t", parts[0], []byte(`{}`), "", parts[2])
		must(t, err)
		addRaw(t.Context(), t, client, parts[0], parts[1], dataField, string(ev.AppendJSON(nil)))
	}
	r := newTail(100, func(string) (uint64, bool) { return 0, false })
	r.follow("a", streamID{8, 0})
	r.follow("b", streamID{8, 0})
	if got := names(readAll(t, r, client, 3)); got != "a 9-0, b 9-0, a 9-1" {
		t.Errorf("%s", got)
	}
}
