package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// Server implements remote.Server over one Redis server. It has three connections: one
// that reads, and waits in XREAD; one that publishes; one for all other calls.
type Server struct {
	options   Options
	target    target
	interests *interests
	node      string // names this node's own keys
	stop      context.CancelFunc
	running   sync.WaitGroup

	reading  reading
	calls    calls
	outgoing outgoing
	flights  flights

	counters counters
	mu       sync.Mutex
	facts    facts
}

// counters are what State tells in numbers.
type counters struct {
	malformed, late, lost, missed atomic.Uint64
}

// facts are what State tells of the server. Guarded by Server.mu.
type facts struct {
	epoch      string
	peer       peer
	channels   int
	warned     string // of which policy
	complaints occasional
}

// occasional lets something be said once a minute. Its owner guards it.
type occasional struct{ last time.Time }

func (o *occasional) allow(now time.Time) bool {
	if now.Sub(o.last) < time.Minute {
		return false
	}
	o.last = now
	return true
}

var (
	_ remote.Server     = (*Server)(nil)
	_ remote.Recogniser = (*Server)(nil)
)

// New makes a Server that connects when Open is called. The error has the code
// InvalidValue: the URL is wrong.
func New(options Options) (*Server, error) {
	options = options.withDefaults()
	t, err := parseURL(options.URL)
	if err != nil {
		return nil, err
	}
	s := &Server{options: options, target: t, interests: newInterests(), node: strings.ToLower(rand.Text())}
	s.reading.open(s)
	s.flights.open(s.reading.tail)
	s.calls.open(t)
	s.outgoing.open(s)
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.running.Go(func() { s.survey(ctx) })
	return s, nil
}

// Recognise implements remote.Recogniser.
func (s *Server) Recognise(own func(ids [][]byte, found []*event.Event)) {
	s.reading.tail.own.find, s.outgoing.own.find = own, own
}

// Name implements remote.Server.
func (s *Server) Name() string { return "redis" }

// Close implements remote.Server.
func (s *Server) Close() {
	s.stop()
	s.reading.link.close()
	s.calls.link.close()
	s.outgoing.link.close()
	s.running.Wait()
}

// State implements remote.Server.
func (s *Server) State() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]any{
		"server":    s.target.String(),
		"address":   s.facts.peer.address,
		"version":   s.facts.peer.version,
		"epoch":     s.facts.epoch,
		"channels":  s.facts.channels,
		"malformed": s.counters.malformed.Load(),
		"late":      s.counters.late.Load(),
		"lost":      s.counters.lost.Load(),
		"missed":    s.counters.missed.Load(),
	}
}

// met notes whom the reader is connected to.
func (s *Server) met(p peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts.peer = p
	if p.evicts != "" && p.evicts != s.facts.warned {
		s.options.Log.Warn("Redis may evict events before their time, and nobody would notice; set maxmemory-policy to noeviction", "maxmemory-policy", p.evicts)
	}
	s.facts.warned = p.evicts
}

// progress notes where the reader is.
func (s *Server) progress(epoch string, channels int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts.epoch, s.facts.channels = epoch, channels
}

// malformed counts an entry that is no event. The log speaks of the first of a minute.
func (s *Server) malformed(e *entry) {
	count := s.counters.malformed.Add(1)
	s.mu.Lock()
	allowed := s.facts.complaints.allow(time.Now())
	s.mu.Unlock()
	if allowed {
		s.options.Log.Warn("an entry of a stream is no event and is skipped", "channel", e.channel(), "entry", e.id.String(), "cause", e.wrong.Error(), "so_far", count)
	}
}

// missed counts events that were gone before this node had read them. The log speaks of the
// first of a minute.
func (s *Server) missed(found gaps) {
	var count uint64
	for _, one := range found {
		count += uint64(one.count)
	}
	total := s.counters.missed.Add(count)
	if s.reading.complaints.allow(time.Now()) {
		s.options.Log.Warn("events were trimmed before this node had read them; raise max_length, or find out why it lags", "channel", found[0].channel, "count", count, "so_far", total)
	}
}

// renew makes a new epoch if the old one is still in force: nodes agree on it, whichever
// is the first.
func (s *Server) renew(ctx context.Context, client *redis.Client, old string, lost bool) (string, error) {
	c := call{}
	c.key(epochKey, channelsKey)
	c.argument(old, newEpoch(), "")
	if lost {
		c.arguments[2] = "1"
	}
	return c.run(ctx, client, renewScript).Text()
}

