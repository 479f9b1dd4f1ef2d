package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/msg"
)

// count writes random stock, to have something to see.
func count(ctx context.Context, client *celeriant.Client, out io.Writer) {
	products := []string{"apples", "bread", "cheese", "dates", "eggs"}
	for ctx.Err() == nil {
		n := rand.IntN(len(products))
		key := msg.Key{Org: []msg.ID{north, south}[rand.IntN(2)], Type: productType, Aggregate: msg.IDFromUint64(uint64(n))}
		counted, err := stockEvents.Batch(StockCounted{products[n], rand.IntN(100)})
		if err == nil {
			_, err = client.WriteEvents(ctx, key, counted, writerID)
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(out, err)
		}
		time.Sleep(300 * time.Millisecond)
	}
}
