package rebuild

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
)

const donePrefix = "drained/"

// Part is a partition of a draining rebuild that stands at its predecessor's cursors.
// The predecessor's cursors are frozen by then, so a done part stays done.
type Part struct {
	// Token is the cut-over's.
	Token checkpoint.Token
	// Partition is one of Count partitions of a generation of the subscription's
	// definition; 0 of 1 for a subscription that is not divided.
	Partition, Count uint32
	Generation       uint64
}

type partJSON struct {
	Format     int              `json:"format"`
	Token      checkpoint.Token `json:"token"`
	Count      uint32           `json:"count"`
	Generation uint64           `json:"generation"`
}

func doneKey(partition uint32) string { return fmt.Sprintf("%s%04d", donePrefix, partition) }

// Done stores that a partition stands at the predecessor's cursors, under the claim of
// its owner.
func Done(ctx context.Context, store checkpoint.RecordStore, owner checkpoint.Owner, p Part) error {
	value := encode(partJSON{format, p.Token, p.Count, p.Generation})
	return store.Apply(ctx, owner.Name, checkpoint.Mutation{
		Owners:  []checkpoint.Owner{owner},
		Records: []checkpoint.RecordChange{{Key: doneKey(p.Partition), Value: value, Any: true}},
	})
}

// AllDone reports whether all partitions of one generation are done, for the cut-over
// of the token: so are all aggregates then, whatever the partitions have become since.
func AllDone(ctx context.Context, store checkpoint.RecordStore, name string, token checkpoint.Token) (bool, error) {
	parts, err := parts(ctx, store, name)
	if err != nil {
		return false, err
	}
	type division struct {
		generation uint64
		count      uint32
	}
	done := make(map[division]uint32)
	for _, p := range parts {
		d := division{p.Generation, p.Count}
		if p.Token != token || p.Partition >= p.Count {
			continue
		}
		if done[d]++; done[d] == d.count {
			return true, nil
		}
	}
	return false, nil
}

// DoneParts returns the partitions that are done for the cut-over of the token.
func DoneParts(ctx context.Context, store checkpoint.RecordStore, name string, token checkpoint.Token) ([]Part, error) {
	all, err := parts(ctx, store, name)
	if err != nil {
		return nil, err
	}
	kept := all[:0]
	for _, p := range all {
		if p.Token == token {
			kept = append(kept, p)
		}
	}
	return kept, nil
}

func parts(ctx context.Context, store checkpoint.RecordStore, name string) (parts []Part, err error) {
	records, _, err := store.Records(ctx, name, donePrefix)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		var j partJSON
		if err := decode(r, &j); err != nil {
			return nil, err
		}
		var partition uint32
		if _, err := fmt.Sscanf(r.Key, donePrefix+"%d", &partition); err != nil || doneKey(partition) != r.Key {
			return nil, &checkpoint.DamagedError{Where: "record " + r.Key, Offset: -1, Reason: "it names no partition"}
		}
		parts = append(parts, Part{Token: j.Token, Partition: partition, Count: j.Count, Generation: j.Generation})
	}
	return parts, nil
}
