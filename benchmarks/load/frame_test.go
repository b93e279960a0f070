//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// serverFrame is appendFrame without the mask.
func serverFrame(opcode byte, payload []byte) []byte {
	masked := appendFrame(nil, opcode, payload)
	key := len(masked) - len(payload) - 4
	masked[1] &^= maskBit
	return append(masked[:key:key], payload...)
}

func TestFramesOfEveryLengthFormComeBackHoweverTheyAreCut(t *testing.T) {
	for _, length := range []int{0, 1, 125, 126, 127, 0xFFFF, 0x10000} {
		payload := bytes.Repeat([]byte{'x'}, length)
		frame := serverFrame(opText, payload)
		for cut := 0; cut < len(frame); cut += 1 + len(frame)/50 {
			if _, _, size, err := takeFrame(frame[:cut]); size != 0 || err != nil {
				t.Fatalf("%d of %d bytes gave a frame of %d, %v", cut, len(frame), size, err)
			}
		}
		opcode, got, size, err := takeFrame(append(frame, 0x81, 0x00))
		if opcode != opText || !bytes.Equal(got, payload) || size != len(frame) || err != nil {
			t.Fatalf("%d bytes came back as opcode %d, %d bytes, size %d, %v", length, opcode, len(got), size, err)
		}
	}
}

func TestAClientsFrameIsMasked(t *testing.T) {
	payload := []byte(`{"type":"connection_init"}`)
	frame := appendFrame(nil, opText, payload)
	if frame[0] != 0x81 || frame[1] != maskBit|byte(len(payload)) {
		t.Fatalf("the head is % x", frame[:2])
	}
	key, body := frame[2:6], frame[6:]
	for i := range body {
		body[i] ^= key[i%4]
	}
	if !bytes.Equal(body, payload) {
		t.Fatalf("unmasked, it is %q", body)
	}
}

func TestFramesThatNobodyAskedForAreRefused(t *testing.T) {
	huge := binary.BigEndian.AppendUint64([]byte{0x81, 127}, 1<<40)
	for name, frame := range map[string][]byte{
		"fragment":   {0x01, 0x00},
		"compressed": {0xC1, 0x00},
		"masked":     appendFrame(nil, opText, []byte("x")),
		"huge":       huge,
	} {
		if _, _, _, err := takeFrame(frame); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
