package msg

import "fmt"

// SequenceError refuses a write that asks for idempotency with an event of client
// sequence 0. A node takes a stored 0 for none: it would store the write again
// with every repetition, and never say so.
type SequenceError struct {
	Key   Key
	Event int // its index among the events of Key
}

// Error names the aggregate and the event.
func (e *SequenceError) Error() string {
	return fmt.Sprintf("event %d on %v has client sequence 0, with idempotency enforced it must be at least 1", e.Event, e.Key)
}

// Validate returns why a node must not be sent the request although it would
// accept it: a *[SequenceError], or nil.
func (r *WriteRequest) Validate() error {
	for i := range r.Writes {
		w := &r.Writes[i]
		if !w.EnforceIdempotency {
			continue
		}
		for j := range w.Events {
			if w.Events[j].ClientSeq == 0 {
				return &SequenceError{Key: w.Key, Event: j}
			}
		}
	}
	return nil
}
