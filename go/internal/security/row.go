package security

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/document"

// Row filter: an event of one user reaches that user's subscriptions only.

func (p *Policy) readRow(f *Facts, data document.Value) {
	if p.Row != Off {
		f.user = carry(data.Lookup(p.UserPath))
	}
}

func (p *Policy) rowAllows(ctx *Context, f *Facts) bool {
	return p.Row == Off || p.Row.allows(&ctx.User, &f.user, p.Loose)
}
