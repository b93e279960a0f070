package memory

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheMemoryBusKeepsTheContract(t *testing.T) {
	bustest.Run(t, func(_ *testing.T, d bus.Dispatcher) bus.Bus { return New(d, 64) })
}
