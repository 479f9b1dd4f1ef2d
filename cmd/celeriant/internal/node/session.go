package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

const (
	defaultAddress = "127.0.0.1:10000"
	// Patience is how long a command waits for one answer. People and scripts
	// prefer a slow answer to an unknown outcome.
	Patience = 10 * time.Second
	// EndGrace bounds storing and closing at the end.
	EndGrace = 5 * time.Second
)

// Session is what all commands that talk to a node have in common.
type Session struct {
	Options  pool.Options
	Security Security
	JSON     bool
	Named    func() bool // --address was given
}

// BindSession adds the flags of a command that talks to nodes.
func BindSession(c *cobra.Command) *Session {
	s := new(Session)
	flags := c.Flags()
	flags.StringVar(&s.Options.Address, "address", defaultAddress, "node to talk to, host:port")
	flags.StringSliceVar(&s.Options.SeedAddresses, "seed", nil, "other nodes of the same cluster, repeatable or separated by commas; replaces the default of --address")
	flags.DurationVar(&s.Options.ConnectTimeout, "connect-timeout", pool.DefaultConnectTimeout, "longest time to connect")
	flags.DurationVar(&s.Options.RequestTimeout, "request-timeout", Patience, "longest time for one answer")
	flags.IntVar(&s.Options.ProtocolVersion, "protocol", pool.DefaultProtocolVersion, "protocol version, 2 or 3")
	flags.BoolVar(&s.Options.DisableCompression, "no-compression", false, "compress nothing; has no effect with credentials")
	cli.CompleteNothing(c, "address")
	cli.CompleteNothing(c, "seed")
	cli.CompleteNothing(c, "connect-timeout")
	cli.CompleteNothing(c, "request-timeout")
	cli.CompleteOnly(c, "protocol", "2", "3")
	s.Security.Bind(c)
	s.BindJSON(c)
	s.Named = func() bool { return flags.Changed("address") }
	cli.FromEnvironment(c, "address", "seed", "connect-timeout", "request-timeout", "protocol", "no-compression")
	cli.FromEnvironment(c, SecurityFlags...)
	return s
}

// BindJSON adds the flag --json.
func (s *Session) BindJSON(c *cobra.Command) {
	c.Flags().BoolVar(&s.JSON, "json", false, "print JSON")
}

// Do connects and does the work of a command.
func (s *Session) Do(ctx context.Context, work func(*pool.Pool) error) error {
	if err := s.Security.Apply(&s.Options); err != nil {
		return err
	}
	if len(s.Options.SeedAddresses) > 0 && !s.Named() {
		s.Options.Address = "" // a node that happens to run here is none of that cluster
	}
	client, err := pool.New(s.Options)
	if err != nil {
		return err
	}
	// Nothing is in flight when work has returned: closing takes no time.
	defer client.Close(context.WithoutCancel(ctx))
	return work(client)
}

// Nodes names the nodes that were given.
func (s *Session) Nodes() string {
	nodes := s.Options.SeedAddresses
	if s.Options.Address != "" {
		nodes = append([]string{s.Options.Address}, nodes...)
	}
	return strings.Join(nodes, ", ")
}

// Print prints v as one line of JSON, or the text.
func (s *Session) Print(c *cobra.Command, v any, text string) error {
	if s.JSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(v)
	}
	_, err := c.OutOrStdout().Write([]byte(text))
	return err
}

// randomID returns an id that nobody else has.
func randomID() msg.ID {
	var id msg.ID
	rand.Read(id[:]) // never fails
	return id
}
