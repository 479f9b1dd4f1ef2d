package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
)

// The ids of everything this program writes. The ids must never change: a rerun
// recognises by them what is written already.
var (
	airTraffic   = msg.MustParseID("7f1d7c3e-2a52-4c0e-9a55-0c9f5b0f1301")
	aircraftType = msg.MustParseID("7f1d7c3e-2a52-4c0e-9a55-0c9f5b0f1302")
	writerID     = msg.MustParseID("7f1d7c3e-2a52-4c0e-9a55-0c9f5b0f1303")
)

// The event types.
const (
	departedType  = 1
	arrivedType   = 2
	cancelledType = 3
)

// Flight is what every event says about its flight.
type Flight struct {
	Aircraft string `json:"aircraft"`
	Carrier  string `json:"carrier"`
	Number   int    `json:"number"`
	Origin   string `json:"origin"`
	Dest     string `json:"dest"`
	Day      string `json:"day"`
}

// FlightDeparted: an aircraft left. Time is local, hhmm; Delay is in minutes,
// negative when early.
type FlightDeparted struct {
	Flight
	Time  int  `json:"time"`
	Delay *int `json:"delay,omitempty"`
}

// FlightArrived: an aircraft landed. Delay is absent for diverted flights.
type FlightArrived struct {
	Flight
	Time  int  `json:"time"`
	Delay *int `json:"delay,omitempty"`
}

// FlightCancelled: a flight did not take place.
type FlightCancelled struct {
	Flight
	Scheduled int `json:"scheduled"`
}

// flightEvents knows the event types, for writing and for reading.
var flightEvents = events.MustRegistry(
	events.JSON[FlightDeparted](departedType, 0),
	events.JSON[FlightArrived](arrivedType, 0),
	events.JSON[FlightCancelled](cancelledType, 0),
)

// aircraft names the aggregate of a flight: the tail number, or for flights
// without one carrier and number.
func (f *flight) aircraft() string {
	if f.tail != "" {
		return f.tail
	}
	return fmt.Sprintf("%s%d", f.carrier, f.number)
}

func keyOf(aircraft string) msg.Key {
	sum := sha256.Sum256([]byte("aircraft " + aircraft))
	return msg.Key{Org: airTraffic, Type: aircraftType, Aggregate: msg.ID(sum[:16])}
}

// batch is one write: what one aircraft did in one day.
type batch struct {
	key      msg.Key
	aircraft string
	day      time.Time
	events   []msg.Event
	flights  int
}

// plan makes the batches of all flights, in the order of their first flight.
// The plan is a function of the input alone: a client sequence is the ordinal of the
// flight among those of its aircraft, times two, so that every run writes the
// same events in the same batches.
func plan(flights []flight) ([]*batch, error) {
	var batches []*batch
	type aircraft struct {
		flights uint64
		last    *batch
	}
	fleet := make(map[string]*aircraft)
	for i := range flights {
		f := &flights[i]
		name := f.aircraft()
		a := fleet[name]
		if a == nil {
			a = &aircraft{}
			fleet[name] = a
		}
		if a.last == nil || !a.last.day.Equal(f.day) {
			a.last = &batch{key: keyOf(name), aircraft: name, day: f.day}
			batches = append(batches, a.last)
		}
		a.flights++
		if err := a.last.add(f, a.flights); err != nil {
			return nil, err
		}
	}
	return batches, nil
}

// add appends the events of the aircraft's n-th flight.
func (b *batch) add(f *flight, n uint64) error {
	about := Flight{Aircraft: b.aircraft, Carrier: f.carrier, Number: f.number, Origin: f.origin, Dest: f.destin, Day: f.day.Format(time.DateOnly)}
	b.flights++
	if f.departed == nil {
		return b.append(f, 2*n-1, FlightCancelled{about, f.scheduled})
	}
	if err := b.append(f, 2*n-1, FlightDeparted{about, *f.departed, f.departDelay}); err != nil {
		return err
	}
	if f.arrived == nil {
		return nil
	}
	return b.append(f, 2*n, FlightArrived{about, *f.arrived, f.arriveDelay})
}

func (b *batch) append(f *flight, seq uint64, value any) error {
	scheduled := f.day.Add(time.Duration(f.scheduled/100)*time.Hour + time.Duration(f.scheduled%100)*time.Minute)
	event, err := flightEvents.New(value, events.At(scheduled), func(e *msg.Event) {
		e.ClientSeq = seq
		e.EventID = msg.Some(eventID(b.key, e.Major, seq, e.Value))
	})
	if err != nil {
		return fmt.Errorf("flight %s%d of %s: %w", f.carrier, f.number, f.day.Format(time.DateOnly), err)
	}
	b.events = append(b.events, event)
	return nil
}

// eventID is a fingerprint of the event: an id that is found stored proves that
// this very event is.
func eventID(key msg.Key, major, seq uint64, payload []byte) msg.ID {
	h := sha256.New()
	h.Write(key.Aggregate[:])
	var numbers [16]byte
	binary.BigEndian.PutUint64(numbers[:8], major)
	binary.BigEndian.PutUint64(numbers[8:], seq)
	h.Write(numbers[:])
	h.Write(payload)
	return msg.ID(h.Sum(nil)[:16])
}
