package wire_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

func TestFullMessagesBothWays(t *testing.T) {
	for name, want := range everyMessage() {
		for _, v := range []wire.Version{wire.V2, wire.V3} {
			frame := encodeFrame(t, v, want)
			got := decodeFrame(t, name, frame, isRequest(want))
			if !reflect.DeepEqual(dropEmpty(got), want) {
				t.Errorf("%s, version %d decodes to\n%+v, want\n%+v", name, v, got, want)
			}
		}
	}
}

// deletes is a delete request of n aggregates, the fixed-class message that
// outgrows its frame first.
func deletes(n int) *msg.DeleteRequest {
	req := &msg.DeleteRequest{ClientID: client}
	for i := range n {
		req.Deletes = append(req.Deletes, msg.AggregateDelete{Key: msg.Key{Org: org, Type: typ, Aggregate: nth(uint64(i))}})
	}
	return req
}

func TestFixedClassBodiesEndAt1007(t *testing.T) {
	for v, most := range map[wire.Version]int{wire.V2: 19, wire.V3: 16} {
		if _, err := wire.AppendRequest(nil, v, deletes(most), nil, 0); err != nil {
			t.Errorf("version %d: %d deletes: %v", v, most, err)
		}
		dst := []byte("kept")
		got, err := wire.AppendRequest(dst, v, deletes(most+1), nil, 0)
		var size *wire.SizeError
		if !errors.As(err, &size) || !size.Fixed || size.Limit != wire.FixedBodyLimit || size.Size <= size.Limit || size.Message != "delete" {
			t.Errorf("version %d: %d deletes: error %#v", v, most+1, err)
		}
		if string(got) != "kept" {
			t.Errorf("version %d: returned %q, want dst as it was", v, got)
		}
	}
	// To the byte: an error message fills the frame exactly.
	for v, n := range map[wire.Version]int{wire.V2: 978, wire.V3: 982} {
		resp := &msg.ErrorResponse{Correlated: corr, Code: 2022, Message: strings.Repeat("x", n)}
		frame, err := wire.AppendResponse(nil, v, resp, nil, 0)
		if err != nil || v == wire.V2 && len(frame) != wire.HeaderSize+wire.FixedBodyLimit {
			t.Errorf("version %d: a message of %d: frame of %d, %v", v, n, len(frame), err)
		}
		resp.Message += "xxxx"
		if _, err := wire.AppendResponse(nil, v, resp, nil, 0); err == nil {
			t.Errorf("version %d: a message of %d fits", v, n+4)
		}
	}
}

func TestLimitOfTheFrame(t *testing.T) {
	resp := page(2, 5)
	size := len(encodeFrame(t, wire.V3, resp)) - wire.HeaderSize
	if _, err := wire.AppendResponse(nil, wire.V3, resp, nil, uint32(size)); err != nil {
		t.Errorf("a body as long as the limit: %v", err)
	}
	dst := []byte("kept")
	got, err := wire.AppendResponse(dst, wire.V3, resp, newCoder(t, "raw"), uint32(size-1))
	var over *wire.SizeError
	if !errors.As(err, &over) || over.Fixed || over.Size != uint64(size) || over.Limit != uint64(size-1) || over.Message != "read response" {
		t.Errorf("error %#v", err)
	}
	if string(got) != "kept" {
		t.Errorf("returned %q, want dst as it was", got)
	}
	// A limit below the fixed class's own is the one that counts.
	if _, err := wire.AppendRequest(nil, wire.V3, deletes(3), nil, 100); !errors.As(err, &over) || over.Fixed || over.Limit != 100 {
		t.Errorf("error %#v", err)
	}
}

