package postgres

import (
	"log/slog"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
)

// patience bounds every wait of a test. It is never waited out unless the test fails.
const patience = 30 * time.Second

// openBus opens a bus that dispatches to d and ends with the test.
func openBus(t testing.TB, d bus.Dispatcher, options Options) *remote.Bus {
	t.Helper()
	made, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	b := remote.New(d, made, remote.Options{PublishTimeout: patience, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		ended := make(chan struct{})
		b.Close()
		if !b.Settled(new(bus.Thread), func() { close(ended) }) {
			bustest.Receive(t, ended, "the bus to end")
		}
	})
	return b
}

func TestABusInPostgreSQLKeepsTheContract(t *testing.T) {
	bustest.Run(t, func(t *testing.T, d bus.Dispatcher) bus.Bus {
		return openBus(t, d, Options{URL: server.URL(newDatabase(t))})
	})
}
