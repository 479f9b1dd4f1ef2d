package local

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/schema"
	"github.com/celeriant/celeriant-go/internal/platform"
)

// longestCommand bounds the body of a command over HTTP, in bytes.
const longestCommand = 1024

// servePair runs two nodes, and what controls them, until ctx ends.
func servePair(ctx context.Context, opts celerianttest.Options, controlPort string, asJSON bool, in io.Reader, out io.Writer) error {
	opts.Validators = schema.Compilers()
	second, err := nextPort(opts.Address)
	if err != nil {
		return err
	}
	pair, err := celerianttest.StartPair(celerianttest.PairOptions{Options: opts, AddressB: second})
	if platform.AddressInUse(err) {
		return fmt.Errorf("%w; --client-port 0 picks free ports", err)
	}
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", controlPort))
	if err != nil {
		return errors.Join(fmt.Errorf("listening for commands: %w", err), pair.Close())
	}
	server := &http.Server{Handler: control(pair), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	err = announcePair(out, pair, opts, "http://"+listener.Addr().String(), asJSON)
	if err == nil {
		err = obey(ctx, pair, in, out, asJSON)
	}
	err = errors.Join(err, server.Close())
	<-served // ErrServerClosed
	return errors.Join(err, pair.Close())
}

// nextPort returns the address of the second node: the port after the first
// one's, or any free one.
func nextPort(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("the address of the second node: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 1<<16-1 {
		return "", fmt.Errorf("the address of the second node: there is no port after %s", port)
	}
	if n > 0 {
		n++
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// runningPair is what dev tells about its pair.
type runningPair struct {
	A       string `json:"a"`
	B       string `json:"b"`
	Control string `json:"control"`
	Shards  int    `json:"shards"`
	Quirks  bool   `json:"quirks"`
	TLS     bool   `json:"tls,omitempty"`
}

func announcePair(out io.Writer, pair *celerianttest.Pair, opts celerianttest.Options, url string, asJSON bool) error {
	r := runningPair{A: pair.A().Addr(), B: pair.B().Addr(), Control: url, Shards: cmp.Or(opts.Shards, 1), Quirks: opts.Quirks, TLS: opts.TLS != nil}
	var err error
	if asJSON {
		err = json.NewEncoder(out).Encode(r)
	} else {
		_, err = fmt.Fprintf(out, "celeriant dev: A listening on %s, B on %s, commands on standard input and %s (help lists them)\n", r.A, r.B, r.Control)
	}
	if err != nil {
		return fmt.Errorf("telling the addresses: %w", err)
	}
	return nil
}

// obey carries out what is typed until ctx ends; the end of the input is not
// the end of the pair.
func obey(ctx context.Context, pair *celerianttest.Pair, in io.Reader, out io.Writer, asJSON bool) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, more := <-lines:
			if !more {
				lines = nil // never ready again
				continue
			}
			if strings.TrimSpace(line) == "" {
				continue
			}
			if err := answer(out, pair, line, asJSON); err != nil {
				return fmt.Errorf("answering a command: %w", err)
			}
		}
	}
}

// answer carries out one typed command and prints what came of it.
func answer(out io.Writer, pair *celerianttest.Pair, line string, asJSON bool) error {
	err := command(pair, line)
	switch {
	case asJSON:
		return json.NewEncoder(out).Encode(outcome(pair, err))
	case errors.Is(err, wantsHelp{}):
		_, err = fmt.Fprint(out, pairCommands)
	case err != nil:
		_, err = fmt.Fprintf(out, "%v\n", err)
	default:
		_, err = fmt.Fprintln(out, inWords(pair.State()))
	}
	return err
}

// refusedCommand is the answer to a command that failed.
type refusedCommand struct {
	Error string `json:"error"`
}

// outcome is what a command is answered with in JSON.
func outcome(pair *celerianttest.Pair, err error) any {
	if err != nil {
		return refusedCommand{err.Error()}
	}
	return pair.State()
}

// control serves the state on GET / and takes a command as the body of POST /.
// Both answer with JSON. Pages in a browser are refused: they must not be able
// to command what runs on the machine of their visitor.
func control(pair *celerianttest.Pair) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, pair.State()) })
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, longestCommand))
		if err == nil {
			err = command(pair, string(body))
		}
		status := http.StatusOK
		if err != nil {
			status = http.StatusBadRequest
		}
		reply(w, status, outcome(pair, err))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" {
			reply(w, http.StatusForbidden, refusedCommand{"no commands from web pages"})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone gets no answer
}
