package node

import (
	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/msg"
)

// Author is who a change is recorded for.
type Author struct{ Client, User *cli.Option[msg.ID] }

// BindAuthor adds the flags --client-id and --user-id.
func BindAuthor(c *cobra.Command) *Author {
	return &Author{
		Client: cli.BindID(c, "client-id", "client id stored with the change (default: the one --identity-file proves, else a random one)"),
		User:   cli.BindID(c, "user-id", "user id stored with the change"),
	}
}

// ClientID returns the client id given, else the one the session proves, else
// a random one.
func (a *Author) ClientID(s *Session) msg.ID {
	if id, ok := a.Client.Given.Get(); ok {
		return id
	}
	if id, ok := s.Security.Client.Get(); ok {
		return id
	}
	return randomID()
}
