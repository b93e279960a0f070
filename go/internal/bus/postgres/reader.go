package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

const (
	// readTimeout is when a server that does not answer a read counts as lost.
	readTimeout = 30 * time.Second
	// The number of rows read at once follows their size, between these.
	firstLimit, mostRows = 64, 1024
	fewBytes, manyBytes  = 256 << 10, 4 << 20
	// heldPause is the shortest time between two looks at what holds delivery back.
	heldPause = 5 * time.Millisecond
	// heldWarning is after how long the log names who holds it back.
	heldWarning = 10 * time.Second
)

var errHistory = errors.New("the database has another history than the one that was read")

// Open implements remote.Server.
func (s *Server) Open(ctx context.Context) (remote.Mark, error) {
	ctx, done := s.call(ctx)
	defer done()
	s.reading.Lock()
	defer s.reading.Unlock()
	s.disconnect()
	if err := s.failure(s.open(ctx), false); err != nil {
		return nil, err
	}
	s.worked.Store(true)
	return mark{s.tail.epoch, s.tail.passed}, nil
}

// open connects, asks for notifications, and only then looks for where to read on: what
// is committed later is notified.
func (s *Server) open(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, s.reader)
	if err != nil {
		return err
	}
	s.conn = conn
	err = s.prepare(ctx)
	if err != nil {
		s.disconnect()
	}
	return err
}

func (s *Server) prepare(ctx context.Context) error {
	found, err := s.inspect(ctx, s.conn)
	if err != nil {
		return err
	}
	// The proof of tail.next wants a new snapshot for every statement.
	if _, err := s.conn.Exec(ctx, "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil {
		return err
	}
	s.prefix = found.prefix
	if err := s.listen(ctx); err != nil {
		return err
	}
	if found.pooled {
		if err := s.checkNotifications(ctx, found.prefix); err != nil {
			return err
		}
	}
	s.checked = time.Now()
	return s.locate(ctx, s.conn)
}

// disconnect closes the connection that reads.
func (s *Server) disconnect() {
	if s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = s.conn.Close(ctx) // it is closed, whatever the server says to it
	s.conn = nil
}

// Read implements remote.Server.
func (s *Server) Read(ctx context.Context) ([]remote.Item, error) {
	ctx, done := s.call(ctx)
	defer done()
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.conn == nil {
		return nil, errors.New("the outbox is not open for reading")
	}
	if s.moved {
		s.moved = false
		return []remote.Item{{Mark: mark{s.tail.epoch, s.tail.passed}}}, nil
	}
	items, err := s.readOnce(ctx)
	if err != nil {
		s.disconnect()
		return nil, s.failure(err, false)
	}
	return items, nil
}

func (s *Server) readOnce(ctx context.Context) ([]remote.Item, error) {
	if s.tail.epoch != s.current() {
		return nil, errHistory
	}
	if !s.followed.any() {
		return s.idle(ctx)
	}
	if items, err := s.begin(ctx); err != nil || len(items) > 0 {
		return items, err
	}
	if !s.due {
		if err := s.wait(ctx); err != nil {
			return nil, err
		}
	}
	ctx, cancel := s.withTimeout(ctx)
	defer cancel()
	s.due = false
	rows, full, err := s.tail.next(ctx, s.conn, s.limit)
	if err != nil {
		return nil, err
	}
	s.lastRead = time.Now()
	s.due = s.due || full
	if len(rows) == 0 {
		s.noteRead()
		if err := s.checkEpoch(ctx); err != nil {
			return nil, err
		}
		return s.lostUntil(nil, s.tail.held.since.IsZero()), nil
	}
	items := make([]remote.Item, len(rows))
	bytes := 0
	for i := range rows {
		items[i] = s.item(&rows[i], s.tail.epoch)
		bytes += len(rows[i].data)
	}
	s.adapt(bytes, full)
	s.noteRead()
	return s.lostUntil(items, false), nil
}

// withTimeout bounds a question to the server.
func (s *Server) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, readTimeout, errors.New("it does not answer"))
}

// lostUntil adds, once in a new epoch, that what was accepted in the old one and has not
// been read by now will not come: when everything has been read that was there at the
// beginning.
func (s *Server) lostUntil(items []remote.Item, everything bool) []remote.Item {
	if s.losing && (everything || s.tail.passed >= s.losingUpTo) {
		s.losing = false
		return append(items, remote.Item{Mark: mark{s.tail.epoch, s.tail.passed}, Lost: true})
	}
	return items
}

// wait returns when a notification has come, or the poll is due.
func (s *Server) wait(ctx context.Context) error {
	patience := s.options.Poll
	if held := &s.tail.held; !held.since.IsZero() {
		// Who holds delivery back may end without a notification: look often at first, then less.
		patience = min(max(time.Since(held.since)/4, heldPause), patience)
		if pause := heldPause - time.Since(s.lastRead); pause > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.conn.PgConn().WaitForNotification(waiting); err != nil && (ctx.Err() != nil || !pgconn.Timeout(err)) {
		return err
	}
	return nil
}

// checkEpoch notices, when nothing has come for a while, that the schema was installed
// anew behind a connection that is still good.
func (s *Server) checkEpoch(ctx context.Context) error {
	if time.Since(s.checked) < s.options.Poll {
		return nil
	}
	s.checked = time.Now()
	var name string
	if err := s.conn.QueryRow(ctx, readEpoch).Scan(&name); err != nil {
		return err
	}
	if name != s.tail.epoch.name {
		return errHistory
	}
	return nil
}

// adapt keeps what is read at once within some megabytes.
func (s *Server) adapt(bytes int, full bool) {
	switch {
	case bytes > manyBytes:
		s.limit = max(s.limit/4, 1)
	case full && bytes < fewBytes:
		s.limit = min(2*s.limit, mostRows)
	}
}

// noteRead tells other goroutines how far reading has come.
func (s *Server) noteRead() {
	held := s.tail.held
	s.mu.Lock()
	s.place = mark{s.tail.epoch, s.tail.passed}
	s.forgetOwn()
	s.read = witness{s.tail.passed, s.tail.memory.lastID}
	s.held = held
	s.mu.Unlock()
	switch waits := !held.since.IsZero(); {
	case waits && !s.warned && time.Since(held.since) >= heldWarning:
		s.warned = true
		s.options.Log.Warn(fmt.Sprintf("events have been waiting %v for a transaction that published before them and is still open (%s); see health()", heldWarning, holderName(held.holder)))
	case !waits && s.warned:
		s.warned = false
		s.options.Log.Info("events are delivered again: the transaction that held them back has ended")
	}
}

func holderName(pid int) string {
	if pid == 0 {
		return "a prepared transaction: see pg_prepared_xacts"
	}
	return fmt.Sprintf("process id %d in pg_stat_activity", pid)
}

// item is a row as the bus hands it on. One that is no event is only a place.
func (s *Server) item(r *row, epoch *epoch) remote.Item {
	item := remote.Item{Mark: mark{epoch, r.seq}}
	ev, err := event.New(r.kind, r.channel, r.data, r.correlationID, r.id)
	if err == nil {
		err = channel.Validate(r.channel)
	}
	if err != nil {
		s.mu.Lock()
		s.strange++
		first := s.strange == 1
		s.mu.Unlock()
		if first {
			s.options.Log.Warn(fmt.Sprintf("row %d of the outbox is no event and is passed over, as are others like it: %v", r.seq, err))
		}
		return item
	}
	ev.ChosenID = false
	ev.Timestamp = float64(r.publishedAt.UnixMilli()) / 1000
	item.Event = ev
	return item
}
