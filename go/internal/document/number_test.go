package document

import (
	"math/big"
	"strings"
	"testing"
)

var someNumbers = []string{
	"0", "-0", "0.0", "-0e5", "0e-999999999999999999999", "1", "-1", "1.0", "10e-1", "0.1e1", "5", "5.0", "50e-1", "0.05E+2",
	"10", "9", "99", "100", "-10", "-9", "0.1", "0.10", "0.01", "1e-2", "1.5", "15e-1", "-1.5", "1.25", "123.456", "123456e-3",
	"9007199254740993", "9007199254740992.0", "9007199254740992", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
	"18446744073709551616", "123456789012345678901234567890", "123456789012345678901234567890.0", "1.23456789012345678901234567890e29",
	"1e29", "1e308", "1e400", "1e-400", "-1e400", "1" + strings.Repeat("0", 400), "0." + strings.Repeat("0", 399) + "1",
}

func TestNumbersCompareByExactValue(t *testing.T) {
	for _, x := range someNumbers {
		for _, y := range someNumbers {
			got, ok := CompareNumbers(parse(t, x), parse(t, y))
			if want := rational(x).Cmp(rational(y)); !ok || got != want {
				t.Errorf("%s against %s: %d %v, want %d", x, y, got, ok, want)
			}
		}
	}
	if _, ok := CompareNumbers(parse(t, "1"), parse(t, `"1"`)); ok {
		t.Error("a string compares as a number")
	}
	if _, ok := CompareNumbers(Value{}, parse(t, `1`)); ok {
		t.Error("Missing compares as a number")
	}
}

// rational is the number's value; an exponent of a zero too large for big.Rat
// is left out.
func rational(text string) *big.Rat {
	if strings.HasPrefix(text, "0e") {
		text = "0"
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic(text)
	}
	return r
}

func TestHugeExponentsCompare(t *testing.T) {
	ascending := []string{"-1e18446744073709551617", "-1e9999", "-1e-99999999999999999999", "0", "1e-99999999999999999999", "1e-9999", "1", "1e9999", "1e18446744073709551617"}
	for i, x := range ascending {
		for j, y := range ascending {
			if got, _ := CompareNumbers(parse(t, x), parse(t, y)); got != sign(i-j) {
				t.Errorf("%s against %s: %d", x, y, got)
			}
		}
	}
}

func TestInt64ReadsWholeNumbers(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-0.0": 0, "5": 5, "5.0": 5, "50e-1": 5, "-7": -7, "1e3": 1000, "120": 120, "9223372036854775807": 1<<63 - 1,
		"-9223372036854775808": -1 << 63, "922337203685477580.7e1": 1<<63 - 1, "1e18": 1e18,
	} {
		if got, ok := parse(t, text).Int64(); !ok || got != want {
			t.Errorf("%s reads %d %v", text, got, ok)
		}
	}
	for _, text := range []string{"0.5", "5.01", "1e19", "9223372036854775808", "-9223372036854775809", "99999999999999999999", "1e99999999999999999999", "1e-1", `"5"`, "true", "null"} {
		if got, ok := parse(t, text).Int64(); ok {
			t.Errorf("%s reads %d", text, got)
		}
	}
	if !parse(t, "5").IsInteger() || parse(t, "5.0").IsInteger() || parse(t, "5e0").IsInteger() || parse(t, `"5"`).IsInteger() {
		t.Error("IsInteger does not tell how a number is written")
	}
}

func TestFloat64ReadsTheNearestNumber(t *testing.T) {
	for text, want := range map[string]float64{"1.5": 1.5, "0.1": 0.1, "-2e3": -2000, "9007199254740993": 9007199254740992} {
		if got, ok := parse(t, text).Float64(); !ok || got != want {
			t.Errorf("%s reads %v %v", text, got, ok)
		}
	}
	for _, text := range []string{"1e999", `"1"`, "null"} {
		if got, ok := parse(t, text).Float64(); ok {
			t.Errorf("%s reads %v", text, got)
		}
	}
}
