package wire_test

import (
	"cmp"
	"slices"

	"github.com/celeriant/celeriant-go/msg"
)

// blank removes from a message what differs between two runs of one scenario:
// server timestamps, and the order in maps, sets, lists and watch frames.
func blank(m any) {
	switch m := m.(type) {
	case *msg.ReadRequest:
		blankSome(&m.Filters.MinServerTimestamp)
		blankSome(&m.Filters.MaxServerTimestamp)
	case *msg.WriteRequest:
		slices.SortFunc(m.Writes, func(a, b msg.AggregateWrite) int { return a.Key.Compare(b.Key) })
	case *msg.DeleteRequest:
		slices.SortFunc(m.Deletes, func(a, b msg.AggregateDelete) int { return a.Key.Compare(b.Key) })
	case *msg.WatchRequest:
		slices.SortFunc(m.Orgs, msg.ID.Compare)
		slices.SortFunc(m.Types, msg.ID.Compare)
		slices.SortFunc(m.Aggregates, msg.ID.Compare)
		slices.Sort(m.Operations)
	case *msg.DetailsResponse:
		m.LastServerTimestamp = 0
	case *msg.ReadResponse:
		for i := range m.Batches {
			m.Batches[i].ServerTimestamp = 0
		}
	case *msg.ListOrgsResponse:
		slices.SortFunc(m.Orgs, msg.ID.Compare)
	case *msg.ListTypesResponse:
		slices.SortFunc(m.Types, func(a, b msg.TypeItem) int {
			return cmp.Or(a.Org.Compare(b.Org), a.Type.Compare(b.Type))
		})
	case *msg.ListAggregatesResponse:
		for i := range m.Aggregates {
			m.Aggregates[i].MaxServerTimestamp = 0
		}
		slices.SortFunc(m.Aggregates, func(a, b msg.AggregateItem) int { return a.Key.Compare(b.Key) })
	case *msg.WatchResponse:
		slices.SortFunc(m.Notifications, func(a, b msg.Notification) int {
			return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.Operation, b.Operation))
		})
	}
}

func blankSome[T any](o *msg.Opt[T]) {
	var zero T
	o.Value = zero
}
