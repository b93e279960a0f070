package redistest

import (
	"io"
	"math"
	"net"
	"sync"
	"time"
)

// Proxy is a link to a server that a test can spoil: a TCP port that forwards to
// another, late, not at all, or to nowhere.
type Proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, when held or delay change
	target  string
	delay   time.Duration
	held    bool
	refuses bool
	length  func() int
	closed  bool
	links   map[*proxied]struct{}
}

// proxied is one connection and its other half. frozen is guarded by Proxy.mu.
type proxied struct {
	client, server net.Conn
	frozen         bool
}

func (p *proxied) close() {
	_ = p.client.Close() // whichever end was first
	_ = p.server.Close()
}

// NewProxy forwards to an address. Close it in the end.
func NewProxy(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, target: target, changed: make(chan struct{}), links: make(map[*proxied]struct{})}
	p.running.Go(p.accept)
	return p, nil
}

// Address is the proxy's own host and port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// URL is where clients find the server, through the proxy.
func (p *Proxy) URL() string { return "redis://" + p.Address() + "/0" }

// Aim forwards new connections to another address.
func (p *Proxy) Aim(target string) { p.set(func() { p.target = target }) }

// Slow delays everything in each direction.
func (p *Proxy) Slow(delay time.Duration) { p.set(func() { p.delay = delay }) }

// Hold forwards nothing any more and keeps every connection open: a black hole. With
// false, what was held is forwarded.
func (p *Proxy) Hold(held bool) { p.set(func() { p.held = held }) }

// Freeze is Hold for the connections that there are now, not for new ones.
func (p *Proxy) Freeze(frozen bool) {
	p.set(func() {
		for one := range p.links {
			one.frozen = frozen
		}
	})
}

// Refuse closes new connections at once.
func (p *Proxy) Refuse(refuses bool) { p.set(func() { p.refuses = refuses }) }

// Break ends each new connection in the middle of what goes through it: after so many bytes
// in either direction as length says. Nil, as at first, for never.
func (p *Proxy) Break(length func() int) { p.set(func() { p.length = length }) }

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Cut closes every connection there is.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.links {
		one.close()
	}
}

// Links is how many connections there are.
func (p *Proxy) Links() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Close ends the proxy and every connection.
func (p *Proxy) Close() error {
	p.set(func() { p.closed = true })
	err := p.listener.Close()
	p.Cut()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	target, refuses := p.target, p.refuses || p.closed
	p.mu.Unlock()
	if refuses {
		client.Close()
		return
	}
	server, err := net.Dial("tcp", target)
	if err != nil {
		client.Close()
		return
	}
	link := &proxied{client: client, server: server}
	p.mu.Lock()
	p.links[link] = struct{}{}
	if p.closed {
		link.close()
	}
	asked, answered := math.MaxInt, math.MaxInt
	if p.length != nil {
		asked, answered = p.length(), p.length()
	}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.forward(link, client, server, asked) })
	both.Go(func() { p.forward(link, server, client, answered) })
	both.Wait()
	p.mu.Lock()
	delete(p.links, link)
	p.mu.Unlock()
}

// forward copies one direction, at most so many bytes, until it ends, which ends the other one.
func (p *Proxy) forward(link *proxied, from io.Reader, to io.Writer, most int) {
	defer link.close()
	buffer := make([]byte, 64<<10)
	for most > 0 {
		n, err := from.Read(buffer[:min(most, len(buffer))])
		most -= n
		if n > 0 {
			if !p.pass(link) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits as long as the link is to be spoiled; false when the proxy ends.
func (p *Proxy) pass(link *proxied) bool {
	p.mu.Lock()
	delay := p.delay
	p.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		<-timer.C
	}
	for {
		p.mu.Lock()
		held, closed, changed := p.held || link.frozen, p.closed, p.changed
		p.mu.Unlock()
		if closed || !held {
			return !closed
		}
		<-changed
	}
}
