package postgres

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// read reads with the tail until nothing more is ready; the events' types.
func read(t *testing.T, conn *pgx.Conn, tail *tail, limit int) (names []string) {
	t.Helper()
	for {
		rows, full, err := tail.next(t.Context(), conn, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			names = append(names, r.kind)
		}
		if !full && len(rows) == 0 {
			return names
		}
	}
}

// script is transactions on connections of their own, and what a reader gets
// after each step.
type step struct {
	who  int
	do   string // SQL, or the name of an event to publish
	want string // what becomes readable, names joined
}

var orders = map[string][]step{
	"begin in one order and commit in the other": {
		{1, "BEGIN", ""},
		{2, "BEGIN", ""},
		{1, "a", ""},
		{2, "b", ""},
		{2, "COMMIT", ""},
		{1, "COMMIT", "ab"},
	},
	"begin first and publish last": {
		{1, "BEGIN", ""}, {1, "SELECT pg_current_xact_id()", ""}, {2, "a", "a"}, {1, "b", ""}, {2, "c", ""}, {1, "COMMIT", "bc"},
	},
	"a long transaction that publishes nothing holds nobody up": {
		{1, "BEGIN", ""}, {1, "CREATE TABLE other (n int)", ""}, {2, "a", "a"}, {2, "b", "b"}, {1, "COMMIT", ""},
	},
	"a rollback leaves a gap that is passed": {
		{1, "BEGIN", ""}, {1, "a", ""}, {2, "b", ""}, {1, "ROLLBACK", "b"},
	},
	"a rollback while another is open": {
		{1, "BEGIN", ""}, {1, "a", ""}, {2, "BEGIN", ""}, {2, "b", ""}, {3, "c", ""}, {1, "ROLLBACK", ""}, {2, "COMMIT", "bc"},
	},
	"a gap below an open transaction's bound is passed": {
		{1, "BEGIN", ""}, {1, "a", ""}, {2, "b", ""}, {2, "BEGIN", ""}, {2, "c", ""}, {1, "ROLLBACK", "b"}, {3, "d", ""}, {2, "COMMIT", "cd"},
	},
	"interleaved numbers": {
		{1, "BEGIN", ""}, {2, "BEGIN", ""}, {1, "a", ""}, {2, "b", ""}, {1, "c", ""}, {2, "d", ""}, {1, "COMMIT", "a"}, {2, "COMMIT", "bcd"},
	},
	"a savepoint rolled back": {
		{1, "BEGIN", ""}, {1, "a", ""}, {1, "SAVEPOINT s", ""}, {1, "b", ""}, {1, "ROLLBACK TO s", ""}, {2, "c", ""}, {1, "d", ""}, {1, "COMMIT", "acd"},
	},
	"the first event of a transaction is in a savepoint rolled back": {
		{1, "BEGIN", ""}, {1, "SAVEPOINT s", ""}, {1, "a", ""}, {1, "ROLLBACK TO s", ""}, {2, "b", "b"}, {1, "c", ""}, {2, "d", ""}, {1, "COMMIT", "cd"},
	},
	"a savepoint released": {
		{1, "BEGIN", ""}, {1, "SAVEPOINT s", ""}, {1, "a", ""}, {1, "RELEASE s", ""}, {2, "b", ""}, {1, "c", ""}, {1, "COMMIT", "abc"},
	},
	"an exception caught in a block": {
		{1, "BEGIN", ""},
		{1, "DO $$ BEGIN PERFORM fraiseql_subscriptions.publish('a', 'a', '{}'); RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END $$", ""},
		{1, "b", ""},
		{2, "c", ""},
		{1, "COMMIT", "bc"},
	},
	"two-phase commit": {
		{1, "BEGIN", ""},
		{1, "SELECT fraiseql_subscriptions.publish('a', 'a', '{}', wake => false)", ""},
		{1, "PREPARE TRANSACTION 'one'", ""},
		{2, "b", ""},
		{1, "COMMIT PREPARED 'one'", "ab"},
	},
	"two-phase rollback": {
		{1, "BEGIN", ""},
		{1, "SELECT fraiseql_subscriptions.publish('a', 'a', '{}', wake => false)", ""},
		{1, "PREPARE TRANSACTION 'two'", ""},
		{2, "b", ""},
		{3, "ROLLBACK PREPARED 'two'", "b"},
	},
	"repeatable read": {
		{1, "BEGIN ISOLATION LEVEL REPEATABLE READ", ""}, {1, "SELECT 1", ""}, {2, "a", "a"}, {1, "b", ""}, {2, "c", ""}, {1, "COMMIT", "bc"},
	},
}

func TestTransactionsInAnyOrder(t *testing.T) {
	for name, steps := range orders {
		t.Run(name, func(t *testing.T) {
			database := newDatabase(t)
			reader, tail := connect(t, database), new(tail)
			conns := map[int]*pgx.Conn{}
			for i, s := range steps {
				conn := conns[s.who]
				if conn == nil {
					conn = connect(t, database)
					conns[s.who] = conn
				}
				if len(s.do) == 1 {
					publish(t, conn, s.do)
				} else {
					must(t, conn, s.do)
				}
				got := ""
				for _, name := range read(t, reader, tail, 10) {
					got += name
				}
				if got != s.want {
					t.Fatalf("step %d (%s): read %q, want %q", i, s.do, got, s.want)
				}
			}
		})
	}
}

