package monitor

import (
	"net"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
)

// Flags are those of a command that can be looked at while it runs.
type Flags struct {
	listen string
}

// Help says in the help of a command what --status-listen serves.
const Help = `With --status-listen HOST:PORT the status page is served there, which "celeriant status"
prints, too, with /healthz, /readyz and, for Prometheus, /metrics. Whoever reaches the
address reads it: it shows keys and errors, no payloads, and changes nothing.`

// Bind adds the flag --status-listen.
func Bind(c *cobra.Command) *Flags {
	f := new(Flags)
	c.Flags().StringVar(&f.listen, "status-listen", "", "where to serve the status page, /healthz, /readyz and /metrics, host:port (default: nowhere)")
	cli.CompleteNothing(c, "status-listen")
	cli.FromEnvironment(c, "status-listen")
	return f
}

// Check refuses an address that is none, before anything is opened.
func (f *Flags) Check() error {
	if f.listen == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(f.listen); err != nil {
		return cli.Usagef("--status-listen is %q, want host:port", f.listen)
	}
	return nil
}
