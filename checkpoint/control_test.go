package checkpoint_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

var failure = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// desk is a store with a claimed subscription and the steps tests take on it.
type desk struct {
	*testing.T
	store *checkpoint.Memory
	owner checkpoint.Owner
}

func newDesk(t *testing.T) *desk {
	store := checkpoint.NewMemory()
	return &desk{T: t, store: store, owner: mustAcquire(t, store)}
}

func (d *desk) apply(change func(*checkpoint.Mutation)) error {
	m := checkpoint.Mutation{Owners: []checkpoint.Owner{d.owner}}
	change(&m)
	return d.store.Apply(d.Context(), d.owner.Name, m)
}

func (d *desk) mustApply(change func(*checkpoint.Mutation)) {
	d.Helper()
	if err := d.apply(change); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) control() checkpoint.Control {
	d.Helper()
	c, _, err := checkpoint.LoadControl(d.Context(), d.store, d.owner.Name)
	if err != nil {
		d.Fatal(err)
	}
	return c
}

func (d *desk) signals() int {
	d.Helper()
	records, _, err := d.store.Records(d.Context(), "", checkpoint.SignalPrefix+d.owner.Name)
	if err != nil {
		d.Fatal(err)
	}
	return len(records)
}

func parkedAt(n int, version uint64) checkpoint.Parked {
	return checkpoint.Parked{
		Key: nthKey(n), Version: version, Cursor: checkpoint.Cursor{Version: version - 1}, Attempts: 3,
		FirstFailure: failure, LastFailure: failure.Add(time.Minute), Error: "refused",
	}
}

func TestParking(t *testing.T) {
	d := newDesk(t)
	d.mustApply(func(m *checkpoint.Mutation) {
		m.Fails(checkpoint.Failing{Key: nthKey(1), Version: 7, Attempts: 2, FirstFailure: failure, Error: "refused"})
	})
	if c := d.control(); len(c.Failing) != 1 || c.Failing[0].Attempts != 2 || !c.Failing[0].FirstFailure.Equal(failure) {
		t.Fatalf("failing: %+v", c.Failing)
	}
	d.mustApply(func(m *checkpoint.Mutation) { m.Park(parkedAt(1, 7), 0) })
	c := d.control()
	if len(c.Failing) != 0 || len(c.Parked) != 1 {
		t.Fatalf("once parked: %+v", c)
	}
	p := c.Parked[0]
	want := parkedAt(1, 7)
	if want.Revision = p.Revision; p != want {
		t.Fatalf("parked %+v, want %+v", p, want)
	}
	var lost *checkpoint.RevisionError
	if err := d.apply(func(m *checkpoint.Mutation) { m.Park(parkedAt(1, 8), 0) }); !errors.As(err, &lost) {
		t.Fatalf("parking what is parked: %v, want a *RevisionError", err)
	}
	// A fenced owner neither parks nor unparks.
	zombie := d.owner
	d.owner = mustAcquire(t, d.store)
	for _, change := range []func(*checkpoint.Mutation){
		func(m *checkpoint.Mutation) { m.Park(parkedAt(2, 1), 0) },
		func(m *checkpoint.Mutation) { m.Unpark(p) },
	} {
		m := checkpoint.Mutation{Owners: []checkpoint.Owner{zombie}}
		change(&m)
		if err := d.store.Apply(t.Context(), zombie.Name, m); !errors.Is(err, checkpoint.ErrFenced) {
			t.Fatalf("a superseded owner: %v, want ErrFenced", err)
		}
	}
	// A request that comes after the owner looked makes it look again.
	if err := checkpoint.RequestParked(t.Context(), d.store, "orders", p, checkpoint.ActionRelease, "ops"); err != nil {
		t.Fatal(err)
	}
	if d.signals() != 1 {
		t.Error("the request gives no signal")
	}
	if err := d.apply(func(m *checkpoint.Mutation) { m.Unpark(p) }); !errors.As(err, &lost) {
		t.Fatalf("unparking what changed: %v, want a *RevisionError", err)
	}
	p = d.control().Parked[0]
	if p.Request == nil || p.Request.Action != checkpoint.ActionRelease || p.Request.By != "ops" {
		t.Fatalf("the request: %+v", p.Request)
	}
	d.mustApply(func(m *checkpoint.Mutation) { m.Unpark(p) })
	if _, err := checkpoint.LoadParked(t.Context(), d.store, "orders", nthKey(1)); !errors.Is(err, checkpoint.ErrNotParked) {
		t.Fatalf("after the release: %v, want ErrNotParked", err)
	}
}

