package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// anonymousPause is how long a node that refuses anonymous introductions is not
// asked again: it may have been restarted with other options.
const anonymousPause = time.Minute

// DialFunc opens a socket; it must honour its context.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Introduction is what a connection introduces itself with.
type Introduction struct {
	Request *msg.IdentifyRequest
	// Confirm checks what the node makes of it; nil accepts anything.
	Confirm func(*msg.IdentifyResponse) error
	// Secret is text that no error must repeat.
	Secret string
}

// Config tells how connections to one address are opened and used. All fields without
// a default stated are required.
type Config struct {
	Address string
	// Dial opens sockets; nil resolves the host and tries its addresses side by side.
	Dial DialFunc
	// AllowIP, if set, says which addresses a host may resolve to; a Dial sees to that itself.
	AllowIP func(netip.Addr) bool
	// TLS supplies the settings of an encrypted connection; nil for plain text.
	TLS func(ctx context.Context) (*tls.Config, error)
	// Introduce supplies credentials; nil for none.
	Introduce func(ctx context.Context) (*Introduction, error)
	// Anonymous tells that without credentials the dictionary is asked for.
	Anonymous    bool
	Dictionaries *Dictionaries
	// Memory bounds large answers; nil for no bound.
	Memory         *Memory
	IDs            *Correlator
	ConnectTimeout time.Duration
	MaxRequest     uint32
	MaxResponse    uint32
	Version        wire.Version
	Logger         *slog.Logger
}

// Opener opens connections to one address. An Opener is safe for concurrent
// use.
type Opener struct {
	config        Config
	refusesNobody atomic.Int64 // when the node last refused an anonymous introduction, in Unix nanoseconds
}

// NewOpener returns an opener.
func NewOpener(config Config) *Opener { return &Opener{config: config} }

// Address is where the opener connects to.
func (o *Opener) Address() string { return o.config.Address }

// opening is one connection on its way.
type opening struct {
	*Opener
	step    string   // what it is at, for whoever waits in vain
	dialOne DialFunc // opens a socket to one IP address
	outside func(run func())
}

// Open opens a connection: credentials, dial, TLS handshake, Identify. All of it
// together takes at most ConnectTimeout; ctx ends it early.
//
// A failure matches ErrConnect or ErrConnectTimeout, except where another node
// or another attempt would do no better: refused credentials match
// msg.ErrUnauthorized and those that could not be had ErrCredentials.
//
// outside, if not nil, is what user code runs in.
func (o *Opener) Open(ctx context.Context, outside func(run func())) (*Conn, error) {
	if outside == nil {
		outside = func(run func()) { run() }
	}
	bounded, cancel := context.WithTimeout(ctx, o.config.ConnectTimeout)
	defer cancel()
	x := &opening{Opener: o, step: "starting", dialOne: new(net.Dialer).DialContext, outside: outside}
	c, err := x.introduce(bounded)
	if err == nil {
		returned := false
		defer func() {
			if !returned { // the logger, the user's, has ended this goroutine
				c.Close()
			}
		}()
		o.log(ctx, outside, slog.LevelDebug, "connection opened")
		returned = true
		return c, nil
	}
	awaitEnd(bounded)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrConnect, Ended(ctx))
	case errors.Is(err, msg.ErrUnauthorized):
	case bounded.Err() != nil, errors.Is(err, ErrRequestTimeout): // the exchange has a timer of its own
		err = &TimeoutError{Sentinel: ErrConnectTimeout, After: o.config.ConnectTimeout, During: x.step}
	case errors.Is(err, ErrCredentials), errors.Is(err, ErrClosed):
	default:
		err = fmt.Errorf("%w: %w", ErrConnect, err)
	}
	o.log(ctx, outside, slog.LevelWarn, "connecting failed", slog.Any("error", err))
	return nil, err
}

// log logs, if anybody wants to know; the logger is the user's.
func (o *Opener) log(ctx context.Context, outside func(run func()), level slog.Level, text string, more ...slog.Attr) {
	if !o.config.Logger.Enabled(ctx, level) {
		return
	}
	outside(func() {
		o.config.Logger.LogAttrs(ctx, level, text, append([]slog.Attr{slog.String("node", o.config.Address)}, more...)...)
	})
}

