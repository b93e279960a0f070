package redis

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

const (
	// pipelined is how many events are published in one go.
	pipelined = 500
	// publishers do so at a time. With fewer, go-redis alone is slower: Redis would wait for
	// the next pipeline while the last one's answers are read.
	publishers = 4
)

// counter is a dispatcher whose audience only counts.
type counter struct{ delivered atomic.Int64 }

func (c *counter) DispatchEventToSubscriptions(*bus.Thread, *event.Event) bus.Delivery { return c }
func (c *counter) Lend(task func(t *bus.Thread))                                       { go task(&bus.Thread{Engine: true}) }

func (c *counter) NeedsPython() bool { return false }

func (c *counter) Leave(*bus.Thread, event.Position) bool { return false }

func (c *counter) Deliver(*bus.Thread, event.Position) { c.delivered.Add(1) }

// sample is an event of about 200 bytes.
func sample(b *testing.B, channel string) *event.Event {
	ev, err := event.New("orderUpdated", channel, []byte(`{"id":1234,"status":"shipped","total":99.5,"customer":"c-4711"}`), "", "")
	if err != nil {
		b.Fatal(err)
	}
	return ev
}

// BenchmarkThroughput sends events through Redis and back, as fast as they go: an operation
// is one event. "bare" is go-redis alone: pipelined XADDs of a text made before, and XREADs
// whose entries are counted; in "made" each event is made while the clock runs, too. "single"
// and "batch" are the bus: each event is made while the clock runs, as by publish_event, and
// its outcome is awaited. In "heard" somebody listens outside, and so the bus sends PUBLISHes,
// as "told" does with go-redis alone.
func BenchmarkThroughput(b *testing.B) {
	floor := make([]byte, 8<<20) // as the built module has it (bridge/heap.go)
	defer runtime.KeepAlive(floor)
	for _, channels := range []int{1, 100} {
		names := make([]string, channels)
		for i := range names {
			names[i] = fmt.Sprintf("bench.%d", i)
		}
		for _, c := range []struct {
			name string
			run  func(b *testing.B)
		}{
			{"bare", func(b *testing.B) { throughputBare(b, names, false, false) }},
			{"made", func(b *testing.B) { throughputBare(b, names, false, true) }},
			{"told", func(b *testing.B) { throughputBare(b, names, true, true) }},
			{"single", func(b *testing.B) { throughputBus(b, names, 1, false) }},
			{"batch", func(b *testing.B) { throughputBus(b, names, pipelined, false) }},
			{"heard", func(b *testing.B) { throughputBus(b, names, 1, true) }},
		} {
			b.Run(fmt.Sprintf("channels=%d/%s", channels, c.name), func(b *testing.B) {
				ownBefore, redisBefore := cpu(b), redisCPU(b)
				c.run(b)
				b.ReportMetric(float64(cpu(b)-ownBefore)/float64(b.N), "own-ns/op")
				b.ReportMetric(float64(redisCPU(b)-redisBefore)/float64(b.N), "redis-ns/op")
			})
		}
	}
}

