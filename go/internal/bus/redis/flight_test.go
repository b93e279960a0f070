package redis

import (
	"testing"
	"time"
)

func TestTheReaderWaitsForACrowdThatIsUnderWay(t *testing.T) {
	var f flight
	// waited is the least of some waits: the machine may be busy.
	waited := func() time.Duration {
		least := time.Hour
		for range 50 {
			begin := time.Now()
			f.await()
			least = min(least, time.Since(begin))
		}
		return least
	}
	if got := waited(); got >= flightPatience {
		t.Errorf("%v are waited for nothing", got)
	}
	f.begin(crowd - 1)
	if got := waited(); got >= flightPatience {
		t.Errorf("%v are waited for a few", got)
	}
	land := f.begin(crowd)
	if got := waited(); got < flightPatience {
		t.Errorf("a crowd is waited for %v", got)
	}
	land()
	if got := waited(); got >= flightPatience {
		t.Errorf("%v are waited for what is answered", got)
	}
}
