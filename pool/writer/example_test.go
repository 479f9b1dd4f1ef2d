package writer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/pool/writer"
)

// A command handler: it takes goods out of a stock while there are any. The
// answer to the first write is lost; the writer finds out that it was applied
// and does not take twice.
func ExampleExecute() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	var lost atomic.Bool
	node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		if _, ok := f.Response.(*msg.WriteResponse); ok && lost.CompareAndSwap(false, true) {
			return celerianttest.CutBefore()
		}
		return celerianttest.Pass()
	})

	ctx := context.Background()
	p, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)
	w, err := writer.New(p, writer.Options{ClientID: msg.IDFromUint64(1)})
	if err != nil {
		log.Fatal(err)
	}

	const taken = 1
	errEmpty := errors.New("out of stock")
	take := writer.Decision[int]{
		New:   func() int { return 2 }, // in stock
		Apply: func(stock int, batch msg.Batch) (int, error) { return stock - len(batch.Events), nil },
		Decide: func(stock int, _ uint64) ([]msg.Event, error) {
			if stock == 0 {
				return nil, errEmpty
			}
			return []msg.Event{{Major: taken}}, nil
		},
	}
	for id := range uint64(3) {
		out, err := writer.Execute(ctx, w, writer.Command{Key: key, ID: msg.IDFromUint64(100 + id)}, take)
		fmt.Println("version", out.Version, "found:", out.AlreadyApplied, "refused:", errors.Is(err, errEmpty))
	}
	// Output:
	// version 1 found: true refused: false
	// version 2 found: false refused: false
	// version 0 found: false refused: true
}
