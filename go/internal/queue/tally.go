package queue

// A tally is a number of responses and their bytes in one word, bytes<<24 +
// count. Sums and differences of tallies are those of the parts as long as the
// result is within half the range: 2^23 responses and 512 GiB. Running totals may
// wrap.
type tally uint64

const (
	countBits = 24
	oneCount  = tally(1)
	// maxCount bounds Policy.MaxResponses in effect, maxLag what one consumer may
	// have taken but not counted. Together they leave tallies room to be compared.
	maxCount = 1 << (countBits - 2)
	maxLag   = 1 << 6
)

func bytesTally(n int64) tally { return tally(uint64(n) << countBits) }

func (t tally) count() int   { return int(int64(t<<(64-countBits)) >> (64 - countBits)) }
func (t tally) bytes() int64 { return int64(t-tally(t.count())) >> countBits }

// countSince returns how far the count is past index, which may be negative.
// From an index more than 2^23 behind it returns too little, never too much.
func (t tally) countSince(index uint64) int { return (t - tally(index)).count() }

// pushed counts the cells that completed pushes have filled: a lower bound of the
// tail's index that lags by the pushes under way, and so where to start looking
// for it. popped does the same for taken cells and the head.
func (q *Queue) pushed() tally { return tally(q.in.Load()) }
func (q *Queue) popped() tally { return tally(q.out.Load()) }

// queued is what lies between them. Responses being appended may be missing,
// those being taken are still in it. The count may be momentarily negative.
func (q *Queue) queued() tally {
	in := q.pushed() // first: out only grows, so the sum is never too large for long
	return in - q.popped()
}
