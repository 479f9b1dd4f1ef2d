package celeriant_test

import (
	"testing"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// A view that shows the present keeps no positions, and shows nothing older.
func TestLiveOnly(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "old")
		live := w.client.Watch(celeriant.Types(org, typ), celeriant.WithStart(stream.LiveOnly))
		for c, err := range live.All(w.t.Context()) {
			if err != nil {
				w.t.Fatal(err)
			}
			if c.Kind == celeriant.CaughtUp {
				w.write(1, "new")
				continue
			}
			if got := describe(&c); got != "1.2 new" {
				w.t.Errorf("came %s", got)
			}
			break
		}
	})
}

// A client that keeps cursors as text goes on where it was.
func TestWithCursors(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a", "b")
		kept := make(map[msg.Key]checkpoint.Cursor)
		scope := celeriant.Types(org, typ)
		for c, err := range w.client.Watch(scope).All(w.t.Context()) {
			if err != nil {
				w.t.Fatal(err)
			}
			text, err := c.Cursor.MarshalText()
			if err != nil {
				w.t.Fatal(err)
			}
			var cursor checkpoint.Cursor
			if err := cursor.UnmarshalText(text); err != nil {
				w.t.Fatal(err)
			}
			kept[c.Key] = cursor
			break
		}
		for c, err := range w.client.Watch(scope, celeriant.WithCursors(kept)).All(w.t.Context()) {
			if err != nil {
				w.t.Fatal(err)
			}
			if got := describe(&c); got != "1.2 b" {
				w.t.Errorf("came %s", got)
			}
			break
		}
	})
}