// The bound is part of the parking mutation, and frees as aggregates leave.
func TestParkingIsBounded(t *testing.T) {
	d := newDesk(t)
	for n := range 3 {
		d.mustApply(func(m *checkpoint.Mutation) { m.Park(parkedAt(n, 1), 3) })
	}
	var full *checkpoint.LimitError
	if err := d.apply(func(m *checkpoint.Mutation) { m.Park(parkedAt(3, 1), 3) }); !errors.As(err, &full) || full.Stored != 3 || full.Limit != 3 {
		t.Fatalf("the fourth of three: %v, want a *LimitError", err)
	}
	p, err := checkpoint.LoadParked(t.Context(), d.store, "orders", nthKey(0))
	if err != nil {
		t.Fatal(err)
	}
	d.mustApply(func(m *checkpoint.Mutation) { m.Unpark(p) })
	d.mustApply(func(m *checkpoint.Mutation) { m.Park(parkedAt(3, 1), 3) })
	for n := 3; n < checkpoint.DefaultMaxParked+1; n++ {
		if err := d.apply(func(m *checkpoint.Mutation) { m.Park(parkedAt(n+1, 1), 0) }); (err == nil) != (n < checkpoint.DefaultMaxParked) {
			t.Fatalf("parking number %d: %v", n+1, err)
		}
	}
	seen := map[msg.Key]bool{}
	for p, err := range checkpoint.ListParked(t.Context(), d.store, "orders") {
		if err != nil {
			t.Fatal(err)
		}
		seen[p.Key] = true
	}
	if len(seen) != checkpoint.DefaultMaxParked {
		t.Fatalf("%d are listed, want %d", len(seen), checkpoint.DefaultMaxParked)
	}
}

