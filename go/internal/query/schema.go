package query

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Schema is a loaded GraphQL schema. It never changes, so any number of
// goroutines may use it.
type Schema struct {
	definition *ast.Schema
}

// LoadSchema reads a schema in the schema definition language. The text comes
// from the application, not from its clients. A schema that does not load or
// has no subscription type is a fault.InvalidValue with the place.
func LoadSchema(sdl string) (*Schema, error) {
	source := &ast.Source{Name: "schema", Input: sdl}
	sources := []*ast.Source{source}
	// A text that does not parse is reported by LoadSchema.
	if parsed, err := parser.ParseSchema(source); err == nil && parsed.Directives.ForName(permissionDirective) == nil {
		sources = append(sources, &ast.Source{Name: "permissions", Input: permissionDefinition})
	}
	definition, err := gqlparser.LoadSchema(sources...)
	if err != nil {
		return nil, fault.New(fault.InvalidValue, "the schema does not load: %s", located(err))
	}
	if definition.Subscription == nil {
		return nil, fault.New(fault.InvalidValue, "the schema has no subscription type: add one named Subscription, or name it in schema { subscription: … }")
	}
	if err := checkDeclarations(definition); err != nil {
		return nil, err
	}
	return &Schema{definition: definition}, nil
}

// located writes an error of the parser or the validator as
// "line:column: sentence".
func located(err error) string {
	var positioned *gqlerror.Error
	if !errors.As(err, &positioned) {
		return shorten(err.Error(), 500)
	}
	sentence := shorten(positioned.Message, 500)
	if len(positioned.Locations) == 0 {
		return sentence
	}
	place := positioned.Locations[0]
	return fmt.Sprintf("%d:%d: %s", place.Line, place.Column, sentence)
}

// shorten keeps an error readable when it quotes what a client has sent.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}

// invalid is the fault of a query that the parser or the validator refused.
func invalid(err error) error {
	return fault.New(fault.InvalidQuery, "%s", located(err))
}

// invalidAt is the fault of a query that this package refused.
func invalidAt(place *ast.Position, format string, arguments ...any) error {
	sentence := shorten(fmt.Sprintf(format, arguments...), 500)
	if place == nil {
		return fault.New(fault.InvalidQuery, "%s", sentence)
	}
	return fault.New(fault.InvalidQuery, "%d:%d: %s", place.Line, place.Column, sentence)
}
