package limit_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/limit"
)

type holding struct {
	account          *limit.Account
	connection, user string
}

// refusal is the limit that one more subscription would exceed, counted from scratch.
func refusal(c limit.Counts, held []holding, connection, user string) string {
	var all, on, of int
	connections, usersConnections := map[string]bool{}, map[string]bool{}
	for _, h := range append(held, holding{nil, connection, user}) {
		all++
		connections[h.connection] = true
		if h.connection == connection {
			on++
		}
		if user != "" && h.user == user {
			of++
			usersConnections[h.connection] = true
		}
	}
	for _, one := range []struct {
		name        string
		most, asked int
	}{
		{"max_subscriptions", c.Subscriptions, all},
		{"max_subscriptions_per_connection", c.SubscriptionsPerConnection, on},
		{"max_connections", c.Connections, len(connections)},
		{"max_subscriptions_per_user", c.SubscriptionsPerUser, of},
		{"max_connections_per_user", c.ConnectionsPerUser, len(usersConnections)},
	} {
		if one.most > 0 && one.asked > one.most {
			return one.name
		}
	}
	return ""
}

func TestTheBookRefusesExactlyWhatExceedsALimit(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 200 {
		counts := limit.Counts{
			Subscriptions: random.IntN(20), SubscriptionsPerConnection: random.IntN(6), SubscriptionsPerUser: random.IntN(8),
			Connections: random.IntN(6), ConnectionsPerUser: random.IntN(4),
		}
		users := pace(t, 1, 3)
		book := limit.NewBook(counts, &users)
		var held []holding
		now := int64(0)
		for range 300 {
			now += random.Int64N(int64(time.Second))
			connection := string('a' + rune(random.IntN(8)))
			user := []string{"", "u", "v", "w", "1u"}[random.IntN(5)]
			if len(held) > 0 && random.IntN(5) < 2 {
				i := random.IntN(len(held))
				book.Release(held[i].account, now)
				held[i] = held[len(held)-1]
				held = held[:len(held)-1]
				continue
			}
			account, err := book.Reserve(connection, user, now)
			want := refusal(counts, held, connection, user)
			if fault.LimitOf(err) != want {
				t.Fatalf("round %d, %+v: %s for %s was refused for %q, want %q", round, counts, connection, user, fault.LimitOf(err), want)
			}
			if err == nil {
				held = append(held, holding{account, connection, user})
				if account.User != nil {
					users.Take(&account.User.Bucket, now, 1)
				}
			}
		}
		for _, h := range held {
			book.Release(h.account, now)
		}
		book.Release(reserved(t, book, now+int64(time.Hour)), now+int64(time.Hour))
		for range 10 {
			book.Release(reserved(t, book, now+int64(time.Hour)), now+int64(time.Hour))
		}
		for _, size := range book.Sizes() {
			if size != 0 {
				t.Fatalf("round %d: %v is left", round, book.Sizes())
			}
		}
	}
}

func reserved(t *testing.T, book *limit.Book, now int64) *limit.Account {
	t.Helper()
	account, err := book.Reserve("last", "", now)
	if err != nil {
		t.Fatal(err)
	}
	return account
}

func TestARefusalNamesTheLimitItsValueAndWhatWasAsked(t *testing.T) {
	book := limit.NewBook(limit.Counts{SubscriptionsPerUser: 2}, nil)
	for range 2 {
		if _, err := book.Reserve("c", "u", 0); err != nil {
			t.Fatal(err)
		}
	}
	_, err := book.Reserve("d", "u", 0)
	var exceeded *fault.Error
	if !errors.As(err, &exceeded) || exceeded.Code != fault.LimitExceeded || exceeded.Limit != "max_subscriptions_per_user" || exceeded.Value != 2 || exceeded.Asked != 3 {
		t.Errorf("%v", err)
	}
}

func TestAMoveCountsForTheNewUserOrChangesNothing(t *testing.T) {
	book := limit.NewBook(limit.Counts{SubscriptionsPerUser: 1}, nil)
	first, _ := book.Reserve("c", "u", 0)
	second, _ := book.Reserve("c", "v", 0)
	if _, err := book.Move(second, "u", 0); fault.LimitOf(err) != "max_subscriptions_per_user" {
		t.Errorf("%v", err)
	}
	moved, err := book.Move(second, "w", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := book.Reserve("c", "v", 0); err != nil {
		t.Errorf("v still counts: %v", err)
	}
	book.Release(moved, 0)
	book.Release(first, 0)
}

func TestAUserWhoComesBackFindsTheBucketThatWasLeft(t *testing.T) {
	users := pace(t, 1, 2)
	book := limit.NewBook(limit.Counts{}, &users)
	account, _ := book.Reserve("c", "u", 0)
	users.Take(&account.User.Bucket, 0, 2)
	book.Release(account, 0)
	for range 5 { // others come and go
		book.Release(reserved(t, book, 0), 0)
	}
	account, _ = book.Reserve("d", "u", 0)
	if users.Take(&account.User.Bucket, 0, 1) {
		t.Error("the bucket is new")
	}
	book.Release(account, 0)
	later := int64(time.Minute)
	for range 5 {
		book.Release(reserved(t, book, later), later)
	}
	for _, size := range book.Sizes() {
		if size != 0 {
			t.Errorf("%v is left", book.Sizes())
		}
	}
}

func TestUsersWhoWentAreForgotten(t *testing.T) {
	users := pace(t, 1, 5)
	book := limit.NewBook(limit.Counts{}, &users)
	now := int64(0)
	most := 0
	for i := range 50_000 {
		now += int64(10 * time.Millisecond)
		account, _ := book.Reserve("c", name(i)+"u", now)
		users.Take(&account.User.Bucket, now, 1)
		book.Release(account, now)
		most = max(most, book.Sizes()[2])
	}
	if most > 1000 {
		t.Errorf("%d users were kept", most)
	}
}
