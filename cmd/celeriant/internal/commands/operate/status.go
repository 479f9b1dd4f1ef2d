package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/status"
)

const (
	statusTimeout   = 10 * time.Second
	largestStatus   = 16 << 20 // bytes of JSON
	defaultInterval = 2 * time.Second
	leastInterval   = 500 * time.Millisecond
)

const statusCommandHelp = `Asks the status page of a program, see package status, and prints its sentence, its
consumers, the worst first, its nodes and its parked aggregates. URL is where the page is
mounted, with or without status.json; a user and a password in it are sent. The exit
status is 0 whatever the page says: how the consumers are is for /readyz to tell.`

// statusCommand is what the flags of status say.
type statusCommand struct {
	url      string
	JSON     bool
	watch    bool
	interval time.Duration
}

// NewStatus returns the command status.
func NewStatus() *cobra.Command {
	var s statusCommand
	c := &cobra.Command{
		Use:     "status",
		Short:   "Print what the status page of a program says",
		Long:    "Print what the status page of a program says.\n\n" + statusCommandHelp,
		Example: "  celeriant status --url http://127.0.0.1:8080/status/\n  celeriant status --url http://127.0.0.1:8080/status/ --watch",
		Args:    cli.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return s.run(c) },
	}
	flags := c.Flags()
	flags.StringVar(&s.url, "url", "", "URL of the status page, http or https")
	flags.BoolVar(&s.JSON, "json", false, "print the page's JSON, one snapshot per line")
	flags.BoolVar(&s.watch, "watch", false, "print again and again until interrupted; a terminal shows the newest alone")
	flags.DurationVar(&s.interval, "interval", defaultInterval, "time between two snapshots with --watch, at least 500ms")
	cli.FromEnvironment(c, "url")
	cli.CompleteNothing(c, "url")
	cli.CompleteNothing(c, "interval")
	return c
}

func (s *statusCommand) run(c *cobra.Command) error {
	page, err := statusURL(s.url)
	if err != nil {
		return err
	}
	if s.interval < leastInterval {
		return cli.Usagef("--interval is %v, want at least %v", s.interval, leastInterval)
	}
	out := c.OutOrStdout()
	if !s.watch {
		snapshot, err := fetchStatus(c.Context(), page)
		if err != nil {
			return err
		}
		return s.print(out, snapshot)
	}
	redraw := !s.JSON && cli.IsTerminal(os.Stdout) && os.Getenv("TERM") != "dumb"
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for first := true; ; first = false {
		snapshot, err := fetchStatus(c.Context(), page)
		switch {
		case c.Context().Err() != nil:
			return nil // interrupted: that is how watching ends
		case err != nil && first:
			return err
		case err != nil:
			fmt.Fprintf(c.ErrOrStderr(), "celeriant: %v; trying again\n", err)
		default:
			if redraw {
				fmt.Fprint(out, "\x1b[H\x1b[2J")
			} else if !first && !s.JSON {
				fmt.Fprintln(out)
			}
			if err := s.print(out, snapshot); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-c.Context().Done():
			return nil
		}
	}
}

func (s *statusCommand) print(out io.Writer, snapshot *status.Snapshot) error {
	if s.JSON {
		return json.NewEncoder(out).Encode(snapshot)
	}
	return snapshot.WriteText(out)
}

// statusURL returns the address of the page's JSON.
func statusURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, cli.Usagef("--url is required")
	}
	u, err := url.Parse(text)
	if err != nil {
		// The error of url.Parse quotes the text, which may hold a password.
		return nil, cli.Usagef("--url is no URL: %v", errors.Unwrap(err))
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, cli.Usagef("--url is %q, want http://HOST/PATH or https://HOST/PATH", u.Redacted())
	}
	if !strings.HasSuffix(u.Path, "/status.json") {
		u = u.JoinPath("status.json")
	}
	u.Fragment = ""
	return u, nil
}

func fetchStatus(ctx context.Context, page *url.URL) (*status.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the status page: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers with status %d", page.Redacted(), answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, largestStatus+1))
	if err != nil {
		return nil, fmt.Errorf("reading the status page: %w", err)
	}
	if len(text) > largestStatus {
		return nil, fmt.Errorf("%s answers with more than %d bytes", page.Redacted(), largestStatus)
	}
	var snapshot status.Snapshot
	if err := json.Unmarshal(text, &snapshot); err != nil {
		return nil, fmt.Errorf("%s is no status page: %w", page.Redacted(), err)
	}
	if snapshot.At.IsZero() || snapshot.Sentence == "" {
		return nil, fmt.Errorf("%s is no status page: the sentence and the time are missing", page.Redacted())
	}
	return &snapshot, nil
}
