package schema

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Status describes an installation.
type Status struct {
	Server    string   `json:"server"`    // version
	Installed int      `json:"installed"` // version of the schema, 0 for none
	Wanted    int      `json:"wanted"`    // version that this program works with
	Epoch     string   `json:"epoch,omitempty"`
	Prefix    string   `json:"prefix,omitempty"`
	Retention float64  `json:"retention,omitempty"` // seconds
	Events    int64    `json:"events"`              // in the outbox
	Bytes     int64    `json:"bytes"`               // of the outbox with its indexes
	Newest    int64    `json:"newest"`              // number of the newest event
	Final     int64    `json:"final"`               // up to here readers can read
	Holder    *int     `json:"holder"`              // process id that holds final back; 0: a prepared transaction
	Floor     int64    `json:"floor"`               // up to here events may have been pruned
	Queue     float64  `json:"queue"`               // share of the notification queue in use
	Watched   []string `json:"watched"`             // tables whose changes are published
}

// Describe reads the status of an installation.
func Describe(ctx context.Context, conn *pgx.Conn) (Status, error) {
	s := Status{Wanted: Version}
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version'), pg_notification_queue_usage()").Scan(&s.Server, &s.Queue); err != nil {
		return s, err
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
		if s.Installed, err = installed(ctx, tx); err != nil || s.Installed == 0 {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT epoch, prefix, extract(epoch FROM retention)::float8, floor
			FROM fraiseql_subscriptions.settings`).Scan(&s.Epoch, &s.Prefix, &s.Retention, &s.Floor); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT count(*), pg_total_relation_size('fraiseql_subscriptions.outbox')
			FROM fraiseql_subscriptions.outbox`).Scan(&s.Events, &s.Bytes); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT issued, final, holder FROM fraiseql_subscriptions.horizon()").Scan(&s.Newest, &s.Final, &s.Holder); err != nil {
			return err
		}
		s.Watched, err = watchedTables(ctx, tx)
		return err
	})
	return s, err
}
