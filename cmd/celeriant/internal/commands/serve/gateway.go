package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/monitor"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/stores"
	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/access"
	"github.com/celeriant/celeriant-go/gateway/web"
)

const gatewayHelp = `Serve the event store to clients of every language over gRPC, and to browsers.

Clients subscribe, resume where they stopped, and read; with --writes they also
write, delete, trim and register schemas. The interface is the package
celeriant.gateway.v1 in the folder gateway/proto of the project. With
--http-listen browsers read as JSON and follow live changes as server-sent events;
GET /v1 describes the calls.

Callers show a key, as "Authorization: Bearer KEY", or a certificate. --auth-file
names them with the hashes of their keys or the names in their certificates, and
what each may read, write and administer; see gateway key. A changed file counts
within two seconds; one that does not parse leaves the last good one in force, and
/readyz fails. Without --auth-file every caller may do everything: the gateway then
listens on loopback only, unless --without-authentication is given.

On SIGTERM it says that it is not ready, waits --drain-delay, asks its clients over
--drain-window to reconnect elsewhere, and ends when they have.

` + monitor.Help

type gatewayFlags struct {
	listen, httpListen        string
	certificate, key, clients string
	authFile                  string
	withoutAuthentication     bool
	writes, reflection        bool
	hosts, origins            []string
	name                      string
	drainDelay, drainWindow   time.Duration
	checkpoint                string
	limits                    gateway.Limits
	status                    *monitor.Flags
	memory                    int64
}

// NewGateway returns the command gateway.
func NewGateway() *cobra.Command {
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Serve the event store over gRPC and to browsers",
		Long:  gatewayHelp,
		Example: `  celeriant gateway --listen 127.0.0.1:10400 --http-listen 127.0.0.1:10480
  celeriant gateway --listen :10400 --listen-tls-cert cert.pem --listen-tls-key key.pem --auth-file callers.json`,
		Args: cli.NoArgs,
	}
	f := &gatewayFlags{status: monitor.Bind(c)}
	flags := c.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:10400", "where to serve gRPC, host:port")
	flags.StringVar(&f.httpListen, "http-listen", "", "where to serve browsers, host:port (default: nowhere)")
	flags.StringVar(&f.certificate, "listen-tls-cert", "", "PEM file of the gateway's certificate; needs --listen-tls-key")
	flags.StringVar(&f.key, "listen-tls-key", "", "PEM file of its private key")
	flags.StringVar(&f.clients, "listen-client-ca", "", "PEM file of the authorities of callers' certificates (default: none are asked for)")
	flags.StringVar(&f.authFile, "auth-file", "", "JSON file of the callers and their rights")
	flags.BoolVar(&f.withoutAuthentication, "without-authentication", false, "listen beyond loopback although every caller may do everything")
	flags.StringVar(&f.checkpoint, "checkpoint", "", "where the positions of named subscriptions are kept: "+stores.PlaceForms()+" (default: names are refused)")
	flags.BoolVar(&f.writes, "writes", false, "let callers change data, as far as their rights go")
	flags.BoolVar(&f.reflection, "reflection", false, "describe the gRPC services to authenticated callers")
	flags.StringSliceVar(&f.hosts, "http-host", nil, "host names by which browsers reach the gateway (default: localhost, 127.0.0.1, ::1)")
	flags.StringSliceVar(&f.origins, "http-origin", nil, "origins whose pages may call from another site, such as https://app.example.com")
	flags.StringVar(&f.name, "gateway-name", "", "what the gateway calls itself in reports (default: celeriant-gateway)")
	flags.DurationVar(&f.drainDelay, "drain-delay", 5*time.Second, "how long to accept clients after SIGTERM, while not ready")
	flags.DurationVar(&f.drainWindow, "drain-window", 30*time.Second, "over how long clients are asked to reconnect")
	flags.Int64Var(&f.memory, "memory-budget", 0, "bytes read ahead of all clients; a subscription reserves 1 MiB, 2 MiB if it reads history (default: no bound but each one's own)")
	flags.IntVar(&f.limits.StreamsPerCaller, "streams-per-caller", 1000, "most subscriptions of one caller")
	flags.IntVar(&f.limits.CatchUps, "catch-ups", 8, "most subscriptions that catch up at a time; others wait")
	flags.IntVar(&f.limits.CatchUpsPerCaller, "catch-ups-per-caller", 2, "most of them of one caller")
	for _, name := range []string{"listen", "http-listen", "http-host", "http-origin", "gateway-name", "drain-delay", "drain-window", "memory-budget", "streams-per-caller", "catch-ups", "catch-ups-per-caller"} {
		cli.CompleteNothing(c, name)
	}
	s := node.BindSession(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		return f.serve(c, s)
	}
	c.AddCommand(newGatewayKey())
	return c
}

