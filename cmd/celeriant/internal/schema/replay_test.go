package schema_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/schema"
	"github.com/celeriant/celeriant-go/internal/traces"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// The recordings of the reference server's schema checks, replayed against a
// node with the real compilers.
func TestRecordedSchemaChecks(t *testing.T) {
	for _, protocol := range []int{2, 3} {
		rec, ok := traces.Find("schema-json", protocol)
		if !ok {
			t.Fatalf("no recording schema-json in protocol %d", protocol)
		}
		t.Run(rec.Name, func(t *testing.T) { replay(t, rec) })
	}
}

func replay(t *testing.T, rec traces.Recording) {
	opts, err := celerianttest.ParseFlags(rec.Server)
	if err != nil {
		t.Fatal(err)
	}
	opts.InMemory, opts.Quirks, opts.Validators = true, true, schema.Compilers()
	node := celerianttest.Run(t, opts)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	conns := map[int]net.Conn{}
	refused := 0
	for _, step := range rec.Steps {
		switch step.Do {
		case traces.DoOpen:
			if conns[step.Conn], err = node.Dial(ctx); err != nil {
				t.Fatal(err)
			}
			deadline, _ := ctx.Deadline()
			conns[step.Conn].SetDeadline(deadline)
		case traces.DoSend:
			if _, err := conns[step.Conn].Write(step.Hex); err != nil {
				t.Fatalf("line %d: %v", step.Line, err)
			}
		case traces.DoRecv:
			if compare(t, step, conns[step.Conn]) {
				refused++
			}
		case traces.DoClose:
			conns[step.Conn].Close()
		default:
			t.Fatalf("line %d: step %q is not expected in this scenario", step.Line, step.Do)
		}
	}
	if refused < 10 {
		t.Errorf("only %d refusals were compared", refused)
	}
}

// compare reads one answer and reports whether it was a refusal, as recorded.
func compare(t *testing.T, step traces.Step, conn io.Reader) bool {
	t.Helper()
	header, body, err := wire.ReadResponseFrame(conn, 1<<20, nil, nil)
	if err != nil {
		t.Fatalf("line %d: %v", step.Line, err)
	}
	got := decode(t, step, header, body)
	recorded, err := wire.ParseHeader(step.Hex)
	if err != nil {
		t.Fatal(err)
	}
	want := decode(t, step, recorded, step.Hex[wire.HeaderSize:])
	if !reflect.DeepEqual(got, want) {
		t.Errorf("line %d:\n got %+v\nwant %+v", step.Line, got, want)
	}
	_, refusal := want.(refusalText)
	return refusal
}

func decode(t *testing.T, step traces.Step, header wire.Header, body []byte) any {
	t.Helper()
	resp, err := wire.DecodeResponse(header.Version, msg.ResponseType(header.Type), body)
	if err != nil {
		t.Fatalf("line %d: %v", step.Line, err)
	}
	switch r := resp.(type) {
	case *msg.ErrorResponse:
		return newRefusalText(t, r)
	case *msg.ReadResponse:
		for i := range r.Batches {
			r.Batches[i].ServerTimestamp = 0
		}
	case *msg.DetailsResponse:
		r.LastServerTimestamp = 0
	}
	return resp
}

// refusalText is an error response without the words of a schema library.
type refusalText struct {
	id     msg.Opt[msg.ID]
	code   msg.Code
	fields map[string]any
}

func newRefusalText(t *testing.T, r *msg.ErrorResponse) refusalText {
	t.Helper()
	text := refusalText{id: r.CorrelationID, code: r.Code}
	if err := json.Unmarshal([]byte(r.Message), &text.fields); err != nil {
		t.Fatalf("message %s: %v", r.Message, err)
	}
	for _, words := range []string{"parse_error", "validation_error", "compilation_error"} {
		if s, ok := text.fields[words].(string); ok {
			if s == "" {
				t.Errorf("%v: %s is empty", r.Code, words)
			}
			text.fields[words] = "said"
		}
	}
	return text
}
