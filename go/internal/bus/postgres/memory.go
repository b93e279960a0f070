package postgres

import (
	"hash/maphash"
	"sort"
	"time"
)

// remembered is how many of the newest rows read a tail remembers.
const remembered = 4096

// memory knows the newest rows that were read, so that a database that comes back
// with another history can be told from one that has only been away: a failover that
// lost commits, an older backup, a schema that was installed anew. Numbers alone do
// not tell, since they are drawn again.
type memory struct {
	seed   maphash.Seed
	rows   []trace // a ring; next is the oldest once it is full
	next   int
	lastID string    // of the newest row
	last   time.Time // when it was published, or reading began
}

// trace is a row without its text.
type trace struct{ seq, id uint64 }

func (m *memory) add(rows []row) {
	if m.seed == (maphash.Seed{}) {
		m.seed = maphash.MakeSeed()
	}
	for i := range rows {
		one := trace{rows[i].seq, maphash.String(m.seed, rows[i].id)}
		if len(m.rows) < remembered {
			m.rows = append(m.rows, one)
			continue
		}
		m.rows[m.next] = one
		m.next = (m.next + 1) % remembered
	}
	if n := len(rows); n > 0 {
		m.lastID, m.last = rows[n-1].id, rows[n-1].publishedAt
	}
}

// span is the lowest and the highest number remembered.
func (m *memory) span() (lowest, highest uint64, some bool) {
	if len(m.rows) == 0 {
		return 0, 0, false
	}
	return m.at(0).seq, m.at(len(m.rows) - 1).seq, true
}

// at is the row that was read i-th of those remembered.
func (m *memory) at(i int) trace { return m.rows[(m.next+i)%len(m.rows)] }

// knows reports whether a row is one that was read.
func (m *memory) knows(seq uint64, id string) bool {
	at := sort.Search(len(m.rows), func(i int) bool { return m.at(i).seq >= seq })
	return at < len(m.rows) && m.at(at) == trace{seq, maphash.String(m.seed, id)}
}

// restart forgets everything but the row from which reading goes on.
func (m *memory) restart(newest row) {
	m.rows, m.next, m.lastID = nil, 0, ""
	if newest.seq > 0 {
		m.add([]row{newest})
	}
	m.last = newest.publishedAt
}
