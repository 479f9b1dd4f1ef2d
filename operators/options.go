package operators

import (
	"database/sql"
	"log/slog"
	"time"
)

// Defaults of the options.
const (
	DefaultCommitInterval = time.Second
	DefaultStopTimeout    = 10 * time.Second
	// DefaultMaxParked is how many aggregates of a subscription may be parked.
	DefaultMaxParked = 1000
	// MaxWorkers is the most workers of one consumer.
	MaxWorkers = 4096
)

// ForEachOption shapes a ForEach, ProjectOption a Project. An [Option] is both.
type (
	ForEachOption interface{ forEach(*settings) }
	ProjectOption interface{ project(*settings) }
)

// Option applies to ForEach and to Project.
type Option func(*settings)

func (o Option) forEach(s *settings) { o(s) }
func (o Option) project(s *settings) { o(s) }

type forEachOnly func(*settings)

func (o forEachOnly) forEach(s *settings) { o(s) }

type projectOnly func(*settings)

func (o projectOnly) project(s *settings) { o(s) }

type settings struct {
	limits     Limits
	interval   time.Duration
	stop       time.Duration
	onProgress func(Progress)
	logger     *slog.Logger
	tx         *sql.TxOptions
	retry      time.Duration
	passing    func(error) bool
	workers    int
	classifier Classifier
	hooks      Hooks
	maxParked  int
}

func defaults() settings {
	return settings{
		limits:    Limits{}.withDefaults(),
		interval:  DefaultCommitInterval,
		stop:      DefaultStopTimeout,
		logger:    slog.New(slog.DiscardHandler),
		passing:   func(error) bool { return false },
		workers:   1,
		maxParked: DefaultMaxParked,
	}
}

// WithLimits bounds how many changes are committed together, and how long they
// may be collected before they are handled. Default: 512 changes, 4 MiB, and
// no waiting: what is waiting already. Larger transactions catch up faster and
// hold locks longer.
func WithLimits(limits Limits) Option {
	return func(s *settings) { s.limits = limits.withDefaults() }
}

// WithStopTimeout is how long the handler in flight may go on after the
// context of the call has ended, before its own context ends too; default
// 10 s. The time also bounds storing the last cursors and closing the
// subscription. d must be positive; other values mean the default.
func WithStopTimeout(d time.Duration) Option {
	return func(s *settings) {
		s.stop = DefaultStopTimeout
		if d > 0 {
			s.stop = d
		}
	}
}

// WithWorkers handles n aggregates at once, 1 to [MaxWorkers]; other values mean
// the nearest of these. Default 1. Changes of one aggregate are handled one after
// another, in order, by whichever worker is free. With Project, n transactions run
// at once, each with aggregates of one partition. With one worker handlers run on
// the goroutine of the call, else on goroutines of their own.
func WithWorkers(n int) Option {
	return func(s *settings) { s.workers = min(max(n, 1), MaxWorkers) }
}

// WithVerdicts judges the failures of the handler. Default: [RetryThen] with
// [DefaultRetryFor] and Park where the checkpoint store keeps records, else Stop.
func WithVerdicts(c Classifier) Option { return func(s *settings) { s.classifier = c } }

// WithMaxParked bounds how many aggregates of the subscription may be parked;
// default [DefaultMaxParked]. Beyond it Park means Retry without an end, so that
// an outage of what handlers need does not park the world.
func WithMaxParked(n int) Option { return func(s *settings) { s.maxParked = max(0, n) } }

// WithHooks observes the consumer. Default: none.
func WithHooks(h Hooks) Option { return func(s *settings) { s.hooks = h } }

// WithProgress calls f after each commit, one call at a time, on a goroutine of the
// consumer's: it must return soon.
func WithProgress(f func(Progress)) Option { return func(s *settings) { s.onProgress = f } }

// WithLogger receives a line for each retry. Default: none.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) {
		if l != nil {
			s.logger = l
		}
	}
}

// WithCommitInterval is the longest time between a change handled and its
// cursor stored; default 1 s. Cursors are stored while handlers go on.
func WithCommitInterval(d time.Duration) ForEachOption {
	return forEachOnly(func(s *settings) { s.interval = d })
}

// WithTxOptions sets the isolation of the transactions. Default: the
// database's own.
func WithTxOptions(o *sql.TxOptions) ProjectOption {
	return projectOnly(func(s *settings) { s.tx = o })
}

// WithRetryLimit ends a projection whose database has failed for so long with
// passing errors. Default 0: it goes on trying until its context ends.
func WithRetryLimit(d time.Duration) ProjectOption {
	return projectOnly(func(s *settings) { s.retry = d })
}

// WithPassing names further errors, beside those [Project] knows, after which
// a transaction is worth running again.
func WithPassing(f func(error) bool) ProjectOption {
	return projectOnly(func(s *settings) {
		if f != nil {
			s.passing = f
		}
	})
}
