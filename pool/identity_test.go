package pool_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// journal collects what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

var (
	writeKey = [pool.APIKeySize]byte{1, 2, 3}
	readKey  = [pool.APIKeySize]byte{4, 5, 6}
)

func guarded(t testing.TB) *celerianttest.Node {
	return celerianttest.Run(t, celerianttest.Options{
		RequireIdentity: true,
		APIKeys:         celerianttest.APIKeys{PrimaryRW: celerianttest.HashAPIKey(writeKey), PrimaryRO: celerianttest.HashAPIKey(readKey)},
	})
}

func withKey(raw [pool.APIKeySize]byte) pool.Credentials {
	return pool.Credentials{APIKey: pool.NewAPIKey(raw)}
}

func TestIdentityIsProven(t *testing.T) {
	pair := keyPair(t)
	both := withKey(writeKey)
	both.KeyPair = pair
	for name, c := range map[string]struct {
		credentials pool.Credentials
		client      msg.Opt[msg.ID]
		access      msg.AccessLevel
		writes      map[msg.ID]bool
	}{
		"key":           {withKey(writeKey), msg.None[msg.ID](), msg.ReadWrite, map[msg.ID]bool{me: true, pair.ClientID(): true}},
		"read-only key": {withKey(readKey), msg.None[msg.ID](), msg.ReadOnly, map[msg.ID]bool{me: false}},
		"key and pair":  {both, msg.Some(pair.ClientID()), msg.ReadWrite, map[msg.ID]bool{me: false, pair.ClientID(): true}},
	} {
		for _, version := range []int{2, 3} {
			n := guarded(t)
			p := open(t, pool.Options{Address: n.Addr(), ProtocolVersion: version, Identity: pool.FixedIdentity(c.credentials), DisableCompression: true})
			if who, known := p.Identity(); known {
				t.Errorf("%s: known before the first connection: %+v", name, who)
			}
			for client, allowed := range c.writes {
				_, err := p.WriteEvents(ctx, key, events(1, bytes.Repeat([]byte("x"), 3000)), client, pool.WriteOptions{})
				if allowed != (err == nil) || !allowed && (!errors.Is(err, msg.ErrUnauthorized) || msg.Ambiguous(err) || msg.SafeToRetry(err)) {
					t.Errorf("%s: writing as %v: %v", name, client, err)
				}
			}
			who, known := p.Identity()
			if !known || who.ClientID != c.client || who.Access != msg.Some(c.access) || who.Node != n.Addr() || time.Since(who.At) > time.Minute {
				t.Errorf("%s: identified as %+v", name, who)
			}
		}
	}
}

// Refused credentials are a definite answer: one connection, one Identify, no
// second try and nothing in their place, in operations and watches alike. No
// text shows them.
func TestIdentityRefused(t *testing.T) {
	n := guarded(t)
	wrong := pool.Credentials{APIKey: apiKey(t, secretText)}
	var log journal
	p := open(t, pool.Options{Address: n.Addr(), Identity: pool.FixedIdentity(wrong), Logger: log.logger()})
	var texts strings.Builder
	for i, do := range []func() error{
		func() error { return details(ctx, p, 1) },
		func() error { _, err := p.Write(ctx, oneWrite); return err },
		func() error { _, err := p.Watch(ctx, &msg.WatchRequest{}); return err },
	} {
		err := do()
		if !errors.Is(err, msg.ErrUnauthorized) || errors.Is(err, pool.ErrConnect) || msg.Ambiguous(err) || msg.SafeToRetry(err) {
			t.Errorf("%d: %v", i, err)
		}
		texts.WriteString(err.Error())
		if got := n.Stats().Accepted; got != i+1 {
			t.Errorf("%d: %d connections", i, got)
		}
	}
	if who, known := p.Identity(); known {
		t.Errorf("identified as %+v", who)
	}
	if !strings.Contains(log.String(), "connecting failed") {
		t.Error("nothing was logged")
	}
	for _, text := range []string{texts.String(), log.String()} {
		if strings.Contains(text, secretText) || strings.Contains(text, "s3cr3t") {
			t.Errorf("the key shows in %s", text)
		}
	}
}