// check refuses what makes no sense, or is not safe, before anything is opened.
func (f *gatewayFlags) check() error {
	switch {
	case (f.certificate == "") != (f.key == ""):
		return cli.Usagef("--listen-tls-cert and --listen-tls-key need each other")
	case f.clients != "" && f.certificate == "":
		return cli.Usagef("--listen-client-ca needs --listen-tls-cert: certificates are shown over TLS only")
	case f.memory < 0:
		return cli.Usagef("--memory-budget is %d: want a positive number of bytes", f.memory)
	case f.authFile != "" && f.withoutAuthentication:
		return cli.Usagef("--auth-file and --without-authentication contradict each other")
	}
	if err := f.status.Check(); err != nil {
		return err
	}
	if f.checkpoint != "" {
		if err := (&stores.CheckpointFlags{Place: f.checkpoint}).Check(); err != nil {
			return err
		}
	}
	for flag, address := range map[string]string{"listen": f.listen, "http-listen": f.httpListen} {
		if address == "" && flag == "http-listen" {
			continue
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return cli.Usagef("--%s is %q, want host:port", flag, address)
		}
		if f.authFile == "" && !f.withoutAuthentication && !loopback(host) {
			return cli.Usagef("--%s %s is reached from other machines, and every caller could do everything: give --auth-file, or say --without-authentication", flag, address)
		}
	}
	return nil
}

// loopback reports whether a host is this machine's alone.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// running is what the command tells about itself.
type gatewayRunning struct {
	Listen     string `json:"listen"`
	HTTPListen string `json:"http_listen,omitempty"`
	Status     string `json:"status_listen,omitempty"`
	TLS        bool   `json:"tls"`
	Writes     bool   `json:"writes"`
}

// serve runs the gateway until the context of the command ends.
func (f *gatewayFlags) serve(c *cobra.Command, s *node.Session) (err error) {
	ctx := c.Context()
	if err := s.Security.Apply(&s.Options); err != nil {
		return err
	}
	if len(s.Options.SeedAddresses) > 0 && !s.Named() {
		s.Options.Address = ""
	}
	logger := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
	var server *gateway.Server
	made := make(chan struct{}) // server is
	watched, err := f.status.Open(func() error {
		select {
		case <-made:
			return server.Ready()
		default:
			return errors.New("the gateway starts")
		}
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watched.Close()) }()
	client, err := celeriant.Connect(s.Options.Address, celeriant.WithPoolOptions(watched.Pool),
		celeriant.WithSeedAddresses(s.Options.SeedAddresses...), celeriant.WithConnectTimeout(s.Options.ConnectTimeout),
		celeriant.WithRequestTimeout(s.Options.RequestTimeout), celeriant.WithProtocolVersion(s.Options.ProtocolVersion),
		celeriant.WithTLS(s.Options.TLS), celeriant.WithIdentity(s.Options.Identity), celeriant.WithLogger(logger),
		celeriant.WithMemoryBudget(f.memory))
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), node.EndGrace)
		defer cancel()
		err = errors.Join(err, client.Close(closing))
	}()
	opts := gateway.Options{
		Writes: f.writes, Reflection: f.reflection, Name: f.name, Logger: logger, Limits: f.limits, ProvenClientID: s.Security.Client,
		DrainDelay: negativeForNone(f.drainDelay), DrainWindow: negativeForNone(f.drainWindow),
		Hooks: gateway.Hooks{Called: watched.Called, Denied: watched.Denied, Evicted: watched.Evicted},
	}
	if f.checkpoint != "" {
		place := stores.CheckpointFlags{Place: f.checkpoint}
		store, err := place.Open(ctx, s)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		opts.Checkpoints = store
	}
	page := web.Options{Hosts: f.hosts, Origins: f.origins, Logger: logger, Denied: watched.Denied}
	if f.authFile != "" {
		file, err := access.Open(f.authFile)
		if err != nil {
			return err
		}
		go file.Run(ctx, 2*time.Second, func(err error) { logger.Error("the last good file stays in force", "cause", err) })
		opts.Authenticator, opts.Authorizer = file, file
		page.Authenticator, page.Authorizer = file, file
	}
	if opts.TLS, err = f.tls(); err != nil {
		return err
	}
	if server, err = gateway.NewServer(client, opts); err != nil {
		return err
	}
	close(made)
	page.Ready = server.Ready
	handler, err := web.NewHandler(client, page)
	if err != nil {
		return err
	}
	if err := errors.Join(watched.WatchPool(client.Pool()), watched.WatchStreams(server), watched.WatchStreams(handler)); err != nil {
		return err
	}
	return f.listenAndServe(c, s, server, web.NewServer(handler), opts.TLS, watched.Address())
}

func negativeForNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// tls returns how the listeners encrypt, nil for plain text. Files are read again
// for each connection, so that certificates can be replaced.
func (f *gatewayFlags) tls() (*tls.Config, error) {
	if f.certificate == "" {
		return nil, nil
	}
	if _, err := tls.LoadX509KeyPair(f.certificate, f.key); err != nil {
		return nil, fmt.Errorf("reading the gateway's certificate: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, err := tls.LoadX509KeyPair(f.certificate, f.key)
		return &certificate, err
	}}
	if f.clients == "" {
		return config, nil
	}
	text, err := os.ReadFile(f.clients)
	if err != nil {
		return nil, fmt.Errorf("reading the authorities of callers: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("reading the authorities of callers: %s holds no certificate in PEM", f.clients)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	return config, nil
}

// listenAndServe serves until the context of the command ends, then drains.
func (f *gatewayFlags) listenAndServe(c *cobra.Command, s *node.Session, server *gateway.Server, pages *http.Server, encrypted *tls.Config, status string) error {
	ctx := c.Context()
	calls, err := net.Listen("tcp", f.listen)
	if err != nil {
		return err
	}
	running := gatewayRunning{Listen: calls.Addr().String(), Status: status, TLS: encrypted != nil, Writes: f.writes}
	failed := make(chan error, 2)
	if f.httpListen != "" {
		listener, err := net.Listen("tcp", f.httpListen)
		if err != nil {
			return errors.Join(err, calls.Close())
		}
		running.HTTPListen = listener.Addr().String()
		go func() {
			// A browser's listener asks for no certificates: they would go along with
			// any page's requests.
			if encrypted != nil {
				pages.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: encrypted.GetCertificate}
				failed <- pages.ServeTLS(listener, "", "")
				return
			}
			failed <- pages.Serve(listener)
		}()
	}
	go func() { failed <- server.Serve(calls) }()
	if err := f.announce(c, s, running); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.drainDelay+f.drainWindow+30*time.Second)
	defer cancel()
	err = errors.Join(err, server.Shutdown(closing))
	return errors.Join(err, pages.Close())
}

func (f *gatewayFlags) announce(c *cobra.Command, s *node.Session, running gatewayRunning) error {
	if s.JSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(running)
	}
	text := "celeriant gateway: listening on " + running.Listen
	if running.HTTPListen != "" {
		text += ", for browsers on " + running.HTTPListen
	}
	if running.Status != "" {
		text += ", status page on http://" + running.Status + "/"
	}
	_, err := fmt.Fprintln(c.OutOrStdout(), text)
	return err
}

func newGatewayKey() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Draw a key for a caller of a gateway",
		Long: `Draw a key for a caller of a gateway and print it, with its entry for the file of
--auth-file. The key is shown once: the file holds its hash only.`,
		Example: `  celeriant gateway key --id billing-2026`,
		Args:    cli.NoArgs,
	}
	id := c.Flags().String("id", "", "the id of the key: at least one character, no dot")
	cli.CompleteNothing(c, "id")
	c.RunE = func(c *cobra.Command, _ []string) error {
		token, hash := access.NewKey(*id)
		if err := access.CheckKeyID(*id); err != nil {
			return cli.Usagef("%w", err)
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "key:   %s\nentry: {\"id\": %q, \"sha256\": %q}\n", token, *id, hash)
		return err
	}
	return c
}
