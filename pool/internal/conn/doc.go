// Package conn is one connection to one node: how it is opened, one exchange at a
// time on it, and the frames of a watch.
//
//	Opener.Open:  credentials ─▶ resolve ─▶ dial ─▶ TLS handshake ─▶ Identify ─▶ dictionary
//	Conn.Do:      encode ─▶ write ─▶ read header ─▶ read body ─▶ decode ─▶ compare correlation id
//	Conn.Reads:   the same for several reads, the next ones sent before the answer is read
//
// The package knows nothing of other connections, of other nodes, or of trying again. An
// [Attempt] says what happened in an exchange: facts, set where they arise, on which the
// layers above decide.
//
// Invariants:
//
//   - A connection whose request was sent but whose answer was not read to its end is
//     broken, whatever ended the exchange.
//   - With credentials there is no way to a connection that has not identified.
//   - The end of a context interrupts reads and writes by the deadline of the socket;
//     a deadline that moves on with progress never undoes that.
//   - Of answers longer than 1 MiB no more is received at the same time than the memory
//     that all connections share.
//   - A coder is closed when no connection uses it any more, never before.
//   - What runs in user code (dialer, identity, TLS sources) may panic or end its
//     goroutine: the socket is closed all the same.
package conn
