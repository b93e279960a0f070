package limit

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"

// Counts bound how much there may be at a time. Zero means unlimited.
type Counts struct {
	Subscriptions, SubscriptionsPerConnection, SubscriptionsPerUser int
	// A connection counts while it has subscriptions, for each user who has some.
	Connections, ConnectionsPerUser int
}

// Book counts live subscriptions by connection and user. Its caller's lock guards it:
// what Reserve finds out is true until that is given up.
type Book struct {
	counts        Counts
	users         *Pace // nil: users have no rate
	subscriptions int
	connections   map[string]int // subscriptions of each
	byUser        map[string]*User
	accounts      map[accountKey]*Account
	leaving       hand[*User] // without subscriptions, until their buckets are full
}

// User is somebody with subscriptions.
type User struct {
	// Bucket is that of the users' pace, one for all that the user has, wherever.
	Bucket        Bucket
	name          string
	subscriptions int
	connections   int
	leaving       bool // in Book.leaving
}

type accountKey struct{ connection, user string }

// Account is what a user, or nobody, has on one connection.
type Account struct {
	key           accountKey
	User          *User // nil: nobody
	subscriptions int
}

// NewBook makes an empty book. users is the pace of the users' buckets, or nil.
func NewBook(counts Counts, users *Pace) *Book {
	return &Book{
		counts: counts, users: users,
		connections: make(map[string]int), byUser: make(map[string]*User), accounts: make(map[accountKey]*Account),
	}
}

// Reserve counts one more subscription of a user, "" for nobody, on a connection, if
// every limit has room for it. Otherwise nothing has changed, and the error names the
// limit, its value and what was asked.
func (b *Book) Reserve(connection, user string, now int64) (*Account, error) {
	b.sweep(now)
	a := b.accounts[accountKey{connection, user}]
	if err := b.check(connection, user, a); err != nil {
		return nil, err
	}
	return b.enter(connection, user, a), nil
}

// Move counts a subscription for another user of its connection, if that user's
// limits have room for it. Otherwise nothing has changed.
func (b *Book) Move(from *Account, user string, now int64) (*Account, error) {
	if from.key.user == user {
		return from, nil
	}
	connection := from.key.connection
	to := b.accounts[accountKey{connection, user}]
	if err := b.checkUser(user, to); err != nil {
		return nil, err
	}
	to = b.enter(connection, user, to)
	b.Release(from, now)
	return to, nil
}

func (b *Book) check(connection, user string, a *Account) error {
	on := b.connections[connection]
	for _, one := range [...]struct {
		name        string
		most, asked int
		what        string
	}{
		{"max_subscriptions", b.counts.Subscriptions, b.subscriptions + 1, "subscriptions"},
		{"max_subscriptions_per_connection", b.counts.SubscriptionsPerConnection, on + 1, "subscriptions of the connection"},
		{"max_connections", b.counts.Connections, len(b.connections) + 1 - min(on, 1), "connections with subscriptions"},
	} {
		if one.most > 0 && one.asked > one.most {
			return exceeded(one.name, one.most, one.asked, one.what)
		}
	}
	return b.checkUser(user, a)
}

func (b *Book) checkUser(user string, a *Account) error {
	if user == "" {
		return nil
	}
	var u User
	if known := b.byUser[user]; known != nil {
		u.subscriptions, u.connections = known.subscriptions, known.connections
	}
	if most := b.counts.SubscriptionsPerUser; most > 0 && u.subscriptions+1 > most {
		return exceeded("max_subscriptions_per_user", most, u.subscriptions+1, "subscriptions of the user")
	}
	if most := b.counts.ConnectionsPerUser; most > 0 && a == nil && u.connections+1 > most {
		return exceeded("max_connections_per_user", most, u.connections+1, "connections with subscriptions of the user")
	}
	return nil
}

func exceeded(name string, most, asked int, what string) error {
	return fault.Exceeded(fault.LimitExceeded, name, float64(most), float64(asked),
		"this would make %d %s, and %s is %d; complete some first, or raise the limit", asked, what, name, most)
}

// enter counts one more; a is the account, nil where there is none yet.
func (b *Book) enter(connection, user string, a *Account) *Account {
	if a == nil {
		a = &Account{key: accountKey{connection, user}}
		b.accounts[a.key] = a
		if user != "" {
			a.User = b.user(user)
			a.User.connections++
		}
	}
	a.subscriptions++
	b.subscriptions++
	b.connections[a.key.connection]++
	if a.User != nil {
		a.User.subscriptions++
	}
	return a
}

func (b *Book) user(name string) *User {
	u := b.byUser[name]
	if u == nil {
		u = &User{name: name}
		b.byUser[name] = u
	}
	return u
}

// Release undoes one Reserve. A user who has nothing left keeps an empty bucket until
// it is full, so that coming back gains nothing.
func (b *Book) Release(a *Account, now int64) {
	b.sweep(now)
	b.subscriptions--
	connection := a.key.connection
	if b.connections[connection]--; b.connections[connection] == 0 {
		delete(b.connections, connection)
	}
	u := a.User
	if u != nil {
		u.subscriptions--
	}
	if a.subscriptions--; a.subscriptions > 0 {
		return
	}
	delete(b.accounts, a.key)
	if u == nil {
		return
	}
	if u.connections--; u.connections > 0 {
		return
	}
	if b.users == nil || u.Bucket.isFull(now) {
		b.forget(u)
	} else if !u.leaving {
		u.leaving = true
		b.leaving.add(u)
	}
}

// forget drops a user without subscriptions, unless the hand will.
func (b *Book) forget(u *User) {
	if !u.leaving {
		delete(b.byUser, u.name)
	}
}

func (b *Book) sweep(now int64) {
	b.leaving.sweep(func(u *User) bool {
		if u.connections == 0 && !u.Bucket.isFull(now) {
			return false
		}
		u.leaving = false
		if u.connections == 0 {
			delete(b.byUser, u.name)
		}
		return true
	})
}

// Sizes are those of the tables: what a book without subscriptions has is zero, but
// for users whose buckets are not full yet.
func (b *Book) Sizes() []int {
	return []int{b.subscriptions, len(b.connections), len(b.byUser), len(b.accounts), len(b.leaving.entries)}
}
