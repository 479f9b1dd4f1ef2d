package celerianttest_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

func TestIdleTimeout(t *testing.T) {
	frame := frameOf(t, wire.V3, readFrom(key(1), 1))
	tests := []struct {
		name   string
		pieces map[time.Duration][]byte // when which bytes are sent
		eofAt  time.Duration            // 0: answered
	}{
		{"silence", nil, 30 * time.Second},
		{"a header and three bytes buy no time", map[time.Duration][]byte{0: frame[:20]}, 30 * time.Second},
		{"a piece just before the end buys none either", map[time.Duration][]byte{29 * time.Second: frame[:20]}, 30 * time.Second},
		{"two pieces within the time", map[time.Duration][]byte{0: frame[:5], 29 * time.Second: frame[5:]}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
				p := dial(t, node)
				start := time.Now()
				for at := range 30 * time.Second / time.Second {
					time.Sleep(time.Until(start.Add(at * time.Second)))
					if piece := test.pieces[at*time.Second]; piece != nil {
						p.write(piece)
					}
				}
				if test.eofAt == 0 {
					p.wantError(msg.CodeReadNotFound)
					return
				}
				p.eof()
				if waited := time.Since(start); waited != test.eofAt {
					t.Fatalf("closed after %v, want %v", waited, test.eofAt)
				}
			})
		})
	}
}

func TestIdleTimeCountsFromTheLastAnswer(t *testing.T) {
	inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
		p := dial(t, node)
		for range 5 {
			p.silent(29 * time.Second)
			p.send(readFrom(key(1), 1))
			p.wantError(msg.CodeReadNotFound)
		}
	})
}

func TestClientThatDoesNotTakeItsAnswerIsGivenUp(t *testing.T) {
	inBubble(t, celerianttest.Options{}, func(t *testing.T, node *celerianttest.Node) {
		p := dial(t, node)
		p.call(writeTo(key(1), event(1, strings.Repeat("x", 1<<20))))
		p.send(readFrom(key(1), 1))
		time.Sleep(31 * time.Second)
		if _, _, err := p.receive(); err == nil {
			t.Fatal("an answer that was not taken for 31 s is complete")
		}
	})
}

func TestRequestSizeLimit(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{MaxRequestSize: 2000})
	p := dialTCP(t, node)
	p.call(writeTo(key(1), event(1, strings.Repeat("x", 1800))))
	p.write(frameOf(t, wire.V3, writeTo(key(1), event(1, strings.Repeat("x", 2000)))))
	p.eof()
}

// fillWithPages writes 770-byte batches, five of which fit into 4096 bytes by
// stored size.
func fillWithPages(p *peer, batches int) {
	for i := range batches {
		p.call(writeTo(key(1), event(uint64(i+1), strings.Repeat("x", 700))))
	}
}

func TestPagesStayWithinTheResponseLimit(t *testing.T) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		node := celerianttest.Run(t, celerianttest.Options{MaxResponseSize: 4096})
		p := dial(t, node)
		p.version = v
		fillWithPages(p, 12)
		// Tiny batches: their overhead on the wire exceeds their stored size.
		for i := range 100 {
			p.call(writeTo(key(1), event(uint64(i+13), "")))
		}
		next, seen := uint64(1), uint64(0)
		for next != 0 {
			p.send(readFrom(key(1), next))
			h, resp, err := p.receive()
			page, ok := resp.(*msg.ReadResponse)
			if err != nil || !ok || h.UncompressedLength > 4096 || len(page.Batches) == 0 {
				t.Fatalf("version %d, page from %d: %d bytes, %+v, %v", v, next, h.UncompressedLength, resp, err)
			}
			for _, b := range page.Batches {
				if seen++; b.Version != seen {
					t.Fatalf("version %d follows %d", b.Version, seen-1)
				}
			}
			next = page.NextVersion.Or(0)
		}
		if seen != 112 {
			t.Fatalf("the pages held %d batches, want 112", seen)
		}
	}
}

func TestBatchOverTheResponseLimit(t *testing.T) {
	huge := writeTo(key(1), event(1, strings.Repeat("x", 5000)))
	t.Run("is refused by name", func(t *testing.T) {
		p := dial(t, celerianttest.Run(t, celerianttest.Options{MaxResponseSize: 4096}))
		p.call(huge)
		p.send(readFrom(key(1), 1))
		if text := p.wantError(msg.CodeReadDataBlocks); !strings.Contains(text, "version 1") || !json.Valid([]byte(text)) {
			t.Fatal(text)
		}
	})
	t.Run("is never answered with quirks", func(t *testing.T) {
		inBubble(t, celerianttest.Options{MaxResponseSize: 4096, Quirks: true}, func(t *testing.T, node *celerianttest.Node) {
			p := dial(t, node)
			p.call(huge)
			p.call(writeTo(key(1), event(2, "small")))
			p.send(readFrom(key(1), 1))
			p.silent(29 * time.Second)
			if page := p.call(readFrom(key(1), 2)).(*msg.ReadResponse); len(page.Batches) != 1 {
				t.Fatalf("%+v", page)
			}
		})
	})
}

