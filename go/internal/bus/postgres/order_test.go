package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
)

// TestABusDeliversInTheOrderOfCommitsThatNumbersAllow runs the scripts of transactions
// against a bus that is notified, rather than a tail that is asked.
func TestABusDeliversInTheOrderOfCommitsThatNumbersAllow(t *testing.T) {
	for name, steps := range orders {
		t.Run(name, func(t *testing.T) {
			database := newDatabase(t)
			n := openNode(t, Options{URL: server.URL(database)})
			conns := map[int]*pgx.Conn{}
			delivered := ""
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
				delivered += s.want
				n.AwaitDelivered(len(delivered))
				if got := strings.ReplaceAll(n.kinds(), " ", ""); got != delivered {
					t.Fatalf("step %d (%s): delivered %q, want %q", i, s.do, got, delivered)
				}
			}
		})
	}
}

func TestATransactionThatStaysOpenForSecondsHoldsDeliveryBackAndIsNamed(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database)})
	long, other := connect(t, database), connect(t, database)
	must(t, long, "BEGIN")
	publish(t, long, "a")
	publish(t, other, "b")
	held := func() float64 { return n.bus.State()["held_seconds"].(float64) }
	until(t, "delivery to be held back for two seconds", func() bool { return held() > 2 })
	if by := n.bus.State()["held_by"]; by != int(long.PgConn().PID()) {
		t.Errorf("held by %v, want %d", by, long.PgConn().PID())
	}
	if got := n.kinds(); got != "" {
		t.Errorf("delivered %q before the transaction ended", got)
	}
	must(t, long, "COMMIT")
	n.awaitKinds(t, "a b")
	until(t, "delivery to be free", func() bool { return held() == 0 })
	if _, still := n.bus.State()["held_by"]; still {
		t.Error("something is still named")
	}
}

// TestWhatEndsWithoutANotificationIsFoundByThePoll has the two ways in which nothing
// wakes a reader: the holder rolls back, and wake => false.
func TestWhatEndsWithoutANotificationIsFoundByThePoll(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database), Poll: 50 * time.Millisecond})
	long, other := connect(t, database), connect(t, database)
	must(t, long, "BEGIN")
	publish(t, long, "a")
	publish(t, other, "b")
	until(t, "delivery to be held back", func() bool { return n.bus.State()["held_seconds"] != 0.0 })
	must(t, long, "ROLLBACK")
	n.awaitKinds(t, "b")
	must(t, other, "SELECT fraiseql_subscriptions.publish('a', 'c', '{}', wake => false)")
	n.awaitKinds(t, "b c")
	must(t, other, "BEGIN")
	must(t, other, "SELECT fraiseql_subscriptions.publish('a', 'd', '{}', wake => false)")
	must(t, other, "PREPARE TRANSACTION 'poll'")
	publish(t, long, "e")
	until(t, "delivery to be held back", func() bool { return n.bus.State()["held_by"] == 0 })
	must(t, long, "COMMIT PREPARED 'poll'")
	n.awaitKinds(t, "b c d e")
}

func TestANotificationWakesTheReaderAndNotThePoll(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database), Poll: time.Hour})
	other := connect(t, database)
	for i := 1; i <= 3; i++ {
		publish(t, other, "a")
		n.AwaitDelivered(i)
	}
}

func TestOutsideListenersAreToldOfAChannelAndPosition(t *testing.T) {
	database := newDatabase(t)
	conn := connect(t, database)
	long := strings.Repeat("x", 200)
	must(t, conn, `LISTEN "fraiseql_orders.eu"; LISTEN "fraiseql"`)
	var hashed string
	if err := conn.QueryRow(t.Context(), "SELECT fraiseql_subscriptions.wake_name('fraiseql', $1)", long).Scan(&hashed); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hashed, "fraiseql_#") || len(hashed) > 63 {
		t.Errorf("a long channel is notified on %q", hashed)
	}
	must(t, conn, "LISTEN "+pgx.Identifier{hashed}.Sanitize())
	n := openNode(t, Options{URL: server.URL(database)})
	for _, channel := range []string{"orders.eu", long} {
		if _, err := n.publish(t, "plain", channel, "", bus.WaitDispatched); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"fraiseql_orders.eu": "1", hashed: "2", "fraiseql": ""}
	for range 4 {
		one, err := conn.WaitForNotification(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if payload, known := want[one.Channel]; !known || payload != one.Payload {
			t.Errorf("notified on %q with %q", one.Channel, one.Payload)
		}
	}
}
