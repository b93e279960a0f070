// Package postgres reads the outbox that the schema fraiseql_subscriptions keeps
// in an application's database, in an order that concurrent transactions cannot
// break: no event is passed over, none is given twice.
package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	readRows    = rowColumns + `WHERE seq > $1 ORDER BY seq LIMIT $2`
	readHorizon = `SELECT final, holder FROM fraiseql_subscriptions.horizon()`
	readFirst   = `SELECT coalesce(min(seq), 0) FROM fraiseql_subscriptions.outbox WHERE seq > $1`
)

// row is an event as the outbox holds it.
type row struct {
	seq               uint64
	id, channel, kind string
	data              []byte
	correlationID     string
	publishedAt       time.Time
}

// tail reads the outbox in the order of seq without passing over an event whose
// transaction has not ended. Not safe for concurrent use.
//
// Rows that follow each other without a gap need no proof: nothing is missing.
// At a gap, tail asks for the horizon, which looks at who is publishing, and then
// reads again, which takes a newer snapshot. A number up to that horizon that
// this snapshot does not show was rolled back.
type tail struct {
	epoch  *epoch // in which passed is a place; nil before reading began
	passed uint64 // every event up to here has been read, or does not exist
	held   held
	memory memory
}

// restart lets the tail read what comes after a row.
func (t *tail) restart(epoch *epoch, newest row) {
	t.epoch, t.passed, t.held = epoch, newest.seq, held{}
	t.memory.restart(newest)
}

// held says that an event that can be seen waits for another transaction.
type held struct {
	since  time.Time // zero: nothing waits
	holder int       // process id of a session that it waits for; 0: a prepared transaction
	upTo   uint64    // nothing is missing any more once the horizon has got here
}

// next reads at most limit rows. full means that there may be more at once.
func (t *tail) next(ctx context.Context, conn *pgx.Conn, limit int) (rows []row, full bool, err error) {
	if !t.held.since.IsZero() {
		if held, err := t.isHeld(ctx, conn); held || err != nil {
			return nil, false, err
		}
		return t.nextWithin(ctx, conn, limit)
	}
	found, err := conn.Query(ctx, readRows, t.passed, limit)
	if err != nil {
		return nil, false, err
	}
	if rows, err = pgx.CollectRows(found, scan); err != nil {
		return nil, false, err
	}
	if len(rows) == 0 || rows[len(rows)-1].seq == t.passed+uint64(len(rows)) {
		t.pass(rows)
		t.held = held{}
		return rows, len(rows) == limit, nil
	}
	return t.nextWithin(ctx, conn, limit)
}

// nextWithin is next where there is a gap.
func (t *tail) nextWithin(ctx context.Context, conn *pgx.Conn, limit int) (rows []row, full bool, err error) {
	var final uint64
	var holder *int
	batch := new(pgx.Batch) // one round trip; each statement has a snapshot of its own
	batch.Queue(readHorizon).QueryRow(func(one pgx.Row) error { return one.Scan(&final, &holder) })
	batch.Queue(readRows, t.passed, limit).Query(func(found pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(found, scan)
		return err
	})
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, false, err
	}
	all, blocked := len(rows), uint64(0)
	if can := ready(rows, t.passed, final); can < all {
		blocked = rows[can].seq
		rows = rows[:can]
	}
	t.pass(rows)
	if len(rows) == all {
		t.held = held{}
		return rows, all == limit, nil
	}
	if t.held.since.IsZero() || len(rows) > 0 {
		t.held.since = time.Now()
	}
	t.held.upTo = blocked - 1
	t.held.by(holder)
	return rows, false, nil
}

// isHeld looks, without reading rows, whether what held the tail back still does.
func (t *tail) isHeld(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var final, first uint64
	var holder *int
	batch := new(pgx.Batch)
	batch.Queue(readHorizon).QueryRow(func(one pgx.Row) error { return one.Scan(&final, &holder) })
	batch.Queue(readFirst, t.passed).QueryRow(func(one pgx.Row) error { return one.Scan(&first) })
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return false, err
	}
	t.held.by(holder)
	return first != t.passed+1 && final < t.held.upTo, nil
}

func (h *held) by(holder *int) {
	h.holder = 0
	if holder != nil {
		h.holder = *holder
	}
}

// ready is how many of rows may be passed on: up to the first with a number
// missing below it that is beyond final.
func ready(rows []row, passed, final uint64) int {
	for i := range rows {
		if seq := rows[i].seq; seq != passed+1 && seq-1 > final {
			return i
		}
		passed = rows[i].seq
	}
	return len(rows)
}

// pass notes what was read.
func (t *tail) pass(rows []row) {
	if len(rows) > 0 {
		t.passed = rows[len(rows)-1].seq
		t.memory.add(rows)
	}
}

func scan(found pgx.CollectableRow) (r row, err error) {
	err = found.Scan(&r.seq, &r.id, &r.channel, &r.kind, &r.data, &r.correlationID, &r.publishedAt)
	return r, err
}
