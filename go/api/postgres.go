package api

import (
	"encoding/json"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bridge"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/schema"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// PostgresSQL is the SQL that installs the PostgreSQL schema.
func PostgresSQL() string { return schema.SQL() }

// PostgresTool runs a command on the database at url: install (options: JSON of
// schema.Options), uninstall (options: "cascade" or "") or status. It returns what
// it did as JSON.
func PostgresTool(command, url, options string) (result string, err error) {
	defer guard(0, &err)
	if bridge.Forked() {
		return "", errForked
	}
	var found any
	bridge.CurrentThread().Unlocked(func() { found, err = schema.Run(command, url, options) })
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(found)
	if err != nil {
		return "", fault.New(fault.Engine, "the result cannot be written: %w", err)
	}
	return string(text), nil
}
