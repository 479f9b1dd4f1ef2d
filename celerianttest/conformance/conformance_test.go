package conformance_test

import (
	"cmp"
	"flag"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/celerianttest/conformance"
	"github.com/celeriant/celeriant-go/msg"
)

var (
	long    = flag.Duration("conformance.long", 0, "how long each storm lasts, instead of the default")
	seed    = flag.Uint64("conformance.seed", 0, "what storms are drawn from")
	rest    = flag.Duration("conformance.rest", 0, "how long a named cluster is left alone between disturbances, instead of the default")
	version = flag.Int("conformance.version", 2, "protocol version of subscriptions on the named server, 2 or 3")
	lenient = flag.Bool("conformance.lenient", false, "log what the named server itself breaks instead of failing")
	follow  = flag.Bool("conformance.followers", true, "let storms pass over subscriptions at followers, too")
	limit   = flag.Int("conformance.limit", 0, "the named server's response limit, if it is at most 1 MiB")
)

// The suite waits more than it works, so all servers are tested at once; with -short
// one node and one pair; see hurried for the rest.
func TestServers(t *testing.T) {
	var all sync.WaitGroup
	defer all.Wait()
	for name, test := range servers {
		if testing.Short() && name != "three shards with quirks" && name != "pair" && name != "named" {
			continue
		}
		all.Go(func() { t.Run(name, test) })
	}
}

var servers = map[string]func(*testing.T){
	"node":                         node(celerianttest.Options{}),
	"node with quirks":             node(celerianttest.Options{Quirks: true, MaxResponseSize: small}),
	"three shards":                 node(celerianttest.Options{Shards: 3}),
	"three shards with quirks":     node(celerianttest.Options{Shards: 3, Quirks: true, SegmentBytes: 2 << 20, ListPageSize: 3}),
	"four shards, one coordinates": node(celerianttest.Options{Shards: 4, ReserveCoordinator: true, Quirks: true}),
	"pair":                         pair(celerianttest.PairOptions{Options: celerianttest.Options{Shards: 2}}),
	"pair with quirks and a follower that lags": pair(celerianttest.PairOptions{
		Options: celerianttest.Options{Quirks: true}, Lag: 400 * time.Millisecond,
		SteadyRestarts: true, RestartSilence: 300 * time.Millisecond, RestartBehind: 2 * time.Second, RestartRepeats: true,
	}),
	"named": named,
}

// small is a response limit that a batch can exceed in a test.
const small = 64 << 10

func target(o celerianttest.Options) conformance.Target {
	version := 2
	if o.Shards == 3 {
		version = 3
	}
	limit := 0
	if o.MaxResponseSize == small {
		limit = small
	}
	to := conformance.Target{EnforcesJSONSchema: true, MaxResponseSize: limit, StreamVersion: version, Storm: *long, Seed: *seed, Followers: *follow, Heartbeat: o.Heartbeat}
	if hurried() {
		to.Storm = cmp.Or(to.Storm, 500*time.Millisecond)
	}
	return to
}

// hurried tells that the suite is to be over soon: with -short, but not where the race
// detector makes everything slow.
func hurried() bool { return testing.Short() && !raced }

// quick shortens the server's waits.
func quick(o celerianttest.Options) celerianttest.Options {
	o.Validators = validators
	if hurried() {
		o.Heartbeat = time.Second
	}
	return o
}

// suite runs all of it, in a hurry its two parts at once.
func suite(t *testing.T, to conformance.Target) {
	if !hurried() {
		conformance.Run(t, to)
		return
	}
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() { t.Run("Pool", func(t *testing.T) { conformance.Pool(t, to) }) })
	both.Go(func() { t.Run("Stream", func(t *testing.T) { conformance.Stream(t, to) }) })
}

func node(o celerianttest.Options) func(*testing.T) {
	return func(t *testing.T) {
		o := quick(o)
		n := celerianttest.Run(t, o)
		to := target(o)
		to.Addresses = []string{n.Addr()}
		if !hurried() {
			to.Hooks.Kill = func(string) error { n.Kill(); return nil }
			to.Hooks.Restart = func(string) error { return n.Restart() }
		}
		suite(t, to)
	}
}

// A pair loses its leader three times by a kill and three times by a pause.
func pair(o celerianttest.PairOptions) func(*testing.T) {
	return func(t *testing.T) {
		o.Takeover, o.Options = 300*time.Millisecond, quick(o.Options)
		p := celerianttest.RunPair(t, o)
		on := func(do func(*celerianttest.Node) error) func(string) error {
			return func(address string) error {
				if address == p.A().Addr() {
					return do(p.A())
				}
				return do(p.B())
			}
		}
		to := target(o.Options)
		to.Addresses = []string{p.B().Addr(), p.A().Addr()}
		to.Hooks = conformance.Hooks{Kill: on(p.Kill), Restart: on(p.Restart), Pause: on(p.Pause), Resume: on(p.Resume)}
		if testing.Short() {
			to.Hooks = conformance.Hooks{}
		}
		suite(t, to)
	}
}

// The server that CELERIANT_TEST_ADDR names: one address, or those of a cluster,
// parted by commas.
//
// Nodes are disturbed with the program that CELERIANT_TEST_CONTROL names, if it
// does: it is run with kill, restart, pause or resume and an address, and must
// return when that is done.
func named(t *testing.T) {
	addresses := os.Getenv("CELERIANT_TEST_ADDR")
	if addresses == "" {
		return // the others are what there is
	}
	to := conformance.Target{
		Addresses: strings.Split(addresses, ","), EnforcesJSONSchema: true, MaxResponseSize: *limit,
		StreamVersion: *version, Storm: *long, Rest: *rest, Seed: *seed, Lenient: *lenient, Followers: *follow,
	}
	if program := os.Getenv("CELERIANT_TEST_CONTROL"); program != "" {
		to.Hooks = control(program)
	}
	conformance.Run(t, to)
}

func control(program string) conformance.Hooks {
	do := func(what string) func(string) error {
		return func(address string) error { return exec.Command(program, what, address).Run() }
	}
	return conformance.Hooks{Kill: do("kill"), Restart: do("restart"), Pause: do("pause"), Resume: do("resume")}
}

var validators = map[msg.SchemaType]celerianttest.SchemaCompiler{msg.SchemaJSON: shape{}}
