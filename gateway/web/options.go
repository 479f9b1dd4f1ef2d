package web

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/celeriant/celeriant-go/gateway/access"
)

// Options shape a handler. The zero value of each field means its default.
type Options struct {
	// Authenticator names callers, by their bearer token alone. Default: every
	// caller is "anonymous".
	Authenticator access.Authenticator
	// Authorizer decides what callers may read. Default: everything.
	Authorizer access.Authorizer
	// Hosts are the host names, without port, by which browsers may reach the
	// handler. Default: localhost, 127.0.0.1 and ::1.
	Hosts []string
	// Origins are the origins, such as "https://app.example.com", whose pages may
	// send requests from another site. Pages of these origins get CORS headers. Default:
	// none.
	Origins []string
	// Watches bounds the watches at a time, WatchesPerCaller those of one caller;
	// default 1,000 and 100.
	Watches, WatchesPerCaller int
	// Ready reports whether traffic is wanted; nil always.
	Ready func() error
	// Denied is told of callers that are not known, may not do what they ask for, or are
	// refused by a limit: the path of the call, and the reason, which is one of
	// "unauthenticated", "denied" and "watches_per_caller". Default: nobody is.
	Denied func(path, reason string)
	// Logger receives refusals and failures. Default: none.
	Logger *slog.Logger
	// Ping is how often an idle watch sends a comment; default 10 s.
	Ping time.Duration
	// Reauthorize is how often running watches are authorized again; default one
	// minute.
	Reauthorize time.Duration
}

const (
	// http1Watches bounds the watches of one address and caller over HTTP/1.1.
	http1Watches = 4
	// writeTimeout bounds the writing of one event.
	writeTimeout = 30 * time.Second
	// mostResumable bounds the aggregates of a watch that can be continued.
	mostResumable = 16
	// mostMembers bounds the members of a scope.
	mostMembers = 256
	// mostListed bounds a list.
	mostListed = 10_000
	// pageBytes bounds the batches of one read.
	pageBytes = 4 << 20
)

func (o Options) withDefaults() (Options, error) {
	if len(o.Hosts) == 0 {
		o.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	if o.Watches == 0 {
		o.Watches = 1000
	}
	if o.WatchesPerCaller == 0 {
		o.WatchesPerCaller = 100
	}
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Denied == nil {
		o.Denied = func(string, string) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Ping == 0 {
		o.Ping = 10 * time.Second
	}
	if o.Reauthorize == 0 {
		o.Reauthorize = time.Minute
	}
	if o.Watches < 0 || o.WatchesPerCaller < 0 || o.Ping < 0 || o.Reauthorize < 0 {
		return o, fmt.Errorf("web: options Watches, WatchesPerCaller, Ping and Reauthorize are %d, %d, %v and %v: want positive values",
			o.Watches, o.WatchesPerCaller, o.Ping, o.Reauthorize)
	}
	return o, nil
}

// NewServer returns a server with the limits that a handler needs: HTTP/1.1 and
// HTTP/2, the latter also without TLS.
func NewServer(handler http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 100},
	}
}

// hostOf is a host without its port.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	return host
}
