package bench

import (
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Options describe a workload. Each uses those that its documentation names.
type Options struct {
	Address         string // for the report
	ProtocolVersion int    // for the report
	Connections     int    // of the pool

	ClientID   msg.ID // who writes
	Aggregates int
	Batches    int // per aggregate; readall checks it unless it is 0
	Events     int // per batch; readall checks it unless it is 0
	Bytes      int // of payload per event
	Writers    int
	Rate       float64 // writes per second of live, 0: each as soon as the one before was read
	Warmup     time.Duration
	Duration   time.Duration
}

// An OptionError is an option with a value that makes no sense.
type OptionError struct {
	Option string
	Value  any
	Limit  string
}

// Error names the option, the value and the limit.
func (e *OptionError) Error() string {
	return fmt.Sprintf("%s is %v: %s", e.Option, e.Value, e.Limit)
}

// within checks a number; option is the name of its flag.
func within(option string, value, least, most int) error {
	if value < least || value > most {
		return &OptionError{option, value, fmt.Sprintf("want %d to %d", least, most)}
	}
	return nil
}

func (o *Options) check(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if o.Warmup < 0 {
		return &OptionError{"warmup", o.Warmup, "want at least 0"}
	}
	return nil
}

func (o *Options) checkConnections() error { return within("connections", o.Connections, 1, 65536) }
func (o *Options) checkAggregates() error {
	return within("aggregates", o.Aggregates, 1, 1_000_000_000)
}
func (o *Options) checkWriters() error { return within("writers", o.Writers, 1, 65536) }
func (o *Options) checkBatches(min int) error {
	return within("batches", o.Batches, min, 1_000_000_000)
}
func (o *Options) checkEvents(min int) error { return within("events", o.Events, min, 1_000_000) }
func (o *Options) checkBytes() error         { return within("bytes", o.Bytes, 0, 8<<20) }

func (o *Options) checkDuration() error {
	if o.Duration <= 0 {
		return &OptionError{"seconds", o.Duration.Seconds(), "want more than 0"}
	}
	return nil
}

func (o *Options) checkRate() error {
	if !(o.Rate >= 0 && o.Rate <= 1e6) { // NaN is neither
		return &OptionError{"rate", o.Rate, "want 0 to 1000000"}
	}
	return nil
}

func (o *Options) report(bench, operation string) *Report {
	return &Report{Bench: bench, Operation: operation, Address: o.Address, ProtocolVersion: o.ProtocolVersion, Connections: o.Connections}
}
