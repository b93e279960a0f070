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
	connections   map[string]*connection
	byUser        map[string]*User
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

// connection has an account for each of its users. There is one as a rule, so that is
// kept inside.
type connection struct {
	name          string
	subscriptions int
	accounts      Account // first of a list
}

// Account is what a user, or nobody, has on one connection.
type Account struct {
	connection    *connection // nil: it accompanies another
	User          *User       // nil: nobody
	next          *Account
	subscriptions int
}

func (a *Account) isOf(user string) bool {
	if a.User == nil {
		return user == ""
	}
	return a.User.name == user
}

// find is the account of a user that has subscriptions on c; nil: none.
func (c *connection) find(user string) *Account {
	if c == nil {
		return nil
	}
	for a := &c.accounts; a != nil; a = a.next {
		if a.subscriptions > 0 && a.isOf(user) {
			return a
		}
	}
	return nil
}

// vacant is an account on c that nobody has.
func (c *connection) vacant() *Account {
	if c.accounts.subscriptions == 0 {
		return &c.accounts
	}
	a := &Account{next: c.accounts.next}
	c.accounts.next = a
	return a
}

// drop takes an account that nobody has off the list of c.
func (c *connection) drop(a *Account) {
	for before := &c.accounts; before.next != nil; before = before.next {
		if before.next == a {
			before.next = a.next
			return
		}
	}
}

// NewBook makes an empty book. users is the pace of the users' buckets, or nil.
func NewBook(counts Counts, users *Pace) *Book {
	return &Book{
		counts: counts, users: users,
		connections: make(map[string]*connection), byUser: make(map[string]*User),
	}
}

// Reserve counts one more subscription of a user, "" for nobody, on a connection, if
// every limit has room for it. Otherwise nothing has changed, and the error names the
// limit, its value and what was asked.
func (b *Book) Reserve(on, user string, now int64) (*Account, error) {
	b.sweep(now)
	c := b.connections[on]
	a := c.find(user)
	if err := b.check(c, user, a); err != nil {
		return nil, err
	}
	if c == nil {
		c = &connection{name: on}
		b.connections[on] = c
	}
	return b.enter(c, user, a), nil
}

// Accompany is an account for a part of what Reserve has counted: it is not counted again,
// and its deliveries are its user's.
func (b *Book) Accompany(user string) *Account { return &Account{User: b.byUser[user]} }

// Move counts a subscription for another user of its connection, if that user's
// limits have room for it. Otherwise nothing has changed.
func (b *Book) Move(from *Account, user string, now int64) (*Account, error) {
	if from.connection == nil {
		return b.Accompany(user), nil
	}
	if from.isOf(user) {
		return from, nil
	}
	to := from.connection.find(user)
	if err := b.checkUser(user, to); err != nil {
		return nil, err
	}
	to = b.enter(from.connection, user, to)
	b.Release(from, now)
	return to, nil
}

func (b *Book) check(c *connection, user string, a *Account) error {
	on, connections := 0, len(b.connections)
	if c == nil {
		connections++
	} else {
		on = c.subscriptions
	}
	for _, one := range [...]struct {
		name        string
		most, asked int
		what        string
	}{
		{"max_subscriptions", b.counts.Subscriptions, b.subscriptions + 1, "subscriptions"},
		{"max_subscriptions_per_connection", b.counts.SubscriptionsPerConnection, on + 1, "subscriptions of the connection"},
		{"max_connections", b.counts.Connections, connections, "connections with subscriptions"},
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
func (b *Book) enter(c *connection, user string, a *Account) *Account {
	if a == nil {
		a = c.vacant()
		a.connection, a.User = c, nil
		if user != "" {
			a.User = b.user(user)
			a.User.connections++
		}
	}
	a.subscriptions++
	b.subscriptions++
	c.subscriptions++
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
	c := a.connection
	if c == nil {
		return // it accompanied another
	}
	b.subscriptions--
	if c.subscriptions--; c.subscriptions == 0 {
		delete(b.connections, c.name)
	}
	u := a.User
	if u != nil {
		u.subscriptions--
	}
	if a.subscriptions--; a.subscriptions > 0 {
		return
	}
	c.drop(a)
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
	return []int{b.subscriptions, len(b.connections), len(b.byUser), len(b.leaving.entries)}
}