// TestPageOfManySmallBatches: with quirks a page is measured by stored sizes,
// so its frame may exceed the limit, and is not sent then.
func TestPageOfManySmallBatches(t *testing.T) {
	inBubble(t, celerianttest.Options{MaxResponseSize: 4096, Quirks: true}, func(t *testing.T, node *celerianttest.Node) {
		p := dial(t, node)
		p.version = wire.V2 // 145 bytes for a stored size of 70
		for i := range uint64(100) {
			p.call(writeTo(key(1), event(i+1, "")))
		}
		p.send(readFrom(key(1), 1))
		p.silent(20 * time.Second)
		p.send(readFrom(key(1), 90))
		if page := p.recv().(*msg.ReadResponse); len(page.Batches) != 11 {
			t.Fatalf("%d batches, want 11", len(page.Batches))
		}
	})
}

func TestDictionaryIsSentWhateverTheLimit(t *testing.T) {
	for _, quirks := range []bool{false, true} {
		p := dial(t, celerianttest.Run(t, celerianttest.Options{MaxResponseSize: 1007, Quirks: quirks}))
		if resp := p.call(&msg.IdentifyRequest{}).(*msg.IdentifyResponse); len(resp.DictBytes) <= 1007 {
			t.Fatalf("a dictionary of %d bytes", len(resp.DictBytes))
		}
	}
}

func TestListsStayWithinTheResponseLimit(t *testing.T) {
	p := dial(t, celerianttest.Run(t, celerianttest.Options{MaxResponseSize: 4096}))
	for n := range uint64(100) {
		p.call(writeTo(key(n), event(1, "x")))
	}
	seen, cursor := make(map[msg.Key]bool), msg.None[uint64]()
	for more := true; more; {
		p.send(&msg.ListAggregatesRequest{Cursor: cursor})
		h, resp, err := p.receive()
		page, ok := resp.(*msg.ListAggregatesResponse)
		if err != nil || !ok || h.UncompressedLength > 4096 {
			t.Fatalf("%d bytes, %+v, %v", h.UncompressedLength, resp, err)
		}
		for _, item := range page.Aggregates {
			seen[item.Key] = true
		}
		cursor, more = page.NextCursor, page.NextCursor.Set
	}
	if len(seen) != 100 {
		t.Fatalf("%d aggregates listed, want 100", len(seen))
	}
}

// verbose refuses everything at length.
type verbose struct{ text string }

func (v verbose) Compile(string) (celerianttest.Validator, error) { return nil, errors.New(v.text) }

func TestErrorsTooLongForTheirFrame(t *testing.T) {
	register := &msg.RegisterSchemaRequest{ClientID: writer, Key: msg.SchemaKey{Org: id(1), Type: id(2), Major: 1}}
	register.SetCorrelation(msg.Some(id(5)))
	for _, unit := range []string{"x", "é", `"`, "\n", "\x01", "€", `\`} {
		options := celerianttest.Options{Validators: map[msg.SchemaType]celerianttest.SchemaCompiler{
			msg.SchemaJSON: verbose{"because " + strings.Repeat(unit, 4000)},
		}}
		for _, v := range []wire.Version{wire.V2, wire.V3} {
			p := dial(t, celerianttest.Run(t, options))
			p.version = v
			p.send(register)
			text := p.wantError(msg.CodeSchemaInvalid)
			var fields struct {
				Type  *int   `json:"schema_type"`
				Error string `json:"parse_error"`
			}
			if err := json.Unmarshal([]byte(text), &fields); err != nil || fields.Type == nil || !strings.HasPrefix(fields.Error, "because ") {
				t.Errorf("version %d, %q: %v in %q", v, unit, err, text)
			}
			if len(text) < 900 {
				t.Errorf("version %d, %q: %d bytes kept of an error that may have 978", v, unit, len(text))
			}
		}
	}
	t.Run("are not sent with quirks", func(t *testing.T) {
		inBubble(t, celerianttest.Options{Quirks: true, Validators: map[msg.SchemaType]celerianttest.SchemaCompiler{
			msg.SchemaJSON: verbose{strings.Repeat("x", 4000)},
		}}, func(t *testing.T, node *celerianttest.Node) {
			p := dial(t, node)
			p.send(register)
			p.silent(20 * time.Second)
			p.send(readFrom(key(1), 1))
			p.wantError(msg.CodeReadNotFound)
		})
	})
}