// throughputBare pipelines XADDs, and PUBLISHes where it tells, on connections of
// their own that overlap, and reads all streams with XREAD on another, 100 entries of a
// stream at a time. What it sends was made before, or is an event made for it.
func throughputBare(b *testing.B, channels []string, tells, makes bool) {
	emptied(b)
	ctx := context.Background()
	connect := func() *redis.Client {
		options := *server.Client().Options()
		options.ReadBufferSize, options.WriteBufferSize = 64<<10, 64<<10
		client := redis.NewClient(&options)
		b.Cleanup(func() { client.Close() })
		return client
	}
	data := sample(b, channels[0]).AppendJSON(nil)
	streams := make([]string, 2*len(channels))
	index := map[string]int{}
	for i, name := range channels {
		streams[i], streams[len(channels)+i] = streamPrefix+name, "0-0"
		index[streams[i]] = len(channels) + i
	}
	b.ResetTimer()
	var group sync.WaitGroup
	var next atomic.Int64
	for range publishers {
		writer := connect()
		group.Go(func() {
			for {
				first := int(next.Add(pipelined)) - pipelined
				if first >= b.N {
					return
				}
				pipe := writer.Pipeline()
				for n := first; n < min(first+pipelined, b.N); n++ {
					data := data
					if makes {
						data = sample(b, channels[n%len(channels)]).AppendJSON(nil)
					}
					pipe.Do(ctx, "xadd", streams[n%len(channels)], "*", dataField, data)
					if tells {
						pipe.Do(ctx, "publish", channels[n%len(channels)], data)
					}
				}
				if _, err := pipe.Exec(ctx); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	reader := connect()
	for n := 0; n < b.N && !b.Failed(); {
		found, err := reader.XRead(ctx, &redis.XReadArgs{Streams: streams, Count: 100, Block: time.Second}).Result()
		if err != nil && err != redis.Nil {
			b.Fatal(err)
		}
		for _, one := range found {
			n += len(one.Messages)
			streams[index[one.Stream]] = one.Messages[len(one.Messages)-1].ID
		}
	}
	group.Wait()
}

func throughputBus(b *testing.B, channels []string, batch int, heard bool) {
	client := emptied(b)
	if heard {
		listener := client.PSubscribe(b.Context(), "elsewhere.*")
		defer listener.Close()
		if _, err := listener.Receive(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	own, err := New(Options{URL: server.URL()})
	if err != nil {
		b.Fatal(err)
	}
	c := &counter{}
	node := remote.New(c, own, remote.Options{PublishTimeout: time.Minute, Log: slog.New(slog.DiscardHandler)})
	defer func() {
		ended := make(chan struct{})
		node.Close()
		if !node.Settled(new(bus.Thread), func() { close(ended) }) {
			<-ended
		}
	}()
	if err := node.Follow(new(bus.Thread), bustest.Patterns(b, channels...)); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	var group sync.WaitGroup
	var next atomic.Int64
	for range publishers {
		group.Go(func() {
			t := new(bus.Thread)
			for {
				first := int(next.Add(pipelined)) - pipelined
				if first >= b.N {
					return
				}
				last := min(first+pipelined, b.N)
				var tickets []uint64
				for n := first; n < last; {
					var events []*event.Event
					for range min(batch, last-n) {
						events = append(events, sample(b, channels[n%len(channels)]))
						n++
					}
					receipts, err := node.PublishWithExecutor(t, events, bus.WaitAccepted)
					if err != nil {
						b.Error(err)
						return
					}
					for _, one := range receipts {
						tickets = append(tickets, one.Ticket)
					}
				}
				for _, ticket := range tickets {
					node.Await(t, ticket, time.Minute)
					if _, err := node.Outcome(t, ticket); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	for c.delivered.Load() < int64(b.N) && !b.Failed() {
		time.Sleep(100 * time.Microsecond) // the benchmark's own wait for the last
	}
}

// BenchmarkTriedAgain tries 1,000 events again which may be in a stream that others have added 100,000 to since: an
// operation is all of them.
func BenchmarkTriedAgain(b *testing.B) {
	const since = 100_000
	client := emptied(b)
	filled := 0
	for filled < since {
		pipe := client.Pipeline()
		for range 10_000 {
			pipe.XAdd(b.Context(), &redis.XAddArgs{Stream: streamPrefix + "a", Values: []any{dataField, sample(b, "a").AppendJSON(nil)}})
			filled++
		}
		if _, err := pipe.Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	s := sender(b, server.URL())
	var requests []*remote.Request
	for range maxPipelined {
		requests = append(requests, asked(b, "a"))
	}
	s.Publish(b.Context(), requests)
	for name, there := range map[string]bool{"there": true, "not": false} {
		b.Run(name, func(b *testing.B) {
			before := redisCPU(b)
			for b.Loop() {
				for i, r := range requests {
					if !there {
						requests[i] = asked(b, "a")
						r = requests[i]
					}
					r.Doubtful, r.Note = true, streamID{ms: 1}
				}
				s.Publish(b.Context(), requests)
				for _, r := range requests {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
			}
			b.ReportMetric(float64(redisCPU(b)-before)/float64(b.N), "redis-ns/op")
		})
	}
}

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// redisCPU is the processor time that the server has used.
func redisCPU(b *testing.B) time.Duration {
	client := server.Client()
	defer client.Close()
	var total float64
	for line := range strings.Lines(client.Info(context.Background(), "cpu").Val()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			total += seconds
		}
	}
	return time.Duration(total * float64(time.Second))
}
