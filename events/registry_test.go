package events_test

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
)

type (
	placedV0 struct{ Item string }
	placedV1 struct {
		Item  string
		Count int
	}
	placed struct {
		Items map[string]int
	}
	shipped struct {
		Order uint64 `json:"order"`
	}
	ratio float64
)

var errNoItem = errors.New("no item")

// counter is a codec that is not JSON.
type counter struct{}

func (counter) Marshal(n uint64) ([]byte, error) { return binary.BigEndian.AppendUint64(nil, n), nil }
func (counter) Unmarshal(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, errors.New("want 8 bytes")
	}
	return binary.BigEndian.Uint64(b), nil
}

// Declared in no particular order.
var registry = events.MustRegistry(
	events.Upcast(1, 0, func(old placedV0) (placedV1, error) {
		if old.Item == "" {
			return placedV1{}, errNoItem
		}
		return placedV1{Item: old.Item, Count: 1}, nil
	}),
	events.JSON[shipped](2, 7),
	events.JSON[placed](1, 5),
	events.Upcast(1, 3, func(old placedV1) (placed, error) { return placed{map[string]int{old.Item: old.Count}}, nil }),
	events.WithCodec(3, 0, counter{}),
	events.JSON[ratio](4, 1).AnyMinor(),
)

func TestNewFillsTheEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := registry.New(shipped{Order: 9})
		if err != nil || e.Major != 2 || e.Minor != 7 || string(e.Value) != `{"order":9}` || e.Timestamp != uint64(time.Now().UnixMilli()) {
			t.Errorf("%+v, %v", e, err)
		}
		if id, ok := e.EventID.Get(); !ok || id[6]>>4 != 7 {
			t.Errorf("id %v", e.EventID)
		}
		other, err := registry.New(shipped{})
		if err != nil || other.EventID == e.EventID {
			t.Errorf("the same id again, or %v", err)
		}
		at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
		set, err := registry.New(uint64(5), events.ID(msg.IDFromUint64(8)), events.At(at), func(e *msg.Event) { e.ClientSeq = 4 })
		want := msg.Event{ClientSeq: 4, EventID: msg.Some(msg.IDFromUint64(8)), Timestamp: uint64(at.UnixMilli()), Major: 3, Value: []byte{0, 0, 0, 0, 0, 0, 0, 5}}
		if err != nil || !set.Equal(&want) {
			t.Errorf("%+v, %v", set, err)
		}
	})
}

func TestDecode(t *testing.T) {
	iv := msg.IV{1}
	for name, c := range map[string]struct {
		event msg.Event
		want  any
	}{
		"current form":       {msg.Event{Major: 1, Minor: 5, Value: []byte(`{"Items":{"a":2}}`)}, placed{map[string]int{"a": 2}}},
		"one step":           {msg.Event{Major: 1, Minor: 3, Value: []byte(`{"Item":"a","Count":3}`)}, placed{map[string]int{"a": 3}}},
		"two steps":          {msg.Event{Major: 1, Value: []byte(`{"Item":"a"}`)}, placed{map[string]int{"a": 1}}},
		"members ignored":    {msg.Event{Major: 2, Minor: 7, Value: []byte(`{"order":1,"more":true}`)}, shipped{1}},
		"another codec":      {msg.Event{Major: 3, Value: make([]byte, 8)}, uint64(0)},
		"any minor":          {msg.Event{Major: 4, Minor: 99, Value: []byte(`0.5`)}, ratio(0.5)},
		"its own minor":      {msg.Event{Major: 4, Minor: 1, Value: []byte(`2`)}, ratio(2)},
		"unknown minor":      {msg.Event{Major: 1, Minor: 6, Value: []byte(`{}`)}, events.Unknown{Type: events.Type{Major: 1, Minor: 6}}},
		"minor between":      {msg.Event{Major: 1, Minor: 1, Value: []byte(`{}`)}, events.Unknown{Type: events.Type{Major: 1, Minor: 1}}},
		"unknown major":      {msg.Event{Major: 9}, events.Unknown{Type: events.Type{Major: 9}}},
		"encrypted":          {msg.Event{Major: 2, Minor: 7, Value: []byte("x"), IV: msg.Some(iv)}, events.Encrypted{Type: events.Type{Major: 2, Minor: 7}, IV: iv}},
		"encrypted, unknown": {msg.Event{Major: 9, IV: msg.Some(iv)}, events.Encrypted{Type: events.Type{Major: 9}, IV: iv}},
	} {
		got, err := registry.Decode(&c.event)
		if err != nil || !reflect.DeepEqual(got, c.want) || reflect.TypeOf(got) != reflect.TypeOf(c.want) {
			t.Errorf("%s: %#v, %v, want %#v", name, got, err, c.want)
		}
	}
}

