package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

var parkedKey = msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}

// withParked makes a store in which one aggregate of "orders" is parked and one partition
// has stopped.
func withParked(t *testing.T) (place string) {
	t.Helper()
	place = filledStore(t, "orders", 5, 10)
	inStore(t, place, func(store *checkpoint.File) error { return park(t.Context(), store) })
	return place
}

// park parks one aggregate of "orders", and stops a partition.
func park(ctx context.Context, store checkpoint.RecordStore) error {
	owner, err := store.Acquire(ctx, checkpoint.Claim{Name: "orders", Scope: "everything"})
	if err != nil {
		return err
	}
	m := checkpoint.Mutation{Owners: []checkpoint.Owner{owner}}
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m.Park(checkpoint.Parked{
		Key: parkedKey, Version: 14, Attempts: 4, FirstFailure: began, LastFailure: began.Add(time.Hour), Error: "payment refused",
	}, 10)
	m.Stop(checkpoint.Stopped{Partition: 0, Key: parkedKey, Version: 20, Error: "no such table", By: "web-1", Since: began})
	return store.Apply(ctx, "orders", m)
}

func inStore(t *testing.T, place string, work func(*checkpoint.File) error) {
	t.Helper()
	store, err := checkpoint.OpenFile(t.Context(), strings.TrimPrefix(place, "file:"), checkpoint.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(work(store), store.Close()); err != nil {
		t.Fatal(err)
	}
}

var parkedFlags = []string{"--org", "1", "--type", "2", "--aggregate", "3"}

func TestParkedIsListedAndReleased(t *testing.T) {
	place := withParked(t)
	on := []string{"--checkpoint", place, "--name", "orders"}
	if got := succeeded(t, append([]string{"parked", "list"}, on...)...); !strings.Contains(got, "version 14  4 attempts since 2026-01-02 03:04:05: payment refused") {
		t.Errorf("list says %q", got)
	}
	wrong := append(append([]string{"parked", "skip", "--version", "15"}, on...), parkedFlags...)
	if r := command(t, wrong...); r.status != 5 || !strings.Contains(r.stderr, "parked at version 14, not at 15") {
		t.Errorf("skipping another version: status %d, %q", r.status, r.stderr)
	}
	release := append(append([]string{"parked", "release"}, on...), parkedFlags...)
	if got := succeeded(t, release...); !strings.Contains(got, "asked the owner to release") {
		t.Errorf("release says %q", got)
	}
	var line struct {
		Version uint64
		Request string
	}
	show := append(append([]string{"parked", "show", "--json"}, on...), parkedFlags...)
	if err := json.Unmarshal([]byte(succeeded(t, show...)), &line); err != nil || line.Request != string(checkpoint.ActionRelease) {
		t.Errorf("after the request it shows %+v, %v", line, err)
	}
	nowhere := append([]string{"parked", "show", "--org", "1", "--type", "2", "--aggregate", "4"}, on...)
	if r := command(t, nowhere...); r.status != 4 {
		t.Errorf("an aggregate that is not parked is shown with status %d: %q", r.status, r.stderr)
	}
}

func TestConsumersArePausedAndResumed(t *testing.T) {
	place := withParked(t)
	on := []string{"--checkpoint", place, "--name", "orders"}
	show := append([]string{"consumers", "show"}, on...)
	if got := succeeded(t, show...); !strings.Contains(got, "orders  stopped  1 parked") || !strings.Contains(got, "partition 0 stopped since 2026-01-02 03:04:05 by web-1") {
		t.Errorf("show says %q", got)
	}
	succeeded(t, append([]string{"consumers", "resume"}, on...)...)
	succeeded(t, append(append([]string{"consumers", "pause"}, on...), parkedFlags...)...)
	succeeded(t, append(append([]string{"consumers", "redo"}, on...), parkedFlags...)...)
	var line struct {
		Paused  bool
		Held    int `json:"paused_aggregates"`
		Stopped []any
		Redo    int
	}
	if err := json.Unmarshal([]byte(succeeded(t, append(show, "--json")...)), &line); err != nil {
		t.Fatal(err)
	}
	if line.Paused || line.Held != 1 || len(line.Stopped) != 0 || line.Redo != 1 {
		t.Errorf("after resume, pause and redo it shows %+v", line)
	}
	succeeded(t, append([]string{"consumers", "pause"}, on...)...)
	if got := succeeded(t, "consumers", "list", "--checkpoint", place); !strings.Contains(got, "orders  paused") {
		t.Errorf("list says %q", got)
	}
	if r := command(t, "consumers", "redo", "--checkpoint", place, "--name", "orders"); r.status != 2 || !strings.Contains(r.stderr, "--org is required") {
		t.Errorf("redo of everything: status %d, %q", r.status, r.stderr)
	}
	if r := command(t, "consumers", "pause", "--checkpoint", place, "--name", "other"); r.status != 4 {
		t.Errorf("pausing nobody: status %d, %q", r.status, r.stderr)
	}
}
