package pool

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// Identity supplies the credentials that a new connection introduces itself
// with. Identity is asked once for each connection, so that credentials can be
// replaced while a pool is in use; connections that are open keep theirs until
// they are closed. Identity is called from several goroutines and must honour
// ctx, which ends after ConnectTimeout. Its errors are reported as
// ErrCredentials.
type Identity func(ctx context.Context) (Credentials, error)

// FixedIdentity supplies the same credentials always.
func FixedIdentity(c Credentials) Identity {
	return func(context.Context) (Credentials, error) { return c, nil }
}

// Credentials are an API key, an RSA key pair, or both. Protocol section 8.1.
// Credentials print redacted.
type Credentials struct {
	APIKey  APIKey
	KeyPair KeyPair
}

// String tells which credentials there are, not what they are.
func (c Credentials) String() string {
	return fmt.Sprintf("Credentials(%v, %v)", c.APIKey, c.KeyPair)
}

// GoString is String.
func (c Credentials) GoString() string { return c.String() }

// Identified is what a node has confirmed about a connection's credentials.
type Identified struct {
	// Node is the address of the node that confirmed.
	Node string
	// ClientID is the id that mutations must carry, set after the proof of an
	// RSA key. Without it a node accepts any client id.
	ClientID msg.Opt[msg.ID]
	// Access is what the API key allows, set when the node has API keys.
	Access msg.Opt[msg.AccessLevel]
	// At is when it was confirmed.
	At time.Time
}

// Identity returns what the node confirmed when a connection was last opened;
// false before that. Identity does not open one. An anonymous introduction
// counts and has neither a client id nor, without API keys, an access level.
func (p *Pool) Identity() (Identified, bool) {
	identified, ok := p.dictionaries.Identity()
	return Identified(identified), ok
}

// request is the Identify that carries the credentials. The nonce is the time,
// which the node allows to be 2 minutes behind and 1 ahead of its own clock.
func (c Credentials) request(now time.Time) (*msg.IdentifyRequest, error) {
	if c.APIKey.IsZero() && c.KeyPair.IsZero() {
		return nil, errors.New("the identity holds neither an API key nor a key pair")
	}
	req := new(msg.IdentifyRequest)
	if !c.APIKey.IsZero() {
		req.APIKey = msg.Some(c.APIKey.reveal())
	}
	if c.KeyPair.IsZero() {
		return req, nil
	}
	nonce := strconv.FormatInt(now.UnixMilli(), 10)
	signature, err := c.KeyPair.sign(nonce)
	if err != nil {
		return nil, fmt.Errorf("signing the nonce: %w", err)
	}
	req.PublicKey, req.Nonce, req.Signature = msg.Some(c.KeyPair.public), msg.Some(nonce), msg.Some(signature)
	return req, nil
}

// confirmed checks that a node has taken the proof for what it is: writes on a
// connection that only seems proven would all be refused, or worse, be free.
func (c Credentials) confirmed(resp *msg.IdentifyResponse) error {
	if c.KeyPair.IsZero() || resp.ClientID == msg.Some(c.KeyPair.id) {
		return nil
	}
	return conn.Violation("the node derives client id %v of the key pair, not %v", resp.ClientID, c.KeyPair.id)
}

// introduce is what a connection introduces itself with; nil for nothing.
func (i Identity) introduce() func(context.Context) (*conn.Introduction, error) {
	if i == nil {
		return nil
	}
	return func(ctx context.Context) (*conn.Introduction, error) {
		credentials, err := i(ctx)
		if err != nil {
			return nil, err
		}
		req, err := credentials.request(time.Now())
		if err != nil {
			return nil, err
		}
		introduction := &conn.Introduction{Request: req, Confirm: credentials.confirmed}
		if !credentials.APIKey.IsZero() {
			introduction.Secret = credentials.APIKey.reveal()
		}
		return introduction, nil
	}
}
