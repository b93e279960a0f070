package executor

import (
	"encoding/json"
	"runtime"
	"time"

	"github.com/bytedance/sonic"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/filter"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// strict refuses keys it does not know: an option that is not enforced must
// never be ignored.
var strict = sonic.Config{DisallowUnknownFields: true, UseInt64: true, CopyString: true}.Froze()

// Options are an executor's settings, in the JSON form in which they cross from
// Python. Zero limits mean unlimited.
type Options struct {
	Schema          string          `json:"schema"`
	Bus             BusOptions      `json:"bus"`
	Security        json.RawMessage `json:"security"`
	Limits          Limits          `json:"limits"`
	Queue           queueOptions    `json:"queue"`
	ResolverTimeout float64         `json:"resolver_timeout"` // seconds
	Audit           AuditOptions    `json:"audit"`
	Debug           bool            `json:"debug"`
	Cores           int             `json:"-"` // of the machine's, or of its part that is this process's
}

// ParseOptions reads an executor's settings.
func ParseOptions(text string) (Options, error) {
	options := Options{Cores: runtime.GOMAXPROCS(0)}
	if err := strict.UnmarshalFromString(text, &options); err != nil {
		return Options{}, fault.New(fault.InvalidValue, "the executor's options cannot be read: %w", err)
	}
	return options, nil
}

func (o Options) resolverTimeout() time.Duration {
	return time.Duration(o.ResolverTimeout * float64(time.Second))
}

// spec is what a subscription was registered with, but for its query and its
// identity: parsed once for all that use the same text. Immutable.
type spec struct {
	options    string
	patterns   []channel.Pattern
	eventTypes []string // nil: all
	filter     *filter.Filter
	context    *security.Context // nil: trusted, no checks
	policy     *security.Policy  // by which the context is checked
	// policyNumber is its place in Executor.policies.
	policyNumber int
	// contextJSON is the context as the application gave it, for resolvers' info.
	contextJSON []byte
	user        string // whose limits count, "": nobody's
	expires     int64  // when the context does, in unix nanoseconds; 0: never
	queue       *queuePolicy
	positions   bool
	shared      bool
	part        bool // of a client's operation, which the limits count already
	resolver    int
	flags       ResolverFlags
	cohorts     int // under Executor.mu
}

type subscriptionOptions struct {
	Channels   []string        `json:"channels"`
	EventTypes []string        `json:"event_types"`
	Filter     json.RawMessage `json:"filter"`
	Context    json.RawMessage `json:"context"`
	Queue      *queueOptions   `json:"queue"`
	Positions  bool            `json:"positions"`
	Share      *bool           `json:"share"`
	Part       bool            `json:"part"`
	Policy     int             `json:"policy"`
	Resolver   int             `json:"resolver"`
	Flags      ResolverFlags   `json:"resolver_flags"`
}

// parseSpec reads the options of a registration; "" means all defaults.
func (x *Executor) parseSpec(text string) (*spec, error) {
	var options subscriptionOptions
	if text != "" {
		if err := strict.UnmarshalFromString(text, &options); err != nil {
			return nil, fault.New(fault.InvalidValue, "the subscription's options cannot be read: %w", err)
		}
	}
	s := &spec{
		options: text, eventTypes: options.EventTypes, queue: x.queue, positions: options.Positions,
		shared: options.Share == nil || *options.Share, part: options.Part, policyNumber: options.Policy, resolver: options.Resolver, flags: options.Flags,
	}
	if options.Channels == nil {
		options.Channels = []string{"*"}
	}
	for _, text := range options.Channels {
		pattern, err := channel.ParsePattern(text)
		if err != nil {
			return nil, err
		}
		s.patterns = append(s.patterns, pattern)
	}
	var err error
	if s.policy, err = x.policyOf(options.Policy); err != nil {
		return nil, err
	}
	if present(options.Filter) {
		if s.filter, err = filter.Compile(options.Filter, x.options.Limits.FilterDepth); err != nil {
			return nil, err
		}
	}
	if present(options.Context) {
		if s.context, err = security.ParseContext(options.Context); err != nil {
			return nil, err
		}
		s.contextJSON, s.user, s.expires = options.Context, s.context.User.Name(), s.context.Expires()
	} else if s.policy.RequireContext {
		return nil, fault.New(fault.Forbidden, "the security policy requires a context: pass context=SecurityContext(…), user_id= or tenant_id=")
	}
	if options.Queue != nil {
		if s.queue, err = options.Queue.policy(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }
