package bench

import (
	"fmt"
	"strings"
	"time"
)

// Report is the result of a workload.
type Report struct {
	Bench           string  `json:"bench"`
	Address         string  `json:"address"`
	ProtocolVersion int     `json:"protocol_version"`
	Connections     int     `json:"connections"`
	Writers         int     `json:"writers,omitempty"`
	Operation       string  `json:"operation"` // what one operation is
	Seconds         float64 `json:"seconds"`

	Operations          uint64  `json:"operations"`
	OperationsPerSecond float64 `json:"operations_per_second"`
	Batches             uint64  `json:"batches"`
	BatchesPerSecond    float64 `json:"batches_per_second"`
	Events              uint64  `json:"events"`
	EventsPerSecond     float64 `json:"events_per_second"`
	PayloadBytes        uint64  `json:"payload_bytes"`
	BytesPerSecond      float64 `json:"payload_bytes_per_second"`

	// Latency is that of one operation, in microseconds.
	Latency Latency `json:"latency_us"`
	// AckToRead is the time from the acknowledgement of a write to the end of
	// the read that shows it.
	AckToRead *Latency `json:"acknowledgement_to_read_us,omitempty"`
	// ReadFirst counts reads that showed a write before its acknowledgement
	// had arrived; they count as 0.
	ReadFirst uint64 `json:"read_before_acknowledgement,omitempty"`
	// Late counts writes that began later than the rate asks for.
	Late uint64 `json:"late,omitempty"`

	// CPU is the processor time of this process, absent where it is not known.
	CPU *CPU `json:"cpu,omitempty"`
}

// Latency is a distribution in microseconds; quantiles are at most 1/64 too high.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// CPU is processor time.
type CPU struct {
	UserSeconds   float64 `json:"user_seconds"`
	SystemSeconds float64 `json:"system_seconds"`
	PerOperation  float64 `json:"us_per_operation"`
	PerEvent      float64 `json:"us_per_event"`
	Processors    float64 `json:"processors"` // busy on average
}

// tally is what a worker counts for itself.
type tally struct {
	operations, batches, events, bytes uint64
	latency                            histogram
}

func (t *tally) merge(other *tally) {
	t.operations += other.operations
	t.batches += other.batches
	t.events += other.events
	t.bytes += other.bytes
	t.latency.merge(&other.latency)
}

// fill writes what was counted into a report.
func (r *Report) fill(c *clock, t *tally) {
	r.Seconds = c.elapsed.Seconds()
	r.Operations, r.Batches, r.Events, r.PayloadBytes = t.operations, t.batches, t.events, t.bytes
	rate := func(n uint64) float64 { return float64(n) / r.Seconds }
	r.OperationsPerSecond, r.BatchesPerSecond = rate(t.operations), rate(t.batches)
	r.EventsPerSecond, r.BytesPerSecond = rate(t.events), rate(t.bytes)
	r.Latency = *latencyOf(&t.latency)
	if c.known && t.operations > 0 && t.events > 0 {
		spent := c.spent.user + c.spent.system
		r.CPU = &CPU{
			UserSeconds: c.spent.user.Seconds(), SystemSeconds: c.spent.system.Seconds(),
			PerOperation: micros(spent) / float64(t.operations), PerEvent: micros(spent) / float64(t.events),
			Processors: spent.Seconds() / r.Seconds,
		}
	}
}

func latencyOf(h *histogram) *Latency {
	return &Latency{
		P50: micros(h.quantile(0.5)), P90: micros(h.quantile(0.9)), P99: micros(h.quantile(0.99)), P999: micros(h.quantile(0.999)),
		Max: micros(h.max), Mean: micros(h.mean()),
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// String returns the report as lines of text.
func (r *Report) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "bench %s at %s, protocol version %d, %d connections", r.Bench, r.Address, r.ProtocolVersion, r.Connections)
	if r.Writers > 0 {
		fmt.Fprintf(&text, ", %d writers", r.Writers)
	}
	fmt.Fprintf(&text, "\n  throughput  %.0f operations/s (%s): %d in %.3f s\n", r.OperationsPerSecond, r.Operation, r.Operations, r.Seconds)
	fmt.Fprintf(&text, "              %.0f batches/s, %.0f events/s, %.2f MB/s of payload\n", r.BatchesPerSecond, r.EventsPerSecond, r.BytesPerSecond/1e6)
	fmt.Fprintf(&text, "  latency     %v\n", r.Latency)
	if r.AckToRead != nil {
		fmt.Fprintf(&text, "  ack to read %v (%d read before the acknowledgement)\n", *r.AckToRead, r.ReadFirst)
	}
	if r.Late > 0 {
		fmt.Fprintf(&text, "  late        %d writes began later than the rate asks for\n", r.Late)
	}
	if r.CPU != nil {
		fmt.Fprintf(&text, "  cpu         %.2f us per operation, %.3f us per event (user %.2f s, system %.2f s, %.2f processors)\n",
			r.CPU.PerOperation, r.CPU.PerEvent, r.CPU.UserSeconds, r.CPU.SystemSeconds, r.CPU.Processors)
	}
	return text.String()
}

// String returns the quantiles.
func (l Latency) String() string {
	return fmt.Sprintf("p50 %.0f us, p90 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us, mean %.0f us", l.P50, l.P90, l.P99, l.P999, l.Max, l.Mean)
}
