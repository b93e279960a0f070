package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// statement is prepared once a connection, under its name.
type statement struct{ name, sql string }

// prepared are a connection's statements, by their names.
type prepared map[string]*pgconn.StatementDescription

// preparedKey is where a connection keeps them.
const preparedKey = "fraiseql prepared"

// prepare prepares what insertNew may need on a connection that is about to insert first: all in
// one round trip. The error is an unsent.
func prepare(ctx context.Context, conn *pgx.Conn) (prepared, error) {
	if all, done := conn.PgConn().CustomData()[preparedKey].(prepared); done {
		return all, nil
	}
	statements := [...]statement{announce, insert, askFinal, notifyOne, notifyLast}
	all := make(prepared, len(statements))
	pipeline := conn.PgConn().StartPipeline(ctx)
	for _, one := range statements {
		pipeline.SendPrepare(one.name, one.sql, nil)
	}
	err := pipeline.Sync()
	for i := 0; err == nil && i < len(statements); i++ {
		all[statements[i].name], err = described(pipeline, statements[i])
	}
	if closing := pipeline.Close(); err == nil {
		err = closing
	}
	if err != nil {
		// Some may have been prepared, and cannot be once more.
		return nil, unsent{errors.Join(err, conn.Close(ctx))}
	}
	conn.PgConn().CustomData()[preparedKey] = all
	return all, nil
}

// described is what a statement that a pipeline has prepared is executed by.
func described(pipeline *pgconn.Pipeline, one statement) (*pgconn.StatementDescription, error) {
	results, err := pipeline.GetResults()
	if err != nil {
		return nil, err
	}
	found, ok := results.(*pgconn.StatementDescription)
	if !ok {
		return nil, fmt.Errorf("%T is no description of a statement", results)
	}
	found.Name, found.SQL = one.name, one.sql
	return found, nil
}

// unsent is an error before anything was sent that publishes.
type unsent struct{ error }

func (u unsent) Unwrap() error { return u.error }