// A request names the failure that its author saw; it releases no later one.
func TestParkedRequestsAreConditional(t *testing.T) {
	d := newDesk(t)
	d.mustApply(func(m *checkpoint.Mutation) { m.Park(parkedAt(1, 7), 0) })
	for name, change := range map[string]func(*checkpoint.Parked){
		"another life":     func(p *checkpoint.Parked) { p.Life++ },
		"another version":  func(p *checkpoint.Parked) { p.Version-- },
		"another attempt":  func(p *checkpoint.Parked) { p.Attempts++ },
		"another key":      func(p *checkpoint.Parked) { p.Key = nthKey(2) },
		"the same, itself": nil,
	} {
		p := parkedAt(1, 7)
		if change != nil {
			change(&p)
		}
		err := checkpoint.RequestParked(t.Context(), d.store, "orders", p, checkpoint.ActionSkip, "ops")
		if errors.Is(err, checkpoint.ErrNotParked) != (change != nil) || change == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkpoint.RequestParked(t.Context(), d.store, "orders", parkedAt(1, 7), "burn", "ops"); err == nil || !strings.Contains(err.Error(), "burn") {
		t.Errorf("an unknown action: %v", err)
	}
	if err := checkpoint.RequestPause(t.Context(), d.store, "nobody", "ops"); !errors.Is(err, checkpoint.ErrDeleted) {
		t.Errorf("a request to nobody: %v, want ErrDeleted", err)
	}
}

func TestStopAndPause(t *testing.T) {
	d := newDesk(t)
	for _, partition := range []uint32{0, 12} {
		d.mustApply(func(m *checkpoint.Mutation) {
			m.Stop(checkpoint.Stopped{Partition: partition, Key: nthKey(1), Version: 7, Error: "refused", By: "host/1", Handler: "v1", Since: failure})
		})
	}
	if err := checkpoint.RequestPause(t.Context(), d.store, "orders", "ops"); err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.RequestPause(t.Context(), d.store, "orders", "ops", nthKey(1), nthKey(2)); err != nil {
		t.Fatal(err)
	}
	c := d.control()
	if len(c.Stopped) != 2 || !c.Stopped[0].Blocks("v1") || c.Stopped[0].Blocks("v2") || c.Stopped[1].Partition != 12 || c.Stopped[1].Key != nthKey(1) {
		t.Fatalf("stopped: %+v", c.Stopped)
	}
	if len(c.Paused) != 3 || c.Paused[0].Key != (msg.Key{}) || c.Paused[0].By != "ops" {
		t.Fatalf("paused: %+v", c.Paused)
	}
	d.mustApply(func(m *checkpoint.Mutation) { m.Restart(c.Stopped[1]) })
	var lost *checkpoint.RevisionError
	if err := d.apply(func(m *checkpoint.Mutation) { m.Restart(c.Stopped[1]) }); !errors.As(err, &lost) {
		t.Fatalf("restarting twice: %v, want a *RevisionError", err)
	}
	if err := checkpoint.RequestResume(t.Context(), d.store, "orders", nthKey(2)); err != nil {
		t.Fatal(err)
	}
	if c := d.control(); len(c.Stopped) != 1 || len(c.Paused) != 2 {
		t.Fatalf("after one aggregate was resumed: %+v", c)
	}
	if err := checkpoint.RequestResume(t.Context(), d.store, "orders"); err != nil {
		t.Fatal(err)
	}
	if c := d.control(); len(c.Stopped) != 0 || len(c.Paused) != 1 || c.Paused[0].Key != nthKey(1) {
		t.Fatalf("after all was resumed: %+v", c)
	}
}

func TestRedoAndPassed(t *testing.T) {
	d := newDesk(t)
	if err := checkpoint.RequestRedo(t.Context(), d.store, "orders", nthKey(1), "ops"); !errors.Is(err, checkpoint.ErrNothingToRedo) {
		t.Fatalf("redo of what was not handled: %v", err)
	}
	d.mustApply(func(m *checkpoint.Mutation) {
		m.Entries = []checkpoint.Entry{{Key: nthKey(1), Cursor: checkpoint.Cursor{Version: 1}}}
	})
	for range 2 {
		if err := checkpoint.RequestRedo(t.Context(), d.store, "orders", nthKey(1), "ops"); err != nil {
			t.Fatal(err)
		}
	}
	redo := d.control().Redo
	if len(redo) != 1 || redo[0].Key != nthKey(1) || redo[0].By != "ops" {
		t.Fatalf("redo: %+v", redo)
	}
	want := checkpoint.Passed{Key: nthKey(2), Life: 1, From: 3, To: 9, Why: "truncated", At: failure}
	d.mustApply(func(m *checkpoint.Mutation) {
		m.Redone(redo[0])
		m.Pass(want)
	})
	if c := d.control(); len(c.Redo) != 0 {
		t.Fatalf("still to redo: %+v", c.Redo)
	}
	if got, ok, err := checkpoint.LoadPassed(t.Context(), d.store, "orders", nthKey(2)); err != nil || !ok || got != want {
		t.Fatalf("passed %+v, %v, %v", got, ok, err)
	}
	if _, ok, err := checkpoint.LoadPassed(t.Context(), d.store, "orders", nthKey(1)); err != nil || ok {
		t.Fatalf("of another aggregate: %v, %v", ok, err)
	}
}

// One record that was spoilt by hand does not hide the others.
func TestDamagedRecordIsNamed(t *testing.T) {
	d := newDesk(t)
	d.mustApply(func(m *checkpoint.Mutation) { m.Park(parkedAt(1, 7), 0) })
	for _, bad := range []string{"{}", "7", `{"format":2}`, `{"format":1,"request":{"action":"burn"}}`, `{"format":1,"org":"x"}`} {
		spoilt := checkpoint.RecordChange{Key: "parked/000/00", Value: []byte(bad), Any: true}
		if err := d.store.Apply(t.Context(), "orders", checkpoint.Mutation{Records: []checkpoint.RecordChange{spoilt}}); err != nil {
			t.Fatal(err)
		}
		c, _, err := checkpoint.LoadControl(t.Context(), d.store, "orders")
		if err == nil || !strings.Contains(err.Error(), "parked/000/00") || len(c.Parked) != 1 {
			t.Errorf("%s: %d parked, %v", bad, len(c.Parked), err)
		}
	}
}

func TestErrorText(t *testing.T) {
	for given, want := range map[string]string{
		"plain":                       "plain",
		"two\nlines\tand\x00 more":    "two lines and more",
		"\x1b[31mred":                 "[31mred",
		"bad \xff byte":               "bad  byte",
		strings.Repeat("e", 1024):     strings.Repeat("e", 1021) + "…",
		strings.Repeat("語", 400):      strings.Repeat("語", 340) + "…",
		strings.Repeat("x", 1021):     strings.Repeat("x", 1021),
		strings.Repeat("x", 10_000_0): strings.Repeat("x", 1021) + "…",
	} {
		got := checkpoint.ErrorText(errors.New(given))
		if got != want || len(got) > checkpoint.MaxErrorText || !utf8.ValidString(got) {
			t.Errorf("%.40q becomes %.40q (%d bytes), want %.40q", given, got, len(got), want)
		}
	}
	if checkpoint.ErrorText(nil) != "" {
		t.Error("no error has a text")
	}
}

// The records are read with psql and by later releases. If this test fails, the
// code is wrong, or needs a new format number.
func TestControlRecordsAreStable(t *testing.T) {
	p := parkedAt(1, 7)
	p.Cursor.Anchor.Hash = 1
	p.Request = &checkpoint.ParkedRequest{Action: checkpoint.ActionSkip, By: "ops", At: failure}
	var m checkpoint.Mutation
	m.Park(p, 0)
	m.Stop(checkpoint.Stopped{Partition: 12, Key: p.Key, Version: 7, Error: "refused", By: "host/1", Handler: "v1", Since: failure})
	m.Pass(checkpoint.Passed{Key: p.Key, From: 3, To: 9, Why: "skipped", At: failure})
	m.Fails(checkpoint.Failing{Key: nthKey(2), Life: 1, Version: 3, Attempts: 4, FirstFailure: failure, Error: "slow"})
	var got []string
	for _, c := range m.Records {
		got = append(got, c.Key+" "+string(c.Value))
	}
	const none = `"org":"00000000-0000-0000-0000-000000000000","type":"00000000-0000-0000-0000-000000000000","aggregate":"00000000-0000-0000-0000-00000000000`
	zeros := strings.Repeat("0", 64)
	one := fmt.Sprintf("%03x/%s%032x", checkpoint.Bucket(nthKey(1)), zeros, 1)
	two := fmt.Sprintf("%03x/%s%032x", checkpoint.Bucket(nthKey(2)), zeros, 2)
	want := []string{
		"parked/" + one + ` {"format":1,` + none + `1","life":0,"version":7,"cursor":"1.0.6.0.0.00000000000000000000000000000000.0000000000000001","attempts":3,` +
			`"first_failure":"2026-05-01T12:00:00Z","last_failure":"2026-05-01T12:01:00Z","error":"refused","request":{"action":"skip","by":"ops","at":"2026-05-01T12:00:00Z"}}`,
		"failing/" + one + " ",
		`stopped/0012 {"format":1,"partition":12,` + none + `1","version":7,"error":"refused","by":"host/1","handler":"v1","since":"2026-05-01T12:00:00Z"}`,
		"passed/" + one + ` {"format":1,` + none + `1","life":0,"from":3,"to":9,"why":"skipped","at":"2026-05-01T12:00:00Z"}`,
		"failing/" + two + ` {"format":1,` + none + `2","life":1,"version":3,"attempts":4,"first_failure":"2026-05-01T12:00:00Z","error":"slow"}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("records\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// FuzzControl reads records of anything: no panic, and an error that says which.
func FuzzControl(f *testing.F) {
	var m checkpoint.Mutation
	m.Park(parkedAt(1, 7), 0)
	m.Stop(checkpoint.Stopped{Partition: 12, Key: nthKey(1), Since: failure})
	for _, c := range m.Records {
		f.Add(c.Key, c.Value)
	}
	for _, key := range []string{"paused", "paused/x", "redo/x", "failing/", "partition/0007", "parked/"} {
		f.Add(key, []byte(`{"format":1,"cursor":"1.0.0"}`))
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		c, err := checkpoint.ParseControl([]checkpoint.Record{{Key: key, Value: value}})
		var damaged *checkpoint.DamagedError
		var version *checkpoint.VersionError
		if err != nil && !errors.As(err, &damaged) && !errors.As(err, &version) {
			t.Fatalf("%v is no way to say that a record is bad", err)
		}
		read := len(c.Parked) + len(c.Stopped) + len(c.Paused) + len(c.Failing) + len(c.Redo)
		if err != nil && read > 0 {
			t.Fatalf("read %+v and %v", c, err)
		}
		_, _ = checkpoint.ParsePartition(value)
	})
}
