package celerianttest_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/traces"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// TestRecordings replays every recording of a single node against a node with
// Quirks. Time is virtual, so the recorded waits cost nothing and hold exactly.
func TestRecordings(t *testing.T) {
	replayed := 0
	for _, rec := range traces.All() {
		if strings.HasPrefix(rec.Scenario, "pair-") {
			continue
		}
		replayed++
		t.Run(rec.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := optionsOf(t, rec)
				opts.InMemory = true
				node := celerianttest.Run(t, opts)
				replay(t, rec, &player{node: node, dial: node.Dial, paced: true})
			})
		})
	}
	if replayed != 2*28 {
		t.Errorf("%d recordings of single nodes, want 28 in each version", replayed)
	}
}

// TestRecordingsOverTCP replays some of them, restarts and hand-made bytes
// included, through the loopback interface and in real time. Recordings whose answers
// depend on the milliseconds between requests need virtual time.
func TestRecordingsOverTCP(t *testing.T) {
	for _, rec := range traces.All() {
		switch rec.Scenario {
		case "append-read", "delete-fresh", "lists", "malformed", "paging", "restart-deleted", "schema-json", "watch-write":
		default:
			continue
		}
		t.Run(rec.Name, func(t *testing.T) {
			opts := optionsOf(t, rec)
			opts.Address = "127.0.0.1:0"
			node := celerianttest.Run(t, opts)
			replay(t, rec, &player{node: node,
				dial: func(ctx context.Context) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "tcp", node.Addr())
				}})
		})
	}
}

// optionsOf starts from the flags of the recording's first line.
func optionsOf(t *testing.T, rec traces.Recording) celerianttest.Options {
	t.Helper()
	flags := rec.Server
	if rec.Scenario == "api-keys" {
		flags = append(slices.Clone(flags), "--data-root", foldersWithKeys(t))
	}
	opts, err := celerianttest.ParseFlags(append(slices.Clone(flags), "--quirks"))
	if err != nil {
		t.Fatal(err)
	}
	opts.Validators = testValidators
	return opts
}

func foldersWithKeys(t *testing.T) string {
	folder := t.TempDir()
	text := "# the keys of the recording\n[keys]\n"
	for i, name := range []string{"primary_rw", "secondary_rw", "primary_ro", "secondary_ro"} {
		sum := sha256.Sum256(slices.Repeat([]byte{byte(i + 1)}, 32))
		text += fmt.Sprintf("%s = \"%x\"\n", name, sum)
	}
	if err := os.WriteFile(filepath.Join(folder, "api_keys.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// player walks through a recording.
type player struct {
	t       *testing.T
	node    *celerianttest.Node
	dial    func(context.Context) (net.Conn, error)
	paced   bool // send no earlier than it was recorded
	start   time.Time
	peers   map[int]*peer
	rewrite *rewriter
	step    traces.Step
}

func replay(t *testing.T, rec traces.Recording, p *player) {
	p.t, p.start, p.peers, p.rewrite = t, time.Now(), make(map[int]*peer), newRewriter(t, rec)
	for _, p.step = range rec.Steps {
		p.play()
		if t.Failed() {
			t.Fatalf("at line %d of %s: %s %s on connection %d", p.step.Line, rec.Name, p.step.Do, p.step.Type, p.step.Conn)
		}
	}
}

func (p *player) play() {
	s := p.step
	peer := p.peers[s.Conn]
	switch s.Do {
	case traces.DoOpen:
		p.open(s.Conn)
	case traces.DoSend:
		if p.paced {
			p.pace()
		}
		_, _ = peer.socket.Write(p.rewrite.request(s)) // after an end of stream the bytes go nowhere
	case traces.DoRecv:
		p.receive(peer)
	case traces.DoSilence:
		peer.silent(time.Duration(s.WaitedMS) * time.Millisecond)
	case traces.DoEOF:
		peer.eof()
	case traces.DoClose:
		peer.close()
	case traces.DoRestart:
		if err := p.node.Restart(); err != nil {
			p.t.Error(err)
		}
	}
}

// pace waits until the step's recorded time, so that latencies and waits that
// are no steps of their own have passed.
func (p *player) pace() {
	time.Sleep(time.Until(p.start.Add(time.Duration(p.step.AtMS) * time.Millisecond)))
}

func (p *player) open(number int) {
	if old := p.peers[number]; old != nil {
		old.close()
	}
	socket, err := p.dial(context.Background())
	if err != nil {
		p.t.Fatal(err)
	}
	p.peers[number] = newPeer(p.t, socket)
}

// receive compares the next frame with the recorded one.
func (p *player) receive(peer *peer) {
	h, got, err := peer.receive()
	if err != nil {
		p.t.Errorf("instead of the recorded answer: %v", err)
		return
	}
	if p.step.Hex == nil {
		p.compareIdentified(got)
		return
	}
	recorded, err := wire.ParseHeader(p.step.Hex)
	if err != nil {
		p.t.Error(err)
		return
	}
	want, err := wire.DecodeResponse(recorded.Version, msg.ResponseType(recorded.Type), p.step.Hex[wire.HeaderSize:])
	if err != nil {
		p.t.Error(err)
		return
	}
	if h.Version != recorded.Version {
		p.t.Errorf("an answer in version %d, recorded in %d", h.Version, recorded.Version)
	}
	p.rewrite.learn(want, got)
	normalise(want)
	normalise(p.rewrite.response(got))
	if !reflect.DeepEqual(got, want) {
		p.t.Errorf("got  %T %+v\nwant %T %+v", got, got, want, want)
	}
}

// compareIdentified compares with an Identify answer whose bytes were cut.
func (p *player) compareIdentified(resp msg.Response) {
	got, ok := resp.(*msg.IdentifyResponse)
	want, isList := p.step.Body.([]any)
	if !ok || !isList {
		p.t.Errorf("got %T %+v, want an answer to Identify", resp, resp)
		return
	}
	if got.ClientID.Set != (want[1] != nil) || (want[2] != nil) != got.Access.Set || (got.Access.Set && uint64(got.Access.Value) != want[2]) {
		p.t.Errorf("got %+v, want %v", got, want)
	}
	if !got.DictSHA256.Set || got.DictBytes == nil {
		p.t.Error("the dictionary is missing")
	}
}
