package conn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opener(config Config) *Opener {
	config.IDs, config.Version, config.MaxRequest, config.MaxResponse = NewCorrelator(), wire.V2, 16<<20, 64<<20
	config.Logger = slog.New(slog.DiscardHandler)
	if config.Address == "" {
		config.Address = "n:1"
	}
	if config.Dictionaries == nil {
		config.Dictionaries = new(Dictionaries)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 2 * time.Second
	}
	return NewOpener(config)
}

// connected is a connection to a node of the test's.
func connected(t *testing.T, config Config, node func(net.Conn)) *Conn {
	config.Dial = func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			node(far)
		}()
		return near, nil
	}
	c, err := opener(config).Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// next reads a request of a node's.
func next(t *testing.T, nc net.Conn) (wire.Version, msg.Request) {
	header, body, err := wire.ReadRequestFrame(nc, 0, nil, nil)
	if err != nil {
		return 0, nil
	}
	req, err := wire.DecodeRequest(header.Version, msg.RequestType(header.Type), body)
	if err != nil {
		t.Error(err)
	}
	return header.Version, req
}

func frameOf(t *testing.T, version wire.Version, req msg.Request, resp msg.Response) []byte {
	resp.(interface{ SetCorrelation(msg.Opt[msg.ID]) }).SetCorrelation(req.Correlation())
	frame, err := wire.AppendResponse(nil, version, resp, nil, 0)
	if err != nil {
		t.Error(err)
	}
	return frame
}

// An answer that goes on coming may take longer than the timeout; one that stands still
// may not, nor one that trickles.
func TestTimeoutCountsProgress(t *testing.T) {
	large := &msg.ReadResponse{Batches: []msg.Batch{{Version: 1, Events: []msg.Event{{Major: 1, Value: make([]byte, 1<<20)}}}}}
	for name, c := range map[string]struct {
		step  int
		pause time.Duration
		err   error
	}{
		"a slow link": {progressStep, time.Second, nil},
		"a trickle":   {progressStep / 4, time.Second, ErrRequestTimeout},
		"a standstill": {
			progressStep, 3 * time.Second, ErrRequestTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			conn := connected(t, Config{}, func(nc net.Conn) {
				version, req := next(t, nc)
				frame := frameOf(t, version, req, large)
				for len(frame) > 0 {
					n, err := nc.Write(frame[:min(len(frame), c.step)])
					if frame = frame[n:]; err != nil {
						return
					}
					time.Sleep(c.pause)
				}
			})
			began := time.Now()
			resp, a := conn.Do(t.Context(), &msg.ReadRequest{}, 2*time.Second)
			if !errors.Is(a.Err, c.err) || c.err == nil && len(resp.(*msg.ReadResponse).Batches) != 1 || conn.Broken() != (c.err != nil) {
				t.Errorf("%s, after %v: %v", name, time.Since(began), a.Err)
			}
			conn.Close()
			time.Sleep(time.Minute) // the node notices
		})
	}
}

// Progress does not undo the end of a context.
func TestProgressDoesNotOutliveTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := connected(t, Config{}, func(nc net.Conn) {
			for {
				if _, err := nc.Write(make([]byte, progressStep)); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
		conn.deadline.begin(time.Hour)
		conn.deadline.interrupt()
		conn.deadline.progress(progressStep)
		if _, err := conn.deadline.Read(make([]byte, 1)); err == nil {
			t.Error("a read goes on")
		}
		conn.Close()
		time.Sleep(time.Minute)
	})
}