// declareLost counts and tells that Redis has lost what it had accepted.
func (s *Server) declareLost(epoch string) {
	s.counters.lost.Add(1)
	s.options.Log.Warn("Redis has lost events that it had accepted; positions from before recover nothing", "epoch", epoch)
}

func newEpoch() string { return strings.ToLower(rand.Text()[:10]) }

// calls is the connection for what is asked now and then, by anybody.
type calls struct {
	turn  chan struct{} // holds one: who has it uses link, and gives wake-ups their numbers
	link  link
	wakes uint64
}

func (c *calls) open(t target) {
	c.turn = make(chan struct{}, 1)
	c.turn <- struct{}{}
	c.link.target = t
}

// take waits for the turn.
func (c *calls) take(ctx context.Context) (giveBack func(), err error) {
	select {
	case <-c.turn:
		return func() { c.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("others are asking: %w", ctx.Err())
	}
}

// ask calls f with the connection. It connects again, once, if that was lost unnoticed:
// f must do no harm when it is called twice.
func (c *calls) ask(ctx context.Context, f func(client *redis.Client) error) error {
	giveBack, err := c.take(ctx)
	if err != nil {
		return err
	}
	defer giveBack()
	return c.askInTurn(ctx, f)
}

func (c *calls) askInTurn(ctx context.Context, f func(client *redis.Client) error) error {
	kept := c.link.client != nil
	sent, err := c.link.do(ctx, f)
	if err != nil && sent && kept && c.link.client == nil && ctx.Err() == nil {
		_, err = c.link.do(ctx, f)
	}
	return err
}

// wakeUp writes a wake-up of this node, with where channels begin that it is to follow.
// number is the wake-up's, known the time of the newest that was read. Whoever calls it
// has the turn.
func (s *Server) wakeUp(ctx context.Context, on redis.Cmdable, number uint64, channels []string, lenient bool) (w wakeUp, err error) {
	c := call{}
	c.key(epochKey, wakePrefix+s.node, channelsKey)
	c.argument(number, int(wakeLife.Seconds()), s.reading.woken(), "")
	if lenient {
		c.arguments[3] = "1"
	}
	for _, name := range channels {
		c.key(streamPrefix + name)
		c.argument(name)
	}
	answer, err := c.run(ctx, on, wakeScript).Slice()
	if err != nil {
		return wakeUp{}, err
	}
	return parseWakeUp(answer)
}

// wakeLife is how long a node's stream of wake-ups outlives the node.
const wakeLife = time.Hour

// wakeUp is what the server told about one.
type wakeUp struct {
	epoch     string // "" where there is none
	id        streamID
	announced streamID // the newest announcement
	clock     uint64   // milliseconds
}

func parseWakeUp(answer []any) (w wakeUp, err error) {
	if len(answer) != 4 {
		return w, fmt.Errorf("the server answers %v", answer)
	}
	var ok [4]bool
	var id, announced string
	var clock int64
	w.epoch, ok[0] = answer[0].(string)
	id, ok[1] = answer[1].(string)
	announced, ok[2] = answer[2].(string)
	clock, ok[3] = answer[3].(int64)
	w.clock = uint64(clock)
	if ok != [4]bool{true, true, true, true} {
		return w, fmt.Errorf("the server answers %v", answer)
	}
	w.id, ok[0] = parseID([]byte(id))
	w.announced, ok[1] = parseID([]byte(announced))
	if !ok[0] || !ok[1] {
		return w, fmt.Errorf("the server answers %v", answer)
	}
	return w, nil
}

// used are the channels that a wildcard pattern matches and that have been announced
// since a time in milliseconds.
func (s *Server) used(ctx context.Context, on redis.Cmdable, wild []channel.Pattern, since int64) (names []string, err error) {
	all, err := on.ZRangeByScore(ctx, usedKey, &redis.ZRangeBy{Min: fmt.Sprint(since), Max: "+inf"}).Result()
	if err != nil {
		return nil, err
	}
	for _, name := range all {
		for _, p := range wild {
			if p.Match(name) {
				names = append(names, name)
				break
			}
		}
	}
	return names, nil
}

// silence keeps the client library from writing to the process's standard error.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(silence{}) }
