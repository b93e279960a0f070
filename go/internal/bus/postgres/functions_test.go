package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// code is the SQLSTATE with which a statement fails, "" when it goes well.
func code(t testing.TB, conn *pgx.Conn, sql string, arguments ...any) string {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql, arguments...)
	var said *pgconn.PgError
	if err != nil && !errors.As(err, &said) {
		t.Fatalf("%s: %v", sql, err)
	}
	if err == nil {
		return ""
	}
	return said.Code
}

// value is what a statement gives, as text.
func value(t testing.TB, conn *pgx.Conn, sql string, arguments ...any) (text string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT coalesce(("+sql+")::text, 'null')", arguments...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

func TestPublishRefusesWhatIsNoEvent(t *testing.T) {
	conn := connect(t, newDatabase(t))
	long := strings.Repeat("x", 10_000)
	for _, c := range []struct {
		want      string
		arguments []any
	}{
		{"", []any{"a", "t", "{}"}},
		{"", []any{`it's"a".b:c;--`, `'"`, `{"a":"'"}`}},
		{"", []any{strings.Repeat("é", 127), "t", "{}"}},
		{"22023", []any{strings.Repeat("é", 128), "t", "{}"}},
		{"22023", []any{long, "t", "{}"}},
		{"22023", []any{"", "t", "{}"}},
		{"22023", []any{nil, "t", "{}"}},
		{"22023", []any{"a b", "t", "{}"}},
		{"22023", []any{"a\n", "t", "{}"}},
		{"22023", []any{"a..b", "t", "{}"}},
		{"22023", []any{"a\u00a0b", "t", "{}"}},
		{"22023", []any{"a\u0085", "t", "{}"}},
		{"22023", []any{"\u2003a", "t", "{}"}},
		{"22023", []any{"a\u3000", "t", "{}"}},
		{"22023", []any{"a\x7f", "t", "{}"}},
		{"", []any{"漢字.\u00a1", "t", "{}"}},
		{"22023", []any{".a", "t", "{}"}},
		{"22023", []any{"a.", "t", "{}"}},
		{"22023", []any{"a.*", "t", "{}"}},
		{"22023", []any{"a.>", "t", "{}"}},
		{"22021", []any{"a\x00", "t", "{}"}},
		{"22023", []any{"a", "", "{}"}},
		{"22023", []any{"a", nil, "{}"}},
		{"22023", []any{"a", "t", "[]"}},
		{"22023", []any{"a", "t", "1"}},
		{"22023", []any{"a", "t", "null"}},
		{"22023", []any{"a", "t", nil}},
		{"22P02", []any{"a", "t", "{"}},
		{"22P05", []any{"a", "t", `{"a":"\u0000"}`}}, // jsonb has no such character
		{"", []any{"a", "t", `{"a":"` + long + `"}`}},
	} {
		if got := code(t, conn, "SELECT fraiseql_subscriptions.publish($1::text, $2::text, $3::text::jsonb)", c.arguments...); got != c.want {
			t.Errorf("%.60q: %q, want %q", c.arguments, got, c.want)
		}
	}
	for id, want := range map[string]string{"": "22023", strings.Repeat("x", 255): "", strings.Repeat("x", 256): "22023"} {
		if got := code(t, conn, "SELECT fraiseql_subscriptions.publish('a', 't', '{}', event_id => $1)", id); got != want {
			t.Errorf("an id of %d bytes: %q, want %q", len(id), got, want)
		}
	}
}

func TestPublishedEventsHaveWhatWasGivenAndWhatWasNot(t *testing.T) {
	conn := connect(t, newDatabase(t))
	must(t, conn, `SELECT fraiseql_subscriptions.publish('a', 't', '{"b": 1}'), fraiseql_subscriptions.publish('a', 't', '{}', 'why', 'mine')`)
	row := "SELECT id = correlation_id AND id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' AND now() - published_at < interval '1 minute' FROM fraiseql_subscriptions.outbox WHERE seq = 1"
	if value(t, conn, row) != "true" {
		t.Error("what was not given is not as documented")
	}
	if got := value(t, conn, "SELECT id || ' ' || correlation_id FROM fraiseql_subscriptions.outbox WHERE seq = 2"); got != "mine why" {
		t.Errorf("published %s", got)
	}
	if first, again := value(t, conn, "SELECT epoch || ':2' FROM fraiseql_subscriptions.settings"), value(t, conn, "fraiseql_subscriptions.publish('b', 'u', '{}', event_id => 'mine')"); first != again {
		t.Errorf("an id that was published is at %s, and then at %s", first, again)
	}
}

func TestPublishManyPublishesAllInOrderOrNone(t *testing.T) {
	conn := connect(t, newDatabase(t))
	all := "SELECT string_agg(concat_ws(' ', seq, channel, event_type, data, nullif(correlation_id, id)), ', ' ORDER BY seq) FROM fraiseql_subscriptions.outbox"
	positions := value(t, conn, `SELECT array_agg(split_part(one, ':', 2)) FROM unnest(fraiseql_subscriptions.publish_many(
		'[{"channel": "b", "event_type": "t", "data": {"n": 1}}, {"channel": "a", "event_type": "u", "data": {}, "correlation_id": "why", "event_id": "x"},
		{"channel": "b", "event_type": "t", "data": {}, "event_id": "x"}]')) AS one`)
	if want := "1 b t {\"n\": 1}, 2 a u {} why"; value(t, conn, all) != want {
		t.Errorf("published %s, want %s", value(t, conn, all), want)
	}
	if positions != "{1,u0+2,u0+2}" {
		t.Errorf("at %s", positions)
	}
	if got := value(t, conn, "fraiseql_subscriptions.publish_many('[]')"); got != "{}" {
		t.Errorf("nothing is published at %s", got)
	}
	for _, bad := range []string{
		`{"channel": "a"}`, `"a"`, `[1]`, `[null]`, `[[]]`, `[{}]`, `[{"channel": "a", "event_type": "t"}]`, `[{"channel": "a", "event_type": "t", "data": []}]`,
		`[{"channel": "a", "event_type": "t", "data": {}}, {"channel": "a b", "event_type": "t", "data": {}}]`,
		`[{"channel": "a", "event_type": "t", "data": {}, "typo": 1}]`,
	} {
		if got := code(t, conn, "SELECT fraiseql_subscriptions.publish_many($1::text::jsonb)", bad); got != "22023" {
			t.Errorf("%s: %q", bad, got)
		}
	}
	if got := code(t, conn, "SELECT fraiseql_subscriptions.publish_many(NULL)"); got != "22023" {
		t.Errorf("null: %q", got)
	}
	if n := len(outbox(t, conn)); n != 2 {
		t.Errorf("%d events are published", n)
	}
}

func TestAPublisherMayPublishAndNothingElse(t *testing.T) {
	database := newDatabase(t)
	admin := connect(t, database)
	_, role := newRole(t, admin, `Pub; "x'`)
	must(t, admin, "SELECT fraiseql_subscriptions.allow_publishing($1::text::regrole)", role)
	must(t, admin, "SET ROLE "+role)
	for sql, want := range map[string]string{
		"SELECT fraiseql_subscriptions.publish('a', 't', '{}')":   "",
		"SELECT fraiseql_subscriptions.publish_many('[]')":        "",
		"SELECT * FROM fraiseql_subscriptions.outbox":             "42501",
		"SELECT * FROM fraiseql_subscriptions.settings":           "42501",
		"DELETE FROM fraiseql_subscriptions.outbox":               "42501",
		"SELECT setval('fraiseql_subscriptions.outbox_seq', 1)":   "42501",
		insertedBy("id", "'own'"):                                 "",
		insertedBy("seq, id", "77, 'other'"):                      "42501",
		insertedBy("id", "'third'") + " RETURNING seq":            "42501",
		"SELECT fraiseql_subscriptions.prune()":                   "42501",
		"SELECT fraiseql_subscriptions.horizon()":                 "42501",
		"SELECT fraiseql_subscriptions.renew_epoch('x')":          "42501",
		"SELECT fraiseql_subscriptions.announce()":                "42501",
		"SELECT fraiseql_subscriptions.allow_reading('postgres')": "42501",
		"SELECT fraiseql_subscriptions.new_id()":                  "42501",
		"CREATE TABLE fraiseql_subscriptions.other (n int)":       "42501",
	} {
		if got := code(t, admin, sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}

// insertedBy inserts an event with these values of these columns.
func insertedBy(columns, values string) string {
	return "INSERT INTO fraiseql_subscriptions.outbox (" + columns + ", channel, event_type, data, correlation_id, published_at) VALUES (" + values + ", 'a', 't', '{}', '', now())"
}

func TestAReaderMayReadAndPruneAndNothingElse(t *testing.T) {
	database := newDatabase(t)
	admin := connect(t, database)
	_, role := newRole(t, admin, "reads")
	must(t, admin, "SELECT fraiseql_subscriptions.allow_reading($1::text::regrole)", role)
	must(t, admin, "SET ROLE "+role)
	for sql, want := range map[string]string{
		"SELECT * FROM fraiseql_subscriptions.outbox":                  "",
		"SELECT * FROM fraiseql_subscriptions.settings":                "",
		"SELECT * FROM fraiseql_subscriptions.horizon()":               "",
		"SELECT fraiseql_subscriptions.prune()":                        "",
		"SELECT fraiseql_subscriptions.renew_epoch('not the present')": "",
		"LISTEN fraiseql": "",
		"SELECT fraiseql_subscriptions.publish('a', 't', '{}')":          "42501",
		"SELECT fraiseql_subscriptions.publish_many('[]')":               "42501",
		"DELETE FROM fraiseql_subscriptions.outbox":                      "42501",
		insertedBy("id", "'own'"):                                        "42501",
		"UPDATE fraiseql_subscriptions.settings SET retention = '1 day'": "42501",
	} {
		if got := code(t, admin, sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}

func TestAStrangerMayDoNothing(t *testing.T) {
	admin := connect(t, newDatabase(t))
	_, role := newRole(t, admin, "stranger")
	must(t, admin, "SET ROLE "+role)
	for _, sql := range []string{
		"SELECT * FROM fraiseql_subscriptions.outbox", "SELECT fraiseql_subscriptions.publish('a', 't', '{}')", "SELECT fraiseql_subscriptions.horizon()",
	} {
		if got := code(t, admin, sql); got != "42501" {
			t.Errorf("%s: %q", sql, got)
		}
	}
}

func TestTheHorizonIsTheLeastBoundOfThoseThatPublish(t *testing.T) {
	database := newDatabase(t)
	conn := connect(t, database)
	horizon := func() string {
		return value(t, conn, "SELECT concat_ws(' ', issued, final, coalesce(holder::text, '-')) FROM fraiseql_subscriptions.horizon()")
	}
	check := func(want string) {
		t.Helper()
		if got := horizon(); got != want {
			t.Errorf("the horizon is %s, want %s", got, want)
		}
	}
	check("0 0 -")
	publish(t, conn, "a")
	check("1 1 -")
	one, two := connect(t, database), connect(t, database)
	must(t, one, "BEGIN")
	publish(t, one, "b")
	publish(t, conn, "c")
	must(t, two, "BEGIN")
	publish(t, two, "d")
	first, second := fmt.Sprint(one.PgConn().PID()), fmt.Sprint(two.PgConn().PID())
	check("4 1 " + first)
	must(t, one, "COMMIT")
	check("4 3 " + second)
	must(t, two, "ROLLBACK")
	check("4 4 -")
	// Another database's publishers are none of this one's.
	other := connect(t, newDatabase(t))
	must(t, other, "BEGIN")
	publish(t, other, "e")
	check("4 4 -")
	must(t, one, "BEGIN")
	must(t, one, "SELECT fraiseql_subscriptions.publish('a', 'f', '{}', wake => false)")
	must(t, one, "PREPARE TRANSACTION 'horizon'")
	check("5 4 0")
	must(t, one, "ROLLBACK PREPARED 'horizon'")
	check("5 5 -")
}

func TestPruneKeepsWhatHasNotBeenFinalForTheRetention(t *testing.T) {
	database := newDatabase(t)
	conn, long := connect(t, database), connect(t, database)
	prune := func() string { return value(t, conn, "fraiseql_subscriptions.prune(2)") }
	age := func(interval string) {
		must(t, conn, "UPDATE fraiseql_subscriptions.mark SET marked_at = marked_at - $1::text::interval", interval)
	}
	floor := func() string { return value(t, conn, "SELECT floor FROM fraiseql_subscriptions.settings") }
	publish(t, conn, "a")
	publish(t, conn, "b")
	publish(t, conn, "c")
	must(t, long, "BEGIN")
	publish(t, long, "d")
	publish(t, conn, "e")
	if prune() != "0" || floor() != "0" {
		t.Error("pruned what is new")
	}
	age("59 minutes")
	if prune() != "0" {
		t.Error("pruned before the retention")
	}
	age("2 minutes")
	if got := []string{prune(), floor(), prune(), floor(), prune(), floor()}; !slices.Equal(got, []string{"2", "2", "1", "3", "0", "3"}) {
		t.Errorf("pruned and floors %v", got)
	}
	// d was on its way when e was marked, so it stays for as long again.
	must(t, long, "COMMIT")
	if got := value(t, conn, "SELECT string_agg(event_type, '' ORDER BY seq) FROM fraiseql_subscriptions.outbox"); got != "de" {
		t.Errorf("left is %s", got)
	}
	age("59 minutes")
	if prune() != "0" {
		t.Error("pruned an event that has just become final")
	}
	age("61 minutes")
	if got := []string{prune(), floor()}; !slices.Equal(got, []string{"2", "5"}) {
		t.Errorf("pruned and floor %v", got)
	}
	// One at a time.
	must(t, long, "BEGIN")
	must(t, long, "SELECT pg_advisory_xact_lock(1718579572, 0)")
	publish(t, conn, "f")
	must(t, conn, "INSERT INTO fraiseql_subscriptions.mark SELECT now() - interval '2 hours', 6")
	if prune() != "0" {
		t.Error("two prune at once")
	}
	must(t, long, "COMMIT")
	if prune() != "1" {
		t.Error("and then nobody does")
	}
}

func TestRowChangesOfAWatchedTableArePublished(t *testing.T) {
	database := newDatabase(t)
	conn := connect(t, database)
	last := func() string {
		return value(t, conn, "SELECT concat_ws(' ', channel, event_type, data) FROM fraiseql_subscriptions.outbox ORDER BY seq DESC LIMIT 1")
	}
	must(t, conn, `CREATE SCHEMA "My; ""shop"; CREATE TABLE "My; ""shop"."or'der" (id int PRIMARY KEY, note text); CREATE TABLE plain (id int)`)
	must(t, conn, `SELECT fraiseql_subscriptions.watch('"My; ""shop"."or''der"', 'orders.it''s'), fraiseql_subscriptions.watch('plain')`)
	for _, c := range []struct{ sql, want string }{
		{`INSERT INTO "My; ""shop"."or'der" VALUES (1, 'a')`, `orders.it's or'der_inserted {"id": 1, "note": "a"}`},
		{`UPDATE "My; ""shop"."or'der" SET note = NULL`, `orders.it's or'der_updated {"id": 1, "note": null}`},
		{`DELETE FROM "My; ""shop"."or'der"`, `orders.it's or'der_deleted {"id": 1, "note": null}`},
		{"INSERT INTO plain VALUES (7)", `plain plain_inserted {"id": 7}`},
	} {
		must(t, conn, c.sql)
		if got := last(); got != c.want {
			t.Errorf("%s: published %s, want %s", c.sql, got, c.want)
		}
	}
	// Whoever may change the table need not be a publisher.
	_, clerk := newRole(t, conn, "clerk")
	must(t, conn, "GRANT ALL ON plain TO "+clerk+"; SET ROLE "+clerk)
	must(t, conn, "INSERT INTO plain VALUES (8)")
	if got := code(t, conn, "SELECT fraiseql_subscriptions.watch('plain')"); got != "42501" {
		t.Errorf("a stranger watches: %q", got)
	}
	must(t, conn, "RESET ROLE")
	if got := last(); got != `plain plain_inserted {"id": 8}` {
		t.Errorf("published %s", got)
	}
	must(t, conn, "BEGIN; INSERT INTO plain VALUES (9); ROLLBACK")
	must(t, conn, "SELECT fraiseql_subscriptions.watch('plain', 'other')") // instead
	must(t, conn, "INSERT INTO plain VALUES (10), (11)")
	if got := value(t, conn, "SELECT string_agg(concat_ws(' ', channel, data ->> 'id'), ', ' ORDER BY seq) FROM fraiseql_subscriptions.outbox WHERE seq > 5"); got != "other 10, other 11" {
		t.Errorf("published %s", got)
	}
	must(t, conn, "SELECT fraiseql_subscriptions.unwatch('plain'), fraiseql_subscriptions.unwatch('plain')")
	must(t, conn, "INSERT INTO plain VALUES (12)")
	if got := last(); !strings.HasSuffix(got, `{"id": 11}`) {
		t.Errorf("published %s after the end", got)
	}
	if got := code(t, conn, "SELECT fraiseql_subscriptions.watch('plain', 'a b')"); got != "22023" {
		t.Errorf("a channel that is none: %q", got)
	}
	if got := code(t, conn, "SELECT fraiseql_subscriptions.watch('nothing')"); got != "42P01" {
		t.Errorf("a table that is none: %q", got)
	}
	must(t, conn, `CREATE TABLE "no channel" (id int)`)
	if got := code(t, conn, `SELECT fraiseql_subscriptions.watch('"no channel"')`); got != "22023" {
		t.Errorf("a table whose name is no channel: %q", got)
	}
}

func TestAnEpochIsRenewedOnce(t *testing.T) {
	conn := connect(t, newDatabase(t))
	epoch := func() string { return value(t, conn, "SELECT epoch FROM fraiseql_subscriptions.settings") }
	first := epoch()
	second := value(t, conn, "fraiseql_subscriptions.renew_epoch($1)", first)
	if second == first || epoch() != second {
		t.Errorf("from %s to %s, which is %s", first, second, epoch())
	}
	if again := value(t, conn, "fraiseql_subscriptions.renew_epoch($1)", first); again != second {
		t.Errorf("renewed twice: %s", again)
	}
}