// awaitEnd waits for a context whose deadline has passed to say so: sockets that
// are being connected know the deadline, and their timer may win.
func awaitEnd(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); !ok || time.Now().Before(deadline) {
		return
	}
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	select {
	case <-ctx.Done():
	case <-patience.C:
	}
}

// introduce dials and, unless there is no reason to, identifies. Identify must
// be the first frame of a connection, so whatever goes wrong with it needs a
// new one. Protocol sections 8 and 9.1.
func (x *opening) introduce(ctx context.Context) (*Conn, error) {
	switch {
	case x.config.Introduce != nil:
		return x.present(ctx)
	case !x.config.Anonymous || x.anonymousRefused():
		return x.dial(ctx)
	}
	c, err := x.present(ctx)
	switch {
	case errors.Is(err, msg.ErrUnauthorized):
		x.refusesNobody.Store(time.Now().UnixNano())
		return x.dial(ctx)
	case errors.Is(err, ErrConnectionLost) && x.config.TLS == nil && ctx.Err() == nil:
		// The node may not know Identify. With TLS the cause is more likely the
		// handshake, whose end the node has not seen yet.
		return x.dial(ctx)
	}
	return c, err
}

func (o *Opener) anonymousRefused() bool {
	at := o.refusesNobody.Load()
	return at != 0 && time.Since(time.Unix(0, at)) < anonymousPause
}

// present dials and identifies. A node that confirms a hash whose dictionary is
// lost is asked, on a second connection, for the dictionary. There is no way
// from here to a connection that has not identified.
func (x *opening) present(ctx context.Context) (*Conn, error) {
	known := x.config.Dictionaries.known()
	for range 2 {
		introduction, err := x.introduction(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
		}
		introduction.Request.KnownDictSHA256 = known
		c, err := x.dial(ctx)
		if err != nil {
			return nil, err
		}
		found, err := x.identified(ctx, c, introduction)
		if found {
			return c, nil
		}
		if err != nil {
			return nil, err
		}
		known = msg.None[string]()
	}
	return nil, Violation("node withholds the dictionary it demands")
}

// introduction asks for the credentials, if there are any.
func (x *opening) introduction(ctx context.Context) (introduction *Introduction, err error) {
	if x.config.Introduce == nil {
		return &Introduction{Request: new(msg.IdentifyRequest)}, nil
	}
	x.step = "asking for the credentials"
	x.outside(func() { introduction, err = x.config.Introduce(ctx) })
	if err == nil && introduction == nil {
		err = errors.New("none given")
	}
	return introduction, err
}

// dial opens the socket and, with TLS, encrypts it.
func (x *opening) dial(ctx context.Context) (*Conn, error) {
	nc, err := x.socket(ctx)
	if err != nil {
		return nil, err
	}
	ready := false
	defer func() {
		if !ready { // user code may have ended this goroutine, too
			nc.Close()
		}
	}()
	if x.config.TLS != nil {
		secured, err := x.secure(ctx, nc)
		if err != nil {
			return nil, err
		}
		nc = secured
	}
	ready = true
	return newConn(nc, x.Opener), nil
}

// identified is identify, which closes the connection of no use.
func (x *opening) identified(ctx context.Context, c *Conn, introduction *Introduction) (found bool, err error) {
	defer func() {
		if !found {
			c.Close()
		}
	}()
	found, err = x.identify(ctx, c, introduction)
	return found && err == nil, err
}

// identify exchanges the Identify frames and equips the connection with the
// coder; found is false when the dictionary is missing. Nothing else is sent
// before the answer is here: behind its first frame a node may lose what comes
// with the end of the TLS handshake. Protocol section 2.3.
func (x *opening) identify(ctx context.Context, c *Conn, introduction *Introduction) (found bool, err error) {
	x.step = "waiting for the answer to Identify of " + remote(c.nc)
	c.secret = introduction.Secret
	resp, attempt := c.Do(ctx, introduction.Request, x.config.ConnectTimeout)
	if attempt.Err != nil {
		return false, fmt.Errorf("identify: %w", attempt.Err)
	}
	answer := resp.(*msg.IdentifyResponse)
	if introduction.Confirm != nil {
		if err := introduction.Confirm(answer); err != nil {
			return false, fmt.Errorf("identify: %w", err)
		}
	}
	c.coder, found, err = x.config.Dictionaries.acquire(answer)
	if err == nil && found {
		x.config.Dictionaries.confirm(x.config.Address, answer)
	}
	return found, err
}
