package requests

import (
	"errors"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var schemaRules = []world.Rule{
	{Name: "schemas_registered_once", Check: schemasOnce},
	{Name: "schemas_refused", Check: schemasRefused},
	{Name: "schemas_enforced", Check: schemasEnforced, Needs: func(w *world.World) bool { return w.Server.EnforcesJSONSchema }},
}

const namedObject = `{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`

func register(t *testing.T, w *world.World, major, minor uint64, language msg.SchemaType, text string) error {
	return w.Pool.RegisterSchema(t.Context(), &msg.RegisterSchemaRequest{
		ClientID: w.Client, Key: msg.SchemaKey{Org: w.Org, Type: w.Type, Major: major, Minor: minor}, SchemaType: language, Schema: text,
	})
}

func schemasOnce(t *testing.T, w *world.World) {
	world.Must(t, register(t, w, 3, 1, msg.SchemaJSON, namedObject))
	err := register(t, w, 3, 1, msg.SchemaJSON, namedObject)
	f := world.Refused(t, err, msg.CodeSchemaExists)
	world.Same(t, "major", f.EventTypeMajor, msg.Some[uint64](3))
	world.Same(t, "minor", f.EventTypeMinor, msg.Some[uint64](1))
	if !errors.Is(err, msg.ErrSchema) {
		t.Errorf("%v is no schema error", err)
	}
	world.Must(t, register(t, w, 3, 2, msg.SchemaJSON, namedObject))
	world.Must(t, register(t, w, 4, 1, msg.SchemaJSON, "true"))
}

func schemasRefused(t *testing.T, w *world.World) {
	f := world.Refused(t, register(t, w, 1, 0, msg.SchemaType(9), namedObject), msg.CodeSchemaUnsupported)
	world.Same(t, "schema type", f.SchemaType, msg.Some[uint64](9))
	f = world.Refused(t, register(t, w, 1, 0, msg.SchemaJSON, "true"+strings.Repeat(" ", 16<<10)), msg.CodeSchemaInvalid)
	world.Same(t, "schema type", f.SchemaType, msg.Some[uint64](0))
	world.Must(t, register(t, w, 1, 0, msg.SchemaJSON, namedObject)) // nothing of them was kept
}

func schemasEnforced(t *testing.T, w *world.World) {
	f := world.Refused(t, register(t, w, 1, 0, msg.SchemaJSON, "{not json"), msg.CodeSchemaInvalid)
	if !f.Detail.Set {
		t.Errorf("no reason in %+v", f)
	}
	world.Refused(t, register(t, w, 1, 0, msg.SchemaJSON, ""), msg.CodeSchemaInvalid)
	world.Refused(t, register(t, w, 1, 0, msg.SchemaJSON, `{"type":"nonsense"}`), msg.CodeSchemaInvalid)
	key := w.Key()
	write := func(events ...msg.Event) error {
		_, err := w.Pool.WriteEvents(t.Context(), key, events, w.Client, pool.WriteOptions{})
		return err
	}
	const good, bad = `{"name":"ok"}`, `{"nom":1}`
	world.Must(t, write(msg.Event{ClientSeq: 1, Major: 1, Value: []byte(bad)}))
	world.Must(t, register(t, w, 1, 0, msg.SchemaJSON, namedObject))
	world.Must(t, write(msg.Event{ClientSeq: 2, Major: 1, Value: []byte(good)}))
	f = world.Refused(t, write(msg.Event{ClientSeq: 3, Major: 1, Value: []byte(good)}, msg.Event{ClientSeq: 4, Major: 1, Value: []byte(bad)}), msg.CodeSchemaMismatch)
	world.Same(t, "major", f.EventTypeMajor, msg.Some[uint64](1))
	world.Same(t, "minor", f.EventTypeMinor, msg.Some[uint64](0))
	world.Same(t, "client seq", f.ClientSeq, msg.Some[uint64](4))
	world.Refused(t, write(msg.Event{ClientSeq: 5, Major: 1, Value: []byte("no json")}), msg.CodeSchemaMismatch)
	world.Must(t, write(msg.Event{ClientSeq: 6, Major: 1, Minor: 1, Value: []byte(bad)}))               // another minor type
	world.Must(t, write(msg.Event{ClientSeq: 7, Major: 1, Value: []byte(bad), IV: msg.Some(msg.IV{})})) // encrypted
	other := msg.Key{Org: w.Org, Type: world.RandomID(), Aggregate: world.RandomID()}
	w.Write(t, other, bad) // another aggregate type
	world.Same(t, "batches", len(w.All(t, key)), 4)
}
