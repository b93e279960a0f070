package filter

import (
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

type operator uint8

const (
	equals operator = iota
	notEquals
	greater
	greaterOrEqual
	less
	lessOrEqual
	in
	notIn
	contains
	startsWith
	exists
	notExists
)

// operatorNames are the operators as they are written, in the constants' order.
var operatorNames = [...]string{
	"equals", "not_equals", "gt", "gte", "lt", "lte", "in", "not_in", "contains", "starts_with", "exists", "not_exists",
}

// test is one operator with its operand.
type test struct {
	operator operator
	operand  document.Value
	text     string // the operand's text when it is a string
	among    *set   // the operand of in and not_in
}

// passes tells whether v, what stands at the path, satisfies the test.
func (t *test) passes(v document.Value) bool {
	if !v.Exists() {
		return t.operator == notExists
	}
	switch t.operator {
	case equals:
		return t.equals(v)
	case notEquals:
		return !t.equals(v)
	case in:
		return t.among.holds(v)
	case notIn:
		return !t.among.holds(v)
	case contains:
		return t.isIn(v)
	case startsWith:
		return v.HasTextPrefix(t.text)
	case exists:
		return true
	case notExists:
		return false
	}
	order, ok := t.compare(v)
	if !ok {
		return false
	}
	switch t.operator {
	case greater:
		return order > 0
	case greaterOrEqual:
		return order >= 0
	case less:
		return order < 0
	default:
		return order <= 0
	}
}

func (t *test) equals(v document.Value) bool {
	if t.operand.Kind() == document.String {
		return v.EqualText(t.text)
	}
	return document.Equal(v, t.operand)
}

// isIn is contains: of a string a part of it, of a list an element.
func (t *test) isIn(v document.Value) bool {
	if v.Kind() == document.String {
		return t.operand.Kind() == document.String && v.ContainsText(t.text)
	}
	for elements := v.Elements(); elements.Next(); {
		if t.equals(elements.Value()) {
			return true
		}
	}
	return false
}

// compare orders v against the operand; ok is false unless both are numbers or
// both are strings.
func (t *test) compare(v document.Value) (order int, ok bool) {
	if t.operand.Kind() == document.String {
		return v.CompareText(t.text)
	}
	return document.CompareNumbers(v, t.operand)
}

// set is a list of operands. Strings and numbers, what long lists hold, are
// sorted and searched by halves.
type set struct {
	texts   []string
	numbers []document.Value
	others  []document.Value
}

func newSet(list document.Value) *set {
	s := new(set)
	for elements := list.Elements(); elements.Next(); {
		switch v := elements.Value(); v.Kind() {
		case document.String:
			s.texts = append(s.texts, v.Text())
		case document.Number:
			s.numbers = append(s.numbers, v)
		default:
			s.others = append(s.others, v)
		}
	}
	slices.SortFunc(s.texts, strings.Compare)
	slices.SortFunc(s.numbers, compareNumbers)
	return s
}

func compareNumbers(a, b document.Value) int {
	order, _ := document.CompareNumbers(a, b)
	return order
}

func (s *set) holds(v document.Value) bool {
	switch v.Kind() {
	case document.String:
		_, found := slices.BinarySearchFunc(s.texts, v, func(text string, v document.Value) int {
			order, _ := v.CompareText(text)
			return -order
		})
		return found
	case document.Number:
		_, found := slices.BinarySearchFunc(s.numbers, v, compareNumbers)
		return found
	}
	for _, other := range s.others {
		if document.Equal(v, other) {
			return true
		}
	}
	return false
}
