// Package fault is the engine's error type: a stable code and a sentence that
// names the value that was wrong and what to do. The code is what the Python
// layer maps to an exception class, so it never changes once released.
package fault

import (
	"errors"
	"fmt"
	"strconv"
)

// Code identifies a kind of failure. Its text is part of the public contract.
type Code string

// The codes, each named after the Python exception it becomes.
const (
	InvalidQuery          Code = "INVALID_QUERY"
	SubscriptionNotFound  Code = "SUBSCRIPTION_NOT_FOUND"
	DuplicateSubscription Code = "DUPLICATE_SUBSCRIPTION"
	Forbidden             Code = "FORBIDDEN"
	Expired               Code = "EXPIRED"
	Unauthenticated       Code = "UNAUTHENTICATED"
	ScopeViolation        Code = "SCOPE_VIOLATION"
	LimitExceeded         Code = "LIMIT_EXCEEDED"
	RateLimited           Code = "RATE_LIMITED"
	TooManyViolations     Code = "TOO_MANY_VIOLATIONS"
	BusError              Code = "BUS_ERROR"
	BusUnavailable        Code = "BUS_UNAVAILABLE"
	PublishOutcomeUnknown Code = "PUBLISH_OUTCOME_UNKNOWN"
	EngineClosed          Code = "ENGINE_CLOSED"
	ForkedProcess         Code = "FORKED_PROCESS"
	Engine                Code = "ENGINE_ERROR"
	// InvalidValue becomes ValueError, InvalidType becomes TypeError.
	InvalidValue Code = "INVALID_VALUE"
	InvalidType  Code = "INVALID_TYPE"
)

// Error is a failure with a stable code. Its text is "CODE: sentence", the form
// in which it crosses to Python; that of a limit is
// "CODE[limit value asked]: sentence".
type Error struct {
	Code Code
	Text string
	// Limit is the name of the limit that was exceeded, "" for other failures; Value
	// is the most that it allows, Asked what there would have been.
	Limit        string
	Value, Asked float64
	err          error
}

// New makes an Error. Format verbs are fmt's; %w keeps its operand for
// errors.Is and errors.As.
func New(code Code, format string, arguments ...any) *Error {
	err := fmt.Errorf(format, arguments...)
	return &Error{Code: code, Text: err.Error(), err: errors.Unwrap(err)}
}

// Exceeded makes the Error of a limit.
func Exceeded(code Code, limit string, value, asked float64, format string, arguments ...any) *Error {
	e := New(code, format, arguments...)
	e.Limit, e.Value, e.Asked = limit, value, asked
	return e
}

func (e *Error) Error() string {
	text := string(e.Code)
	if e.Limit != "" {
		text += "[" + e.Limit + " " + number(e.Value) + " " + number(e.Asked) + "]"
	}
	return text + ": " + e.Text
}

func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

func (e *Error) Unwrap() error { return e.err }

// LimitOf is the name of the limit that err says was exceeded, "" for other errors.
func LimitOf(err error) string {
	var coded *Error
	if errors.As(err, &coded) {
		return coded.Limit
	}
	return ""
}

// CodeOf is the code of err, or Engine when err carries none.
func CodeOf(err error) Code {
	var coded *Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	return Engine
}