func TestPrepareTransactionAfterANotificationIsRefused(t *testing.T) {
	conn := connect(t, newDatabase(t))
	must(t, conn, "BEGIN")
	publish(t, conn, "a")
	if _, err := conn.Exec(t.Context(), "PREPARE TRANSACTION 'three'"); err == nil {
		t.Error("prepared: the documentation says that wake => false is needed for that")
	}
}

func TestWhatHoldsATailBackIsKnown(t *testing.T) {
	database := newDatabase(t)
	reader, long, other := connect(t, database), connect(t, database), connect(t, database)
	tail := new(tail)
	must(t, long, "BEGIN")
	publish(t, long, "a")
	if read(t, reader, tail, 10); !tail.held.since.IsZero() {
		t.Error("held back before there is anything to deliver")
	}
	publish(t, other, "b")
	read(t, reader, tail, 10)
	since := tail.held.since
	if since.IsZero() || tail.held.holder != int(long.PgConn().PID()) {
		t.Errorf("held %+v, want since now by %d", tail.held, long.PgConn().PID())
	}
	if read(t, reader, tail, 10); tail.held.since != since {
		t.Error("the time since when it is held back has changed")
	}
	must(t, long, "COMMIT")
	if got := read(t, reader, tail, 10); !slices.Equal(got, []string{"a", "b"}) || !tail.held.since.IsZero() {
		t.Errorf("read %v, held %+v", got, tail.held)
	}
}

func TestABoundIsReadAroundTheWrapOfItsBits(t *testing.T) {
	for _, start := range []int64{1<<31 - 3, 1<<32 - 3, 1<<33 + 1<<31 - 3} {
		database := newDatabase(t)
		reader, long, other := connect(t, database), connect(t, database), connect(t, database)
		must(t, reader, "SELECT setval('fraiseql_subscriptions.outbox_seq', $1)", start)
		tail := &tail{passed: uint64(start)}
		for range 6 {
			must(t, other, "BEGIN")
			publish(t, other, "a")
			must(t, other, "ROLLBACK")
			publish(t, other, "b")
			must(t, long, "BEGIN")
			publish(t, long, "c")
			publish(t, other, "d")
			if got := read(t, reader, tail, 10); !slices.Equal(got, []string{"b"}) {
				t.Fatalf("from %d: read %v, want what lies before the open transaction", start, got)
			}
			must(t, long, "COMMIT")
			if got := read(t, reader, tail, 10); !slices.Equal(got, []string{"c", "d"}) {
				t.Fatalf("from %d: read %v, want the rest", start, got)
			}
		}
	}
}

// TestConcurrentTransactionsAreReadInOneOrder lets publishers do everything a
// transaction may do at once, with two readers beside them: both must read what
// the outbox holds in the end.
func TestConcurrentTransactionsAreReadInOneOrder(t *testing.T) {
	const publishers, transactions = 8, 60
	database := newDatabase(t)
	var group sync.WaitGroup
	for p := range publishers {
		conn := connect(t, database)
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(p)))
			for n := range transactions {
				if err := randomTransaction(t, conn, random, fmt.Sprintf("%d.%d", p, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	var got [2][]string
	var readers sync.WaitGroup
	for i := range got {
		conn, tail := connect(t, database), new(tail)
		readers.Go(func() {
			for ended := false; !ended; {
				select {
				case <-done:
					ended = true
				default:
				}
				for {
					rows, full, err := tail.next(t.Context(), conn, 7+i)
					if err != nil {
						t.Error(err)
						return
					}
					for _, r := range rows {
						got[i] = append(got[i], r.id)
					}
					if !full && len(rows) == 0 {
						break
					}
				}
			}
		})
	}
	readers.Wait()
	rows, err := connect(t, database).Query(t.Context(), "SELECT id FROM fraiseql_subscriptions.outbox ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	want, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < publishers*transactions/2 {
		t.Fatalf("only %d events", len(want))
	}
	for i := range got {
		if !slices.Equal(got[i], want) {
			t.Errorf("reader %d read %d events, not the outbox's %d in their order", i, len(got[i]), len(want))
		}
	}
}

func randomTransaction(t *testing.T, conn *pgx.Conn, random *rand.Rand, name string) error {
	ctx := t.Context()
	var err error
	do := func(sql string, arguments ...any) {
		if err == nil {
			_, err = conn.Exec(ctx, sql, arguments...)
		}
	}
	events := func() {
		for range random.IntN(4) {
			do("SELECT fraiseql_subscriptions.publish('a', $1, '{}', wake => false)", name)
		}
	}
	do([]string{"BEGIN", "BEGIN ISOLATION LEVEL SERIALIZABLE"}[random.IntN(2)])
	events()
	switch random.IntN(4) {
	case 0:
		do("SAVEPOINT s")
		events()
		do("ROLLBACK TO s")
	case 1:
		do("SAVEPOINT s")
		events()
		do("RELEASE s")
	case 2:
		do("SELECT pg_sleep($1)", float64(random.IntN(int(5*time.Millisecond)))/1e9)
	}
	events()
	switch random.IntN(8) {
	case 0, 1:
		do("ROLLBACK")
	case 2:
		do("PREPARE TRANSACTION '" + name + "'")
		do("SELECT pg_sleep(0.003)")
		do([]string{"COMMIT", "ROLLBACK"}[random.IntN(2)] + " PREPARED '" + name + "'")
	default:
		do("COMMIT")
	}
	return err
}
