//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

// How long messages may stay away before they are taken for lost.
const patience = 60 * time.Second

// result is what a turn measured, as it is told.
type result struct {
	Messages uint64  `json:"messages"`
	Bytes    uint64  `json:"bytes"`
	Seconds  float64 `json:"seconds"`
	CPU      float64 `json:"cpu_seconds"`
	P50      float64 `json:"p50_us"`
	P99      float64 `json:"p99_us"`
}

// turn publishes and reads until everything published has come to every client.
type turn struct {
	fleet     *fleet
	server    *server
	published uint64 // by this turn
	before    uint64 // messages that a client had before it
	begun     time.Time
	cpu       time.Duration
}

func (f *fleet) begin(s *server) (*turn, error) {
	f.received, f.bytes, f.latencies = 0, 0, f.latencies[:0]
	cpu, err := s.cpu()
	return &turn{fleet: f, server: s, before: f.clients[0].received, begun: time.Now(), cpu: cpu}, err
}

// closed keeps window events under way for so long: as soon as half of them have come to
// everybody, the server may publish as many.
func (t *turn) closed(length time.Duration, window uint64) (result, error) {
	each := uint64(len(t.fleet.clients))
	for time.Since(t.begun) < length {
		if under := t.published - t.fleet.received/each; under <= window/2 {
			if err := t.publish(window - under); err != nil {
				return result{}, err
			}
		}
		if err := t.progress(); err != nil {
			return result{}, err
		}
	}
	return t.finish()
}

// paced has an event published at each tick, whatever has come.
func (t *turn) paced(length, tick time.Duration) (result, error) {
	for due := time.Duration(0); due < length; due += tick {
		for time.Since(t.begun) < due {
			if err := t.fleet.read(); err != nil {
				return result{}, err
			}
		}
		if err := t.publish(1); err != nil {
			return result{}, err
		}
	}
	return t.finish()
}

func (t *turn) publish(count uint64) error {
	t.published += count
	return t.server.publish(count)
}

func (t *turn) progress() error {
	before, waiting := t.fleet.received, time.Now()
	for t.fleet.received == before {
		if time.Since(waiting) > patience {
			return fmt.Errorf("only %d of %d messages came", before, t.published*uint64(len(t.fleet.clients)))
		}
		if err := t.fleet.read(); err != nil {
			return err
		}
	}
	return nil
}

func (t *turn) finish() (result, error) {
	for t.fleet.received < t.published*uint64(len(t.fleet.clients)) {
		if err := t.progress(); err != nil {
			return result{}, err
		}
	}
	spent := time.Since(t.begun)
	cpu, err := t.server.cpu()
	if err != nil {
		return result{}, err
	}
	slices.Sort(t.fleet.latencies)
	at := func(percent int) float64 {
		sorted := t.fleet.latencies
		return float64(sorted[min(len(sorted)-1, len(sorted)*percent/100)].Nanoseconds()) / 1e3
	}
	return result{
		Messages: t.fleet.received,
		Bytes:    t.fleet.bytes,
		Seconds:  spent.Seconds(),
		CPU:      (cpu - t.cpu).Seconds(),
		P50:      at(50),
		P99:      at(99),
	}, t.fleet.even(t.before + t.published)
}
