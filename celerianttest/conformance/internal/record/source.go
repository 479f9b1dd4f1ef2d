package record

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

var errStoreAway = errors.New("the store is away")

// Source is a source that records what comes through it.
type Source struct {
	stream.Source
	Voice
}

func (s Source) Watch(ctx context.Context, follower bool, req *msg.WatchRequest) (stream.Watch, error) {
	w, err := s.Source.Watch(ctx, follower, req)
	if err != nil {
		return nil, err
	}
	s.Add(Line{What: Watch, Node: w.Node()})
	return recordedWatch{w, s.Voice}, nil
}

func (s Source) Read(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	page, err := s.Source.Read(ctx, node, req)
	l := Line{What: Read, Node: node, Key: req.Key.String(), From: req.Filters.From, To: req.Filters.To.Value}
	if err != nil {
		l.Text = err.Error()
	} else if n := len(page.Batches); n > 0 {
		l.Version = page.Batches[n-1].Version
	}
	s.Add(l)
	return page, err
}

func (s Source) ListAggregatesPage(ctx context.Context, node string, req *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	page, err := s.Source.ListAggregatesPage(ctx, node, req)
	l := Line{What: List, Node: node}
	if err != nil {
		l.Text = err.Error()
	} else {
		l.To = uint64(len(page.Aggregates))
	}
	s.Add(l)
	return page, err
}

func (s Source) Leads(ctx context.Context, node string) (pool.Leadership, error) {
	leads, err := s.Source.Leads(ctx, node)
	l := Line{What: Claim, Node: node, Kind: fmt.Sprint(leads)}
	if err != nil {
		l.Kind, l.Text = "", err.Error()
	}
	s.Add(l)
	return leads, err
}

type recordedWatch struct {
	stream.Watch
	Voice
}

func (h recordedWatch) Next(ctx context.Context) ([]msg.Notification, error) {
	frame, err := h.Watch.Next(ctx)
	for _, n := range frame {
		h.Add(Line{What: Notice, Key: n.Key.String(), Kind: n.Operation.String(), From: n.From.Or(n.KeepFrom.Value), To: n.To.Value})
	}
	return frame, err
}

// Store is a store that records what it has stored. The store fails now and
// then, before and after storing.
type Store struct {
	checkpoint.Store
	Voice
	Run int

	mu    sync.Mutex
	saves int
}

func (k *Store) Save(ctx context.Context, o checkpoint.Owner, entries []checkpoint.Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.saves++; k.saves%13 == 5 {
		return errStoreAway
	}
	err := k.Store.Save(ctx, o, entries)
	if err == nil {
		for _, e := range entries {
			k.Add(CursorLine(Commit, k.Run, e.Key, e.Cursor))
		}
		if k.saves%13 == 9 {
			return errStoreAway // an answer lost: the save is ambiguous
		}
	}
	return err
}