// An address of a host that cannot be dialled leaves the others their turn.
func TestSecondAddressOfAHost(t *testing.T) {
	live, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { live.Close() })
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	x := &opening{Opener: opener(Config{}), dialOne: new(net.Dialer).DialContext}
	c, err := x.race(t.Context(), []string{dead.Addr().String(), live.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := x.race(t.Context(), []string{dead.Addr().String()}); err == nil || !strings.Contains(x.step, dead.Addr().String()) {
		t.Errorf("%s: %v", x.step, err)
	}
}

// A pipeline that ends before all its reads are answered leaves no connection to be used again.
func TestPipelineThatEndsEarly(t *testing.T) {
	conn := connected(t, Config{}, func(nc net.Conn) {
		var answers []byte
		for n := range 4 {
			version, req := next(t, nc)
			var resp msg.Response = new(msg.ReadResponse)
			if n == 1 {
				resp = new(msg.DetailsResponse)
			}
			answers = append(answers, frameOf(t, version, req, resp)...)
		}
		nc.Write(answers)
	})
	reads := []*PageRequest{{Page: new(Page)}, {Page: new(Page)}, {Page: new(Page)}, {Page: new(Page)}}
	a := conn.Reads(t.Context(), reads, 10*time.Second)
	if a[0].Err != nil || !errors.Is(a[1].Err, ErrProtocol) || !errors.Is(a[3].Err, ErrProtocol) || !conn.Broken() {
		t.Errorf("broken %v, %+v", conn.Broken(), a)
	}
}

// An address that swallows packets leaves the next one its turn after a moment; the error
// of both names them.
func TestDeadAddressOfAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alive := true
		x := &opening{Opener: opener(Config{}), dialOne: func(ctx context.Context, _, address string) (net.Conn, error) {
			if alive && address == "192.0.2.2:1" {
				near, far := net.Pipe()
				t.Cleanup(func() { far.Close() })
				return near, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		both := []string{"192.0.2.1:1", "192.0.2.2:1"}
		began := time.Now()
		c, err := x.race(t.Context(), both)
		if err != nil || time.Since(began) != dialStagger {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		c.Close()
		synctest.Wait()
		alive = false
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := x.race(ctx, both); err == nil || x.step != "dialling 192.0.2.1:1, 192.0.2.2:1" {
			t.Errorf("%s: %v", x.step, err)
		}
	})
}

// A caller that waits in vain learns at which step.
func TestTimeoutsNameTheStep(t *testing.T) {
	forever := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for want, config := range map[string]Config{
		"while dialling n:1": {Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, forever(ctx) }},
		"while asking for the credentials": {Introduce: func(ctx context.Context) (*Introduction, error) {
			return nil, forever(ctx)
		}},
		"while waiting for the answer to Identify": {Anonymous: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go io.Copy(io.Discard, far)
			return near, nil
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			if _, err := opener(config).Open(t.Context(), nil); !errors.Is(err, ErrConnectTimeout) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		})
	}
}