// A node that repeats the key in its refusal does not make it show.
func TestRepeatedKeyIsRedacted(t *testing.T) {
	f := serve(t, each(func(_ *peer, req msg.Request) msg.Response {
		return &msg.ErrorResponse{Code: msg.CodeAPIKeyInvalid, Message: "Invalid API key " + req.(*msg.IdentifyRequest).APIKey.Value}
	}))
	var log journal
	p := open(t, pool.Options{Address: f.address(), Logger: log.logger(), Identity: pool.FixedIdentity(pool.Credentials{APIKey: apiKey(t, secretText)})})
	err := details(ctx, p, 1)
	if !errors.Is(err, msg.ErrUnauthorized) || !strings.Contains(err.Error(), "[redacted]") {
		t.Error(err)
	}
	if all := err.Error() + log.String(); strings.Contains(all, secretText) {
		t.Error(all)
	}
}

// With credentials there is no way to a connection that has not identified:
// not when the node closes on Identify, not when it is slow, not when it
// confirms somebody else, not with a dictionary out of hand.
func TestNeverUnidentified(t *testing.T) {
	pair := pool.Credentials{KeyPair: keyPair(t)}
	somebody := msg.IDFromUint64(99)
	for name, c := range map[string]struct {
		answer func(*peer, msg.Request) msg.Response
		want   error
	}{
		"closes":            {func(*peer, msg.Request) msg.Response { return nil }, pool.ErrConnect},
		"is silent":         {func(p *peer, _ msg.Request) msg.Response { p.drain(); return nil }, pool.ErrConnectTimeout},
		"is busy":           {func(*peer, msg.Request) msg.Response { return &msg.ErrorResponse{Code: msg.CodeServerBusy} }, msg.ErrBusy},
		"proves nobody":     {func(*peer, msg.Request) msg.Response { return &msg.IdentifyResponse{} }, pool.ErrProtocol},
		"proves another":    {func(*peer, msg.Request) msg.Response { return &msg.IdentifyResponse{ClientID: msg.Some(somebody)} }, pool.ErrProtocol},
		"has no dictionary": {func(*peer, msg.Request) msg.Response { return withheld(pair.KeyPair) }, pool.ErrProtocol},
	} {
		var others atomic.Int32
		f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
			if _, ok := req.(*msg.IdentifyRequest); !ok {
				others.Add(1)
				return echo(p, req)
			}
			return c.answer(p, req)
		}))
		patience := 20 * time.Second
		if c.want == pool.ErrConnectTimeout {
			patience = 100 * time.Millisecond
		}
		p := open(t, pool.Options{Address: f.address(), Identity: pool.FixedIdentity(pair), ConnectTimeout: patience})
		for range 2 {
			if _, err := p.Write(ctx, oneWrite); !errors.Is(err, c.want) || msg.Ambiguous(err) {
				t.Errorf("a node that %s: %v", name, err)
			}
		}
		if others.Load() != 0 {
			t.Errorf("a node that %s got requests without an identity", name)
		}
		if who, known := p.Identity(); known {
			t.Errorf("a node that %s: identified as %+v", name, who)
		}
	}
}

// withheld confirms a dictionary that nobody was given.
func withheld(pair pool.KeyPair) *msg.IdentifyResponse {
	return &msg.IdentifyResponse{ClientID: msg.Some(pair.ClientID()), DictSHA256: msg.Some(strings.Repeat("ab", 32))}
}

// A node that confirms a dictionary out of hand is asked for it with the
// credentials again, on a connection of its own, with a hash no more.
func TestDictionaryIsAskedForWithCredentials(t *testing.T) {
	pair := keyPair(t)
	coder := coderOf(t, 1)
	var introductions sync.Map
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		identify, ok := req.(*msg.IdentifyRequest)
		if !ok {
			return echo(p, req)
		}
		introductions.Store(p.number, *identify)
		if p.number == 0 {
			return withheld(pair)
		}
		return &msg.IdentifyResponse{ClientID: msg.Some(pair.ClientID()), DictSHA256: msg.Some(coder.SHA256()), DictBytes: coder.Dictionary()}
	}))
	p := open(t, pool.Options{Address: f.address(), Identity: pool.FixedIdentity(pool.Credentials{KeyPair: pair})})
	if err := details(ctx, p, 1); err != nil {
		t.Fatal(err)
	}
	again, ok := introductions.Load(1)
	if got, _ := again.(msg.IdentifyRequest); !ok || !got.Signature.Set || got.KnownDictSHA256.Set {
		t.Errorf("the second introduction: %+v", again)
	}
}