func TestFramesAreAppended(t *testing.T) {
	for name, m := range everyMessage() {
		alone := encodeFrame(t, wire.V3, m)
		got, err := appendMessage([]byte("before"), wire.V3, m)
		if err != nil || !bytes.Equal(got, append([]byte("before"), alone...)) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

type foreign struct{ msg.ProtocolErrorResponse }

func (*foreign) ResponseType() msg.ResponseType { return 15 }

func TestValuesTheProtocolCannotCarry(t *testing.T) {
	for name, c := range map[string]struct {
		m   any
		why string
	}{
		"text":            {&msg.ErrorResponse{Message: "\xff"}, "not UTF-8"},
		"optional text":   {&msg.IdentifyRequest{APIKey: msg.Some("a\xc0")}, "not UTF-8"},
		"schema":          {&msg.RegisterSchemaRequest{Schema: "\xed\xa0\x80"}, "not UTF-8"},
		"access 0":        {&msg.IdentifyResponse{Access: msg.Some[msg.AccessLevel](0)}, "access level 0"},
		"access 3":        {&msg.IdentifyResponse{Access: msg.Some[msg.AccessLevel](3)}, "access level 3"},
		"foreign message": {&foreign{}, "no response"},
	} {
		for _, v := range []wire.Version{wire.V2, wire.V3} {
			got, err := appendMessage([]byte("kept"), v, c.m)
			var refused *wire.EncodeError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%s, version %d: error %v, want an EncodeError about %q", name, v, err, c.why)
			}
			if string(got) != "kept" {
				t.Errorf("%s, version %d: returned %q, want dst as it was", name, v, got)
			}
		}
	}
	for _, v := range []wire.Version{0, 1, 4} {
		var refused *wire.EncodeError
		if _, err := appendMessage(nil, v, &msg.ListOrgsRequest{}); !errors.As(err, &refused) {
			t.Errorf("request in version %d: error %v", v, err)
		}
		if _, err := appendMessage(nil, v, &msg.ProtocolErrorResponse{}); !errors.As(err, &refused) {
			t.Errorf("response in version %d: error %v", v, err)
		}
	}
}

// writeOf is a write request whose payloads add up to n bytes, in two events.
func writeOf(n int) *msg.WriteRequest {
	return &msg.WriteRequest{ClientID: client, Writes: []msg.AggregateWrite{
		{Key: key, Events: []msg.Event{{Major: 1, Value: make([]byte, n/2)}}, DenyCreate: true},
		{Key: msg.Key{}, Events: []msg.Event{{Major: 1, Value: make([]byte, n-n/2)}}, DenyCreate: true},
	}}
}

// readOf is a read response whose version 2 body has n bytes.
func readOf(n int) *msg.ReadResponse {
	const rest = 1 + 8 + 41 + 50 + 1
	return &msg.ReadResponse{Batches: []msg.Batch{{Events: []msg.Event{{Value: make([]byte, n-rest)}}}}}
}

// TestWhatIsCompressed follows the table of protocol section 9.2.
func TestWhatIsCompressed(t *testing.T) {
	coder := newCoder(t, "trained")
	noise := make([]msg.ID, 100)
	for i, x := 0, uint64(1); i < len(noise); i++ {
		for j := range noise[i] {
			x = x*6364136223846793005 + 1442695040888963407
			noise[i][j] = byte(x >> 56)
		}
	}
	for _, n := range []int{1023, 1024} {
		if got := len(encodeFrame(t, wire.V2, readOf(n))) - wire.HeaderSize; got != n {
			t.Fatalf("the read response of %d has %d bytes", n, got)
		}
	}
	for name, c := range map[string]struct {
		m    any
		want bool
	}{
		"write of 1024 in two events":  {writeOf(1024), true},
		"write of 1023":                {writeOf(1023), false},
		"schema of 1024":               {&msg.RegisterSchemaRequest{Schema: strings.Repeat("s", 1024)}, true},
		"schema of 1023":               {&msg.RegisterSchemaRequest{Schema: strings.Repeat("s", 1023)}, false},
		"watch response":               {&msg.WatchResponse{Notifications: make([]msg.Notification, 20)}, true},
		"read response":                {page(2, 5), true},
		"read response of 1024":        {readOf(1024), true},
		"read response of 1023":        {readOf(1023), false},
		"organisations":                {&msg.ListOrgsResponse{Orgs: make([]msg.ID, 100)}, true},
		"aggregate types":              {&msg.ListTypesResponse{Types: make([]msg.TypeItem, 100)}, true},
		"aggregates":                   {&msg.ListAggregatesResponse{Aggregates: make([]msg.AggregateItem, 100)}, true},
		"identify response":            {&msg.IdentifyResponse{DictBytes: make([]byte, 5000)}, false},
		"error, which is fixed class":  {&msg.ErrorResponse{Message: strings.Repeat("x", 900)}, false},
		"delete, which is fixed class": {deletes(15), false},
		"noise that would grow":        {&msg.ListOrgsResponse{Orgs: noise}, false},
	} {
		frame, h := encodeWith(t, c.m, coder)
		if got := h.Compression == wire.ZstdDict; got != c.want {
			t.Errorf("%s: compressed %v, want %v", name, got, c.want)
		}
		if int(h.CompressedLength) != len(frame)-len("before")-wire.HeaderSize {
			t.Errorf("%s: header %+v on a frame of %d", name, h, len(frame))
		}
		body := frame[len("before")+wire.HeaderSize:]
		if h.Compression == wire.ZstdDict {
			var err error
			if body, err = coder.Decompress(nil, body, h.UncompressedLength); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if plain := encodeFrame(t, wire.V2, c.m)[wire.HeaderSize:]; !bytes.Equal(body, plain) {
			t.Errorf("%s: the body differs from the uncompressed one", name)
		}
	}
}

func encodeWith(t *testing.T, m any, coder *wire.Coder) ([]byte, wire.Header) {
	t.Helper()
	var frame []byte
	var err error
	if req, ok := m.(msg.Request); ok {
		frame, err = wire.AppendRequest([]byte("before"), wire.V2, req, coder, 0)
	} else {
		frame, err = wire.AppendResponse([]byte("before"), wire.V2, m.(msg.Response), coder, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if string(frame[:6]) != "before" {
		t.Fatalf("what was there became %q", frame[:6])
	}
	h, err := wire.ParseHeader(frame[6:])
	if err != nil {
		t.Fatal(err)
	}
	return frame, h
}

// TestEncodingOnlyReads encodes one message from many goroutines; the race
// detector sees a write to it.
func TestEncodingOnlyReads(t *testing.T) {
	for name, m := range everyMessage() {
		want := map[wire.Version][]byte{wire.V2: encodeFrame(t, wire.V2, m), wire.V3: encodeFrame(t, wire.V3, m)}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for v, frame := range want {
					if got, err := appendMessage(nil, v, m); err != nil || !bytes.Equal(got, frame) {
						t.Errorf("%s, version %d: %x, %v", name, v, got, err)
					}
				}
			})
		}
		all.Wait()
	}
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	for name, m := range everyMessage() {
		for _, v := range []wire.Version{wire.V2, wire.V3} {
			buf := encodeFrame(t, v, m)
			if allocs := testing.AllocsPerRun(10, func() {
				if _, err := appendMessage(buf[:0], v, m); err != nil {
					t.Fatal(err)
				}
			}); allocs != 0 {
				t.Errorf("%s, version %d: %v allocations", name, v, allocs)
			}
		}
	}
}
