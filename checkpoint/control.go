package checkpoint

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Control is everything that an owner heeds beside cursors and claims: what is
// asked of it, and what its forerunners left.
type Control struct {
	// Paused are the pauses; one with the zero Key is of the whole subscription.
	Paused  []Pause
	Stopped []Stopped
	Parked  []Parked
	Failing []Failing
	Redo    []Redo
}

// LoadControl reads the control records of a subscription and the store's time.
// A record that does not read as one is left out, and named by the error, which
// comes beside everything else.
func LoadControl(ctx context.Context, store RecordStore, name string) (Control, time.Time, error) {
	records, now, err := store.Records(ctx, name, "")
	if err != nil {
		return Control{}, time.Time{}, err
	}
	c, err := ParseControl(records)
	return c, now, err
}

// ParseControl reads the control records among records; see [LoadControl].
func ParseControl(records []Record) (Control, error) {
	var c Control
	var errs []error
	for _, r := range records {
		var err error
		switch {
		case strings.HasPrefix(r.Key, parkedPrefix):
			err = collect(&c.Parked, r, decodeParked)
		case strings.HasPrefix(r.Key, failingPrefix):
			err = collect(&c.Failing, r, decodeFailing)
		case strings.HasPrefix(r.Key, stoppedPrefix):
			err = collect(&c.Stopped, r, decodeStopped)
		case r.Key == pausedName, strings.HasPrefix(r.Key, pausedPrefix):
			err = collect(&c.Paused, r, decodePause)
		case strings.HasPrefix(r.Key, redoPrefix):
			err = collect(&c.Redo, r, decodeRedo)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return c, errors.Join(errs...)
}

func collect[T any](into *[]T, r Record, decode func(Record) (T, error)) error {
	v, err := decode(r)
	if err == nil {
		*into = append(*into, v)
	}
	return err
}
