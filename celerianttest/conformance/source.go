package conformance

import (
	"context"
	"fmt"
	"sync"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// heard is a source that records what comes through it.
type heard struct {
	stream.Source
	voice
}

func (h heard) Watch(ctx context.Context, follower bool, req *msg.WatchRequest) (stream.Watch, error) {
	w, err := h.Source.Watch(ctx, follower, req)
	if err != nil {
		return nil, err
	}
	h.add(line{What: aWatch, Node: w.Node()})
	return heardWatch{w, h.voice}, nil
}

func (h heard) Read(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	page, err := h.Source.Read(ctx, node, req)
	l := line{What: aRead, Node: node, Key: req.Key.String(), From: req.Filters.From, To: req.Filters.To.Value}
	if err != nil {
		l.Text = err.Error()
	} else if n := len(page.Batches); n > 0 {
		l.Version = page.Batches[n-1].Version
	}
	h.add(l)
	return page, err
}

func (h heard) ListAggregatesPage(ctx context.Context, node string, req *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	page, err := h.Source.ListAggregatesPage(ctx, node, req)
	l := line{What: aList, Node: node}
	if err != nil {
		l.Text = err.Error()
	} else {
		l.To = uint64(len(page.Aggregates))
	}
	h.add(l)
	return page, err
}

func (h heard) Leads(ctx context.Context, node string) (pool.Leadership, error) {
	leads, err := h.Source.Leads(ctx, node)
	l := line{What: aClaim, Node: node, Kind: fmt.Sprint(leads)}
	if err != nil {
		l.Kind, l.Text = "", err.Error()
	}
	h.add(l)
	return leads, err
}

type heardWatch struct {
	stream.Watch
	voice
}

func (h heardWatch) Next(ctx context.Context) ([]msg.Notification, error) {
	frame, err := h.Watch.Next(ctx)
	for _, n := range frame {
		h.add(line{What: aNotice, Key: n.Key.String(), Kind: n.Operation.String(), From: n.From.Or(n.KeepFrom.Value), To: n.To.Value})
	}
	return frame, err
}

// kept is a store that records what it has stored. It fails now and then,
// before and after storing.
type kept struct {
	checkpoint.Store
	voice
	run int

	mu    sync.Mutex
	saves int
}

func (k *kept) Save(ctx context.Context, o checkpoint.Owner, entries []checkpoint.Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.saves++; k.saves%13 == 5 {
		return errStoreAway
	}
	err := k.Store.Save(ctx, o, entries)
	if err == nil {
		for _, e := range entries {
			k.add(cursorLine(aCommit, k.run, e.Key, e.Cursor))
		}
		if k.saves%13 == 9 {
			return errStoreAway // an answer lost: the save is ambiguous
		}
	}
	return err
}
