package events_test

import (
	"fmt"
	"log"

	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
)

type OrderPlacedV0 struct {
	Item string `json:"item"`
}

type OrderPlaced struct {
	Items []string `json:"items"`
}

type OrderShipped struct {
	Parcels int `json:"parcels"`
}

var orders = events.MustRegistry(
	events.JSON[OrderPlaced](1, 1),
	events.Upcast(1, 0, func(old OrderPlacedV0) (OrderPlaced, error) {
		return OrderPlaced{Items: []string{old.Item}}, nil
	}),
	events.JSON[OrderShipped](2, 0),
)

// A registry makes events to write, and decodes those that were read: old forms
// are lifted, and what is not known is visible.
func Example() {
	shipped, err := orders.New(OrderShipped{Parcels: 2})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range []msg.Event{
		{Major: 1, Minor: 0, Value: []byte(`{"item":"book"}`)},
		{Major: 1, Minor: 1, Value: []byte(`{"items":["pen","ink"]}`)},
		shipped,
		{Major: 7},
	} {
		value, err := orders.Decode(&e)
		if err != nil {
			log.Fatal(err)
		}
		switch v := value.(type) {
		case OrderPlaced:
			fmt.Println("placed", v.Items)
		case OrderShipped:
			fmt.Println("shipped in", v.Parcels, "parcels")
		case events.Unknown:
			fmt.Println("unknown type", v.Type)
		}
	}
	// Output:
	// placed [book]
	// placed [pen ink]
	// shipped in 2 parcels
	// unknown type 7.0
}
