package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

const (
	defaultAddress = "127.0.0.1:10000"
	// patience is how long a command waits for one answer. People and scripts
	// prefer a slow answer to an unknown outcome.
	patience = 10 * time.Second
)

// session is what all commands that talk to a node have in common.
type session struct {
	opts     pool.Options
	security security
	json     bool
	named    func() bool // --address was given
}

func bindSession(c *cobra.Command) *session {
	s := new(session)
	flags := c.Flags()
	flags.StringVar(&s.opts.Address, "address", defaultAddress, "node to talk to, host:port")
	flags.StringSliceVar(&s.opts.SeedAddresses, "seed", nil, "other nodes of the same cluster, repeatable or separated by commas; replaces the default of --address")
	flags.DurationVar(&s.opts.ConnectTimeout, "connect-timeout", pool.DefaultConnectTimeout, "longest time to connect")
	flags.DurationVar(&s.opts.RequestTimeout, "request-timeout", patience, "longest time for one answer")
	flags.IntVar(&s.opts.ProtocolVersion, "protocol", pool.DefaultProtocolVersion, "protocol version, 2 or 3")
	flags.BoolVar(&s.opts.DisableCompression, "no-compression", false, "compress nothing; has no effect with credentials")
	completeNothing(c, "address")
	completeNothing(c, "seed")
	completeNothing(c, "connect-timeout")
	completeNothing(c, "request-timeout")
	completeOnly(c, "protocol", "2", "3")
	s.security.bind(c)
	s.bindJSON(c)
	s.named = func() bool { return flags.Changed("address") }
	fromEnvironment(c, "address", "seed", "connect-timeout", "request-timeout", "protocol", "no-compression")
	fromEnvironment(c, securityFlags...)
	return s
}

func (s *session) bindJSON(c *cobra.Command) {
	c.Flags().BoolVar(&s.json, "json", false, "print JSON")
}

// do connects and does the work of a command.
func (s *session) do(ctx context.Context, work func(*pool.Pool) error) error {
	if err := s.security.apply(&s.opts); err != nil {
		return err
	}
	if len(s.opts.SeedAddresses) > 0 && !s.named() {
		s.opts.Address = "" // a node that happens to run here is none of that cluster
	}
	client, err := pool.New(s.opts)
	if err != nil {
		return err
	}
	// Nothing is in flight when work has returned: closing takes no time.
	defer client.Close(context.WithoutCancel(ctx))
	return work(client)
}

// nodes names the nodes that were given.
func (s *session) nodes() string {
	nodes := s.opts.SeedAddresses
	if s.opts.Address != "" {
		nodes = append([]string{s.opts.Address}, nodes...)
	}
	return strings.Join(nodes, ", ")
}

// print prints v as one line of JSON, or the text.
func (s *session) print(c *cobra.Command, v any, text string) error {
	if s.json {
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
