package conformance

import (
	"errors"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var schemaRules = []rule{
	{name: "schemas_registered_once", check: schemasOnce},
	{name: "schemas_refused", check: schemasRefused},
	{name: "schemas_enforced", check: schemasEnforced, needs: func(w *world) bool { return w.target.EnforcesJSONSchema }},
}

const namedObject = `{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`

func (w *world) register(t *testing.T, major, minor uint64, language msg.SchemaType, text string) error {
	return w.pool.RegisterSchema(t.Context(), &msg.RegisterSchemaRequest{
		ClientID: w.client, Key: msg.SchemaKey{Org: w.org, Type: w.typ, Major: major, Minor: minor}, SchemaType: language, Schema: text,
	})
}

func schemasOnce(t *testing.T, w *world) {
	done(t, w.register(t, 3, 1, msg.SchemaJSON, namedObject))
	err := w.register(t, 3, 1, msg.SchemaJSON, namedObject)
	f := refused(t, err, msg.CodeSchemaExists)
	same(t, "major", f.EventTypeMajor, msg.Some[uint64](3))
	same(t, "minor", f.EventTypeMinor, msg.Some[uint64](1))
	if !errors.Is(err, msg.ErrSchema) {
		t.Errorf("%v is no schema error", err)
	}
	done(t, w.register(t, 3, 2, msg.SchemaJSON, namedObject))
	done(t, w.register(t, 4, 1, msg.SchemaJSON, "true"))
}

func schemasRefused(t *testing.T, w *world) {
	f := refused(t, w.register(t, 1, 0, msg.SchemaType(9), namedObject), msg.CodeSchemaUnsupported)
	same(t, "schema type", f.SchemaType, msg.Some[uint64](9))
	f = refused(t, w.register(t, 1, 0, msg.SchemaJSON, "true"+strings.Repeat(" ", 16<<10)), msg.CodeSchemaInvalid)
	same(t, "schema type", f.SchemaType, msg.Some[uint64](0))
	done(t, w.register(t, 1, 0, msg.SchemaJSON, namedObject)) // nothing of them was kept
}

func schemasEnforced(t *testing.T, w *world) {
	f := refused(t, w.register(t, 1, 0, msg.SchemaJSON, "{not json"), msg.CodeSchemaInvalid)
	if !f.Detail.Set {
		t.Errorf("no reason in %+v", f)
	}
	refused(t, w.register(t, 1, 0, msg.SchemaJSON, ""), msg.CodeSchemaInvalid)
	refused(t, w.register(t, 1, 0, msg.SchemaJSON, `{"type":"nonsense"}`), msg.CodeSchemaInvalid)
	key := w.key()
	write := func(events ...msg.Event) error {
		_, err := w.pool.WriteEvents(t.Context(), key, events, w.client, pool.WriteOptions{})
		return err
	}
	const good, bad = `{"name":"ok"}`, `{"nom":1}`
	done(t, write(msg.Event{ClientSeq: 1, Major: 1, Value: []byte(bad)}))
	done(t, w.register(t, 1, 0, msg.SchemaJSON, namedObject))
	done(t, write(msg.Event{ClientSeq: 2, Major: 1, Value: []byte(good)}))
	f = refused(t, write(msg.Event{ClientSeq: 3, Major: 1, Value: []byte(good)}, msg.Event{ClientSeq: 4, Major: 1, Value: []byte(bad)}), msg.CodeSchemaMismatch)
	same(t, "major", f.EventTypeMajor, msg.Some[uint64](1))
	same(t, "minor", f.EventTypeMinor, msg.Some[uint64](0))
	same(t, "client seq", f.ClientSeq, msg.Some[uint64](4))
	refused(t, write(msg.Event{ClientSeq: 5, Major: 1, Value: []byte("no json")}), msg.CodeSchemaMismatch)
	done(t, write(msg.Event{ClientSeq: 6, Major: 1, Minor: 1, Value: []byte(bad)}))               // another minor type
	done(t, write(msg.Event{ClientSeq: 7, Major: 1, Value: []byte(bad), IV: msg.Some(msg.IV{})})) // encrypted
	other := msg.Key{Org: w.org, Type: randomID(), Aggregate: randomID()}
	w.write(t, other, bad) // another aggregate type
	same(t, "batches", len(w.all(t, key)), 4)
}