// Decode returns the value that New was given.
func TestRoundTrip(t *testing.T) {
	values := []any{placed{map[string]int{"a": 1}}, shipped{7}, uint64(math.MaxUint64), ratio(1.5)}
	batch, err := registry.Batch(values...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range batch {
		if got, err := registry.Decode(&batch[i]); err != nil || !reflect.DeepEqual(got, values[i]) {
			t.Errorf("%#v became %#v, %v", values[i], got, err)
		}
	}
	if batch, err := registry.Batch(shipped{1}, "undeclared"); err == nil || batch != nil {
		t.Errorf("%v, %v", batch, err)
	}
}

func TestErrorsAreTyped(t *testing.T) {
	var undeclared *events.UndeclaredError
	for value, word := range map[any]string{"text": "string", &shipped{}: "pass the value", nil: "nil", placedV0{}: "placedV0"} {
		if _, err := registry.New(value); !errors.As(err, &undeclared) || !strings.Contains(err.Error(), word) {
			t.Errorf("%v: %v", value, err)
		}
	}
	var encode *events.EncodeError
	if _, err := registry.New(ratio(math.NaN())); !errors.As(err, &encode) || encode.Type != (events.Type{Major: 4, Minor: 1}) {
		t.Error(err)
	}
	var decode *events.DecodeError
	_, err := registry.Decode(&msg.Event{Major: 1, Minor: 3, Value: []byte(`{"Item":`)})
	if !errors.As(err, &decode) || decode.Type != (events.Type{Major: 1, Minor: 3}) || !strings.Contains(err.Error(), "placedV1") {
		t.Error(err)
	}
	var upcast *events.UpcastError
	_, err = registry.Decode(&msg.Event{Major: 1, Value: []byte(`{}`)})
	if !errors.As(err, &upcast) || !errors.Is(err, errNoItem) || upcast.From != (events.Type{Major: 1}) || upcast.To != (events.Type{Major: 1, Minor: 3}) {
		t.Error(err)
	}
}

func TestRegistryRefusesContradictions(t *testing.T) {
	lift := func(placedV0) (placedV1, error) { return placedV1{}, nil }
	for why, declarations := range map[string][]events.Declaration{
		"type 0":                            {events.JSON[placed](0, 1)},
		"is a pointer":                      {events.JSON[*placed](1, 1)},
		"pointer or an interface":           {events.JSON[any](1, 1)},
		"the codec is nil":                  {events.WithCodec[placed](1, 1, nil)},
		"the upcaster is nil":               {events.JSON[placed](1, 1), events.Upcast[placedV0, placed](1, 0, nil)},
		"declared twice":                    {events.JSON[placed](1, 1), events.JSON[shipped](1, 1)},
		"stands for type 1.0, too":          {events.JSON[placed](1, 0), events.JSON[placed](2, 0)},
		"no higher minor is declared":       {events.Upcast(1, 5, lift), events.JSON[placedV1](1, 4), events.JSON[placed](2, 9)},
		"is declared with events_test.plac": {events.Upcast(1, 0, lift), events.JSON[placed](1, 1)},
		"any minor is also declared by 1.1": {events.JSON[placed](1, 1).AnyMinor(), events.JSON[shipped](1, 0).AnyMinor()},
	} {
		_, err := events.NewRegistry(declarations...)
		var refused *events.RegistryError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("MustRegistry did not panic")
		}
	}()
	events.MustRegistry(events.JSON[placed](0, 0))
}

// Minors can stand side by side, each with a type of its own, without upcasters.
func TestMinorsSideBySide(t *testing.T) {
	r, err := events.NewRegistry(events.JSON[placedV0](1, 0), events.JSON[placedV1](1, 1))
	if err != nil {
		t.Fatal(err)
	}
	for minor, want := range []any{placedV0{"a"}, placedV1{"a", 0}} {
		if got, err := r.Decode(&msg.Event{Major: 1, Minor: uint64(minor), Value: []byte(`{"Item":"a"}`)}); err != nil || got != want {
			t.Errorf("%#v, %v", got, err)
		}
	}
}