// Each connection asks for the credentials anew, so that they can be replaced.
func TestIdentityRotates(t *testing.T) {
	n := guarded(t)
	folder := t.TempDir()
	path := filepath.Join(folder, "key")
	replace := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		n.CutConnections()
	}
	base64Of := func(raw [pool.APIKeySize]byte) string {
		request := make(chan string, 1)
		f := serve(t, each(func(_ *peer, req msg.Request) msg.Response {
			request <- req.(*msg.IdentifyRequest).APIKey.Value
			return nil
		}))
		details(ctx, open(t, pool.Options{Address: f.address(), Identity: pool.FixedIdentity(withKey(raw))}), 1)
		return <-request
	}
	pairPath := filepath.Join(folder, "pair.pem")
	if err := os.WriteFile(pairPath, pemOf("PRIVATE KEY", pkcs8(t, rsaKey())), 0o600); err != nil {
		t.Fatal(err)
	}
	p := open(t, pool.Options{Address: n.Addr(), Identity: pool.FileIdentity(path, pairPath)})
	if err := details(ctx, p, 1); !errors.Is(err, pool.ErrCredentials) || !errors.Is(err, os.ErrNotExist) || n.Stats().Accepted != 0 {
		t.Errorf("without a file: %v", err)
	}
	for _, step := range []struct {
		content string
		access  msg.AccessLevel
	}{{base64Of(writeKey), msg.ReadWrite}, {base64Of(readKey), msg.ReadOnly}} {
		replace(step.content)
		if _, err := p.Shards(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := p.ListOrgsPage(ctx, &msg.ListOrgsRequest{}); err != nil {
			t.Fatal(err)
		}
		who, _ := p.Identity()
		if who.Access != msg.Some(step.access) || who.ClientID != msg.Some(keyPair(t).ClientID()) {
			t.Errorf("identified as %+v, want %v", who, step.access)
		}
	}
	for _, content := range []string{"not a key", strings.Repeat("x", 1<<20+1)} {
		replace(content)
		_, err := p.ListOrgsPage(ctx, &msg.ListOrgsRequest{})
		if !errors.Is(err, pool.ErrCredentials) || strings.Contains(err.Error(), content) {
			t.Errorf("%.80v", err)
		}
	}
}

// Credentials that cannot be had open no connection and blame no node; a
// provider that hangs is bounded like connecting is.
func TestIdentityCannotBeHad(t *testing.T) {
	vault := errors.New("the vault is closed")
	for name, c := range map[string]struct {
		identity pool.Identity
		want     error
	}{
		"fails":    {func(context.Context) (pool.Credentials, error) { return pool.Credentials{}, vault }, vault},
		"is empty": {pool.FixedIdentity(pool.Credentials{}), pool.ErrCredentials},
		"hangs": {func(ctx context.Context) (pool.Credentials, error) {
			<-ctx.Done()
			return pool.Credentials{}, ctx.Err()
		}, pool.ErrConnectTimeout},
	} {
		f := serve(t, each(echo))
		patience := time.Minute
		if c.want == pool.ErrConnectTimeout {
			patience = 100 * time.Millisecond
		}
		p := open(t, pool.Options{Address: f.address(), Identity: c.identity, ConnectTimeout: patience})
		_, err := p.Write(ctx, oneWrite)
		if !errors.Is(err, c.want) || msg.Ambiguous(err) || errors.Is(err, pool.ErrConnect) {
			t.Errorf("%s: %v", name, err)
		}
		if name != "hangs" && !errors.Is(err, pool.ErrCredentials) {
			t.Errorf("%s: %v", name, err)
		}
		if f.accepted() != 0 {
			t.Errorf("%s: %d connections", name, f.accepted())
		}
	}
}
