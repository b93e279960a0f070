//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

const (
	finBit  = 0x80
	maskBit = 0x80
	// Payloads up to this have their length in the second byte.
	shortest = 125
	// Then come two bytes of length, and this says so.
	twoBytes = 126
)

var errFragmented = errors.New("the server sent a fragmented or compressed message, which was not negotiated")

// appendFrame appends one whole frame of a client's, masked as section 5.3 asks.
func appendFrame(dst []byte, opcode byte, payload []byte) []byte {
	dst = append(dst, finBit|opcode)
	switch {
	case len(payload) <= shortest:
		dst = append(dst, maskBit|byte(len(payload)))
	case len(payload) <= 0xFFFF:
		dst = binary.BigEndian.AppendUint16(append(dst, maskBit|twoBytes), uint16(len(payload)))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, maskBit|(twoBytes+1)), uint64(len(payload)))
	}
	var key [4]byte
	binary.NativeEndian.PutUint32(key[:], rand.Uint32())
	dst = append(dst, key[:]...)
	for i, one := range payload {
		dst = append(dst, one^key[i%4])
	}
	return dst
}

// takeFrame reads the first frame of buffer, a server's: size is what it takes up, 0 when it is
// not all there yet. payload is part of buffer.
func takeFrame(buffer []byte) (opcode byte, payload []byte, size int, err error) {
	if len(buffer) < 2 {
		return 0, nil, 0, nil
	}
	if buffer[0]&0xF0 != finBit {
		return 0, nil, 0, errFragmented
	}
	length, header := uint64(buffer[1]), 2
	switch {
	case length&maskBit != 0:
		return 0, nil, 0, errors.New("the server masked a frame")
	case length == twoBytes:
		if header = 4; len(buffer) < header {
			return 0, nil, 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(buffer[2:]))
	case length > twoBytes:
		if header = 10; len(buffer) < header {
			return 0, nil, 0, nil
		}
		if length = binary.BigEndian.Uint64(buffer[2:]); length > readBytes-10 {
			return 0, nil, 0, fmt.Errorf("the server announced a frame of %d bytes", length)
		}
	}
	if size = header + int(length); len(buffer) < size {
		return 0, nil, 0, nil
	}
	return buffer[0] & 0x0F, buffer[header:size], size, nil
}
