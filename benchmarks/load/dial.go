//go:build linux

package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
)

const (
	subprotocol = "graphql-transport-ws"
	// RFC 6455, section 1.3.
	acceptSalt = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	// How long one client may take until it has subscribed.
	dialTimeout = 60 * time.Second
)

// subscribe connects to the server, introduces itself, asks for query and returns the socket,
// which is set not to block.
func subscribe(address, query string) (fd int, err error) {
	conn, err := net.DialTimeout("tcp", address, dialTimeout)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return 0, err
	}
	reader := bufio.NewReaderSize(conn, 1024)
	if err := upgrade(conn, reader, address); err != nil {
		return 0, err
	}
	if err := greet(conn, reader, query); err != nil {
		return 0, err
	}
	// The runtime's own poller is let go of: ten thousand sockets are read by one loop.
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if fd, err = unix.Dup(int(file.Fd())); err != nil {
		return 0, err
	}
	return fd, unix.SetNonblock(fd, true)
}

// upgrade makes the connection a WebSocket (RFC 6455, section 4.1).
func upgrade(conn net.Conn, reader *bufio.Reader, address string) error {
	nonce := make([]byte, 16)
	rand.Read(nonce)
	key := base64.StdEncoding.EncodeToString(nonce)
	_, err := fmt.Fprintf(conn, "GET /graphql HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n", address, key, subprotocol)
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	answer.Body.Close()
	want := sha1.Sum([]byte(key + acceptSalt))
	switch {
	case answer.StatusCode != http.StatusSwitchingProtocols:
		return fmt.Errorf("the server answered %s instead of switching protocols", answer.Status)
	case answer.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(want[:]):
		return errors.New("the server's Sec-WebSocket-Accept is wrong")
	case answer.Header.Get("Sec-WebSocket-Protocol") != subprotocol:
		return fmt.Errorf("the server chose the subprotocol %q", answer.Header.Get("Sec-WebSocket-Protocol"))
	}
	return nil
}

// greet is the protocol up to the subscription.
func greet(conn net.Conn, reader *bufio.Reader, query string) error {
	if err := sendMessage(conn, map[string]any{"type": "connection_init"}); err != nil {
		return err
	}
	text, err := readText(reader)
	if err != nil {
		return err
	}
	var answer struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Type != "connection_ack" {
		return fmt.Errorf("the server answered connection_init with %q", text)
	}
	return sendMessage(conn, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{"query": query}})
}

func sendMessage(conn net.Conn, message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_, err = conn.Write(appendFrame(nil, opText, text))
	return err
}

// readText reads one text message, and nothing beyond it: the server has nothing more to say
// before anything is published.
func readText(reader *bufio.Reader) ([]byte, error) {
	var frame []byte
	for {
		one, err := reader.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		frame = append(frame, one)
		opcode, payload, size, err := takeFrame(frame)
		switch {
		case err != nil:
			return nil, err
		case size == 0:
		case opcode != opText:
			return nil, fmt.Errorf("the server sent a frame with opcode %#x, %q", opcode, payload)
		case reader.Buffered() > 0:
			return nil, errors.New("the server sent more than was asked for")
		default:
			return payload, nil
		}
	}
}
