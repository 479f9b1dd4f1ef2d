package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/celeriant/celeriant-go/checkpoint"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// largestMessage is the longest message a client accepts.
const largestMessage = 17 << 20

// Options are how to connect. The zero value connects in plain text, without
// credentials.
type Options struct {
	// TLS encrypts. Default: plain text.
	TLS *tls.Config
	// Token returns the caller's key, "id.secret", for each call; default none. A
	// token is refused in plain text unless Plaintext is set.
	Token func(ctx context.Context) (string, error)
	// Plaintext lets the token travel in plain text, for a gateway on this machine
	// or behind a proxy that encrypts.
	Plaintext bool
	// Logger receives what happens to subscriptions. Default: none.
	Logger *slog.Logger
	// Dial are further options of the connection.
	Dial []grpc.DialOption
}

// FixedToken always returns the same token.
func FixedToken(token string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return token, nil }
}

// Client is a connection to a gateway. A Client is safe for concurrent use.
type Client struct {
	conn   grpc.ClientConnInterface
	close  func() error
	logger *slog.Logger
}

// Connect makes a client of the gateway at a target, "host:port" or what gRPC
// resolves else. Connect opens no connection yet.
func Connect(target string, opts Options) (*Client, error) {
	transport := insecure.NewCredentials()
	if opts.TLS != nil {
		transport = credentials.NewTLS(opts.TLS)
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largestMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}),
	}
	if opts.Token != nil {
		dial = append(dial, grpc.WithPerRPCCredentials(tokens{opts.Token, !opts.Plaintext}))
	}
	conn, err := grpc.NewClient(target, append(dial, opts.Dial...)...)
	if err != nil {
		return nil, fmt.Errorf("gateway: connecting to %q: %w", target, err)
	}
	c := New(conn, opts.Logger)
	c.close = conn.Close
	return c, nil
}

// New makes a client of a connection, which stays the caller's. A nil logger means
// silence.
func New(conn grpc.ClientConnInterface, logger *slog.Logger) *Client {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Client{conn: conn, close: func() error { return nil }, logger: logger}
}

// Close closes the connection if Connect made it. Close subscriptions first; those
// that are left look for the gateway in vain.
func (c *Client) Close() error { return c.close() }

// Events returns the service that reads.
func (c *Client) Events() pb.EventServiceClient { return pb.NewEventServiceClient(c.conn) }

// Commands returns the service that changes data, which a gateway may not offer.
func (c *Client) Commands() pb.CommandServiceClient { return pb.NewCommandServiceClient(c.conn) }

// tokens shows a token with each call.
type tokens struct {
	token  func(context.Context) (string, error)
	secure bool
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (t tokens) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := t.token(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (t tokens) RequireTransportSecurity() bool { return t.secure }

// WatchOptions shape a subscription. The zero value of each field means its default.
type WatchOptions struct {
	// Name identifies the subscription in its checkpoint store. Default: the text
	// of the scope.
	Name string
	// Store keeps the cursors. Default: a memory store of the subscription's own,
	// so that each subscription starts from the beginning.
	Store checkpoint.Store
	// Start is where aggregates without a cursor begin. Default stream.FromBeginning.
	Start stream.Start
	// AdoptScope continues a checkpoint that was made for another scope.
	AdoptScope bool
	// Continuation decides what a continuing recreation delivers. Default
	// stream.Replay.
	Continuation stream.Continuation
	// Changes and Bytes bound what is delivered and not committed. Default 1,000
	// and 4 MiB; the gateway has limits of its own.
	Changes int
	Bytes   int64
	// OnState, when set, is called with each new state, one call at a time. OnState
	// must not block.
	OnState func(stream.State)
}

// Observable follows a scope through a gateway. An Observable does nothing until it
// is opened; each opening is a subscription of its own.
type Observable struct {
	client *Client
	scope  stream.Scope
	opts   WatchOptions
}

var _ operators.StoreSource = (*Observable)(nil)

// Watch returns an Observable of the scope.
func (c *Client) Watch(scope stream.Scope, opts WatchOptions) *Observable {
	return &Observable{client: c, scope: scope, opts: opts}
}

// Open implements operators.Source.
func (o *Observable) Open(ctx context.Context) (stream.Consumer, error) { return o.Subscribe(ctx) }

// Store implements operators.StoreSource.
func (o *Observable) Store() checkpoint.Store { return o.opts.Store }
