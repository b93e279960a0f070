package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// mostSpans bounds what is remembered while a transaction of somebody else's stays open.
const mostSpans = 1024

// finality is up to where numbers are final, as far as this process knows without asking: every
// event up to there can be read by now, or does not exist. Each new connection begins another one,
// since after a crash numbers may be drawn again; a batch keeps to the one that it began with, which
// was true when it was committed. Guarded by Server.mu.
type finality struct {
	epoch *epoch
	upTo  uint64
	ahead []span // numbers beyond it that this process has committed, ascending
	asks  bool   // others publish: each batch asks for the horizon by itself

	begun    uint64   // batches, so far
	underWay []uint64 // which of them are
	// The number after gap is missing, and was first missed when so many batches had begun: of
	// this process's own, only those can have drawn it.
	gap, gapBegun uint64
}

// span is numbers that follow each other.
type span struct{ from, to uint64 }

// begin notes that a batch is about to draw numbers.
func (f *finality) begin() (batch uint64, asks bool) {
	f.begun++
	f.underWay = append(f.underWay, f.begun)
	return f.begun, f.asks
}

// end notes that a batch has been committed, or was not.
func (f *finality) end(batch uint64) {
	f.underWay = slices.DeleteFunc(f.underWay, func(one uint64) bool { return one == batch })
}

// commit notes numbers that were committed.
func (f *finality) commit(seqs []int64) {
	if !slices.IsSorted(seqs) {
		seqs = slices.Sorted(slices.Values(seqs))
	}
	for len(seqs) > 0 {
		n := 1
		for n < len(seqs) && seqs[n] <= seqs[n-1]+1 {
			n++
		}
		f.add(span{uint64(seqs[0]), uint64(seqs[n-1])})
		seqs = seqs[n:]
	}
	if len(f.ahead) > mostSpans {
		f.ahead = slices.Clone(f.ahead[:mostSpans]) // of what is beyond, the horizon tells
	}
}

func (f *finality) add(new span) {
	i, known := slices.BinarySearchFunc(f.ahead, new.from, func(one span, n uint64) int { return cmp.Compare(one.from, n) })
	switch {
	case new.to <= f.upTo:
	case known:
		f.ahead[i].to = max(f.ahead[i].to, new.to)
	case i > 0 && new.from <= f.ahead[i-1].to+1:
		f.ahead[i-1].to = max(f.ahead[i-1].to, new.to)
	default:
		f.ahead = slices.Insert(f.ahead, i, new)
	}
}

// reach notes that everything up to a number is final, and what follows it without a gap.
func (f *finality) reach(upTo uint64) {
	f.upTo = max(f.upTo, upTo)
	n := 0
	for ; n < len(f.ahead) && f.ahead[n].from <= f.upTo+1; n++ {
		f.upTo = max(f.upTo, f.ahead[n].to)
	}
	f.ahead = slices.Delete(f.ahead, 0, n)
}

// explained tells that numbers which are missing may be those of a batch of this process's own
// that is under way.
func (f *finality) explained() bool {
	if f.gap != f.upTo || f.gapBegun == 0 {
		f.gap, f.gapBegun = f.upTo, f.begun
	}
	return slices.ContainsFunc(f.underWay, func(one uint64) bool { return one <= f.gapBegun })
}

// settle is up to where numbers are final once a batch has been committed. Nobody is asked where
// the numbers follow those that are known to be final, as they do when only this process
// publishes. Where others do, too, the next batch asks by itself.
func (s *Server) settle(ctx context.Context, conn *pgx.Conn, done batch) (*epoch, uint64) {
	newest := uint64(slices.Max(done.seqs))
	s.mu.Lock()
	defer s.mu.Unlock()
	f := done.finality
	read := uint64(0)
	if s.place.epoch == f.epoch {
		read = s.place.seq
	}
	f.commit(done.seqs)
	f.reach(read)
	switch {
	case f.upTo >= newest:
		f.asks = false
	case done.asked:
		f.reach(done.final)
	case !f.explained():
		f.asks = true
		s.mu.Unlock()
		var final uint64 // without an answer the positions are only less exact
		_ = conn.QueryRow(ctx, readFinal, mode(conn)).Scan(&final)
		s.mu.Lock()
		f.reach(final)
	}
	return f.epoch, f.upTo
}