// A node that refuses anonymous introductions is asked again after a while: it may have
// been restarted with a dictionary.
func TestAnonymousRefusalIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		dial := func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				if version, req := next(t, far); req != nil {
					asked++
					far.Write(frameOf(t, version, req, &msg.ErrorResponse{Code: msg.CodeAPIKeyRequired}))
				}
			}()
			return near, nil
		}
		o := opener(Config{Anonymous: true, Dial: dial})
		for range 3 {
			c, err := o.Open(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		time.Sleep(anonymousPause)
		if c, err := o.Open(t.Context(), nil); err == nil {
			c.Close()
		}
		if asked != 2 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// Should a node repeat the API key, in whichever refusal, it is in no error.
func TestSecretsAreRedacted(t *testing.T) {
	const secret = "c2VjcmV0"
	c := connected(t, Config{Introduce: func(context.Context) (*Introduction, error) {
		return &Introduction{Request: new(msg.IdentifyRequest), Secret: secret}, nil
	}}, func(nc net.Conn) {
		for i := 0; ; i++ {
			version, req := next(t, nc)
			if req == nil {
				return
			}
			resp := msg.Response(&msg.IdentifyResponse{})
			if i > 0 {
				resp = &msg.ErrorResponse{Code: msg.CodeReadNotFound, Message: "key " + secret + " sees nothing"}
			}
			nc.Write(frameOf(t, version, req, resp))
		}
	})
	_, a := c.Do(t.Context(), &msg.DetailsRequest{}, time.Second)
	if a.Err == nil || strings.Contains(a.Err.Error(), secret) || !strings.Contains(a.Err.Error(), redacted) {
		t.Error(a.Err)
	}
}

func introduced(n int) *msg.IdentifyResponse {
	dictionary := []byte(fmt.Sprintf("dictionary number %d with some content", n))
	sum := sha256.Sum256(dictionary)
	return &msg.IdentifyResponse{DictSHA256: msg.Some(hex.EncodeToString(sum[:])), DictBytes: dictionary}
}

// Ever new dictionaries evict the one taken least lately; a coder that a connection uses
// is not closed before the connection is, by Close neither.
func TestDictionaries(t *testing.T) {
	var d Dictionaries
	first, _, err := d.acquire(introduced(0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxDictionaries {
		coder, found, err := d.acquire(introduced(i + 1))
		if err != nil || !found || len(d.coders) > maxDictionaries {
			t.Fatalf("dictionary %d: found %v, %v; %d are kept", i+1, found, err, len(d.coders))
		}
		d.release(coder)
	}
	if _, found, _ := d.acquire(&msg.IdentifyResponse{DictSHA256: introduced(0).DictSHA256}); found {
		t.Error("the oldest one is still at hand")
	}
	packed := first.Compress(nil, []byte("text"))
	d.Close()
	if got, err := first.Decompress(nil, packed, 4); string(got) != "text" {
		t.Errorf("closed under the feet of its user: %v", err)
	}
	d.release(first)
	if _, err := first.Decompress(nil, packed, 4); err == nil {
		t.Error("not closed when the last user is gone")
	}
	if _, _, err := d.acquire(introduced(0)); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// The dictionary of an answer outlives the buffer it was read into.
func TestDictionaryOwnsItsMemory(t *testing.T) {
	c := connected(t, Config{}, func(nc net.Conn) {
		version, req := next(t, nc)
		nc.Write(frameOf(t, version, req, &msg.IdentifyResponse{DictBytes: []byte("a dictionary")}))
	})
	resp, a := c.Do(t.Context(), &msg.IdentifyRequest{}, time.Minute)
	if a.Err != nil {
		t.Fatal(a.Err)
	}
	for range 10 { // somebody else's turn with the buffers
		b := getBuffer()
		clear((*b)[:cap(*b)])
	}
	if got := string(resp.(*msg.IdentifyResponse).DictBytes); got != "a dictionary" {
		t.Errorf("it became %q", got)
	}
}

// Memory for the answer to Identify is bounded before the answer is read.
func TestDictionaryIsBoundedBeforeItIsRead(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			if version, req := next(t, far); req != nil {
				far.Write(frameOf(t, version, req, &msg.IdentifyResponse{DictBytes: make([]byte, largestIdentify)})[:wire.HeaderSize])
				io.Copy(io.Discard, far)
			}
		}()
		return near, nil
	}
	if _, err := opener(Config{Dial: dial, Anonymous: true}).Open(t.Context(), nil); !errors.Is(err, ErrResponseTooLarge) {
		t.Error(err)
	}
}

// User code on the way may panic: the socket is closed all the same.
func TestPanicsCloseTheSocket(t *testing.T) {
	near, far := net.Pipe()
	o := opener(Config{
		Dial: func(context.Context, string, string) (net.Conn, error) { return near, nil },
		Introduce: func(context.Context) (*Introduction, error) {
			return &Introduction{Request: new(msg.IdentifyRequest), Confirm: func(*msg.IdentifyResponse) error { panic("mine") }}, nil
		},
	})
	go func() {
		version, req := next(t, far)
		far.Write(frameOf(t, version, req, &msg.IdentifyResponse{}))
	}()
	func() {
		defer func() { recover() }()
		o.Open(t.Context(), nil)
	}()
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("open: %v", err)
	}
}
