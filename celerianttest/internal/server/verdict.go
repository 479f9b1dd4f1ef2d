package server

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Frame is what an interceptor is asked about.
type Frame struct {
	Conn, Number, Version, Size int
	ToClient                    bool
	Request                     msg.Request
	Response                    msg.Response
}

// Verdict is what becomes of a frame.
type Verdict struct {
	Action action
	Delay  time.Duration
	N      int
	Answer msg.Response
	Raw    []byte
}

type action uint8

const (
	Pass action = iota
	Delay
	Drop
	Cut
	Corrupt
	Answer
	Raw
	Stall
)
