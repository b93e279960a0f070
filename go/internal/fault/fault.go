// Package fault is the engine's error type: a stable code and a sentence that
// names the value that was wrong and what to do. The code is what the Python
// layer maps to an exception class, so it never changes once released.
package fault

import (
	"errors"
	"fmt"
)

// Code identifies a kind of failure. Its text is part of the public contract.
type Code string

// The codes, each named after the Python exception it becomes.
const (
	InvalidQuery          Code = "INVALID_QUERY"
	SubscriptionNotFound  Code = "SUBSCRIPTION_NOT_FOUND"
	DuplicateSubscription Code = "DUPLICATE_SUBSCRIPTION"
	Forbidden             Code = "FORBIDDEN"
	LimitExceeded         Code = "LIMIT_EXCEEDED"
	EngineClosed          Code = "ENGINE_CLOSED"
	ForkedProcess         Code = "FORKED_PROCESS"
	Engine                Code = "ENGINE_ERROR"
	// InvalidValue becomes ValueError, InvalidType becomes TypeError.
	InvalidValue Code = "INVALID_VALUE"
	InvalidType  Code = "INVALID_TYPE"
)

// Error is a failure with a stable code. Its text is "CODE: sentence", the form
// in which it crosses to Python.
type Error struct {
	Code Code
	Text string
	err  error
}

// New makes an Error. Format verbs are fmt's; %w keeps its operand for
// errors.Is and errors.As.
func New(code Code, format string, arguments ...any) *Error {
	err := fmt.Errorf(format, arguments...)
	return &Error{Code: code, Text: err.Error(), err: errors.Unwrap(err)}
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Text }

func (e *Error) Unwrap() error { return e.err }

// CodeOf is the code of err, or Engine when err carries none.
func CodeOf(err error) Code {
	var coded *Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	return Engine
}
