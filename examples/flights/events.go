package main

import (
	"crypto/sha256"
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

// id is the same in every run: by it a batch that is written already is known.
func (b *batch) id() msg.ID {
	return msg.IDFromName(aircraftType, b.aircraft+" "+b.day.Format(time.DateOnly))
}

// plan makes the batches of all flights, in the order of their first flight.
// The plan is a function of the input alone, so that every run has the same batches.
func plan(flights []flight) ([]*batch, error) {
	var batches []*batch
	last := make(map[string]*batch) // of each aircraft
	for i := range flights {
		f := &flights[i]
		name := f.aircraft()
		b := last[name]
		if b == nil || !b.day.Equal(f.day) {
			b = &batch{key: keyOf(name), aircraft: name, day: f.day}
			last[name] = b
			batches = append(batches, b)
		}
		if err := b.add(f); err != nil {
			return nil, err
		}
	}
	return batches, nil
}

// add appends the events of a flight.
func (b *batch) add(f *flight) error {
	about := Flight{Aircraft: b.aircraft, Carrier: f.carrier, Number: f.number, Origin: f.origin, Dest: f.destin, Day: f.day.Format(time.DateOnly)}
	b.flights++
	if f.departed == nil {
		return b.append(f, FlightCancelled{about, f.scheduled})
	}
	if err := b.append(f, FlightDeparted{about, *f.departed, f.departDelay}); err != nil {
		return err
	}
	if f.arrived == nil {
		return nil
	}
	return b.append(f, FlightArrived{about, *f.arrived, f.arriveDelay})
}

func (b *batch) append(f *flight, value any) error {
	scheduled := f.day.Add(time.Duration(f.scheduled/100)*time.Hour + time.Duration(f.scheduled%100)*time.Minute)
	event, err := flightEvents.New(value, events.At(scheduled))
	if err != nil {
		return fmt.Errorf("flight %s%d of %s: %w", f.carrier, f.number, f.day.Format(time.DateOnly), err)
	}
	b.events = append(b.events, event)
	return nil
}
