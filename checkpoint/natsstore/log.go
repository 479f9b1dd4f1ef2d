package natsstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/journal"
	"github.com/nats-io/nats.go/jetstream"
)

// log keeps the journals of journal.Store in the subjects of a stream: a record is a
// message, its number the message's sequence.
type log struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	name   string // of the stream
	max    int
}

// subject is that of a name, which may hold anything: in hexadecimal digits.
func (l *log) subject(name string) string {
	if name == "" {
		return l.name + ".store"
	}
	return l.name + ".name." + hex.EncodeToString([]byte(name))
}

// nameOf is the reverse of subject; ok is false for a subject of nobody's.
func (l *log) nameOf(subject string) (name string, ok bool) {
	if subject == l.name+".store" {
		return "", true
	}
	digits, ok := strings.CutPrefix(subject, l.name+".name.")
	text, err := hex.DecodeString(digits)
	return string(text), ok && err == nil
}

const (
	// contended is how often an append is tried again that a replicated stream
	// refused because of another one under way, and between how long the pauses are.
	contended      = 50
	contendedPause = 5 * time.Millisecond
)

// Append implements journal.Log.
func (l *log) Append(ctx context.Context, name string, last uint64, data []byte) (journal.Record, error) {
	for range contended {
		ack, err := l.js.Publish(ctx, l.subject(name), data,
			jetstream.WithExpectStream(l.name), jetstream.WithExpectLastSequencePerSubject(last))
		var refusal *jetstream.APIError
		switch {
		case err == nil:
			return journal.Record{Number: ack.Sequence, Data: data}, nil
		case !errors.As(err, &refusal):
			return journal.Record{}, err
		case refusal.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
			return journal.Record{}, journal.ErrBehind
		case refusal.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequenceConstant:
			return journal.Record{}, err
		}
		select {
		case <-time.After(contendedPause):
		case <-ctx.Done():
			return journal.Record{}, ctx.Err()
		}
	}
	return journal.Record{}, journal.ErrBehind
}

// single is how many records are asked for one by one, before a consumer is made for
// the others.
const single = 8

// Read implements journal.Log.
func (l *log) Read(ctx context.Context, name string, after uint64) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		subject := l.subject(name)
		newest, err := l.stream.GetLastMsgForSubject(ctx, subject)
		for range single {
			if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && newest.Sequence <= after {
				return
			}
			var next *jetstream.RawStreamMsg
			if err == nil {
				next, err = l.stream.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(subject))
			}
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return
			}
			if err != nil {
				yield(journal.Record{}, err)
				return
			}
			after = next.Sequence
			if !yield(journal.Record{Number: next.Sequence, Time: next.Time, Data: next.Data}, nil) {
				return
			}
		}
		if newest.Sequence > after {
			l.consume(ctx, subject, after, newest.Sequence, yield)
		}
	}
}

// consume yields the records behind after up to last.
func (l *log) consume(ctx context.Context, subject string, after, last uint64, yield func(journal.Record, error) bool) {
	consumer, err := l.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects:    []string{subject},
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       after + 1,
		InactiveThreshold: inactive,
	})
	if err != nil {
		yield(journal.Record{}, err)
		return
	}
	messages, err := consumer.Messages()
	if err != nil {
		yield(journal.Record{}, err)
		return
	}
	defer messages.Stop()
	for after < last {
		m, err := messages.Next(jetstream.NextContext(ctx))
		var at *jetstream.MsgMetadata
		if err == nil {
			at, err = m.Metadata()
		}
		if err != nil {
			yield(journal.Record{}, err)
			return
		}
		after = at.Sequence.Stream
		if !yield(journal.Record{Number: after, Time: at.Timestamp, Data: m.Data()}, nil) {
			return
		}
	}
}

// inactive is for how long a server keeps a consumer whose process is gone.
const inactive = 30 * time.Second

// Trim implements journal.Log.
func (l *log) Trim(ctx context.Context, name string, first uint64) error {
	return l.stream.Purge(ctx, jetstream.WithPurgeSubject(l.subject(name)), jetstream.WithPurgeSequence(first))
}

// Names implements journal.Log.
func (l *log) Names(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		info, err := l.stream.Info(ctx, jetstream.WithSubjectFilter(l.name+".>"))
		if err != nil {
			yield("", err)
			return
		}
		for subject := range info.State.Subjects {
			if name, ok := l.nameOf(subject); ok && !yield(name, nil) {
				return
			}
		}
	}
}

// Watch implements journal.Log.
func (l *log) Watch(ctx context.Context, ready func(), changed func(string)) error {
	consumer, err := l.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects:    []string{l.name + ".>"},
		DeliverPolicy:     jetstream.DeliverNewPolicy,
		HeadersOnly:       true,
		InactiveThreshold: inactive,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	ready()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		if name, ok := l.nameOf(m.Subject()); ok {
			changed(name)
		}
	}
}

// MaxRecord implements journal.Log.
func (l *log) MaxRecord() int { return l.max }

// Close implements journal.Log; the connection is the caller's.
func (l *log) Close() error { return nil }

// ConfigError refuses a stream that does not keep what it is given.
type ConfigError struct {
	Stream string
	Reason string
}

// Error names the stream and what is wrong with it.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("natsstore: stream %s %s", e.Stream, e.Reason)
}

// check returns a *ConfigError for a stream that loses messages or answers at replicas.
func check(c *jetstream.StreamConfig) error {
	refuse := func(reason string) error { return &ConfigError{Stream: c.Name, Reason: reason} }
	switch {
	case len(c.Subjects) != 1 || c.Subjects[0] != c.Name+".>":
		return refuse(fmt.Sprintf("has the subjects %q, want %q alone", c.Subjects, c.Name+".>"))
	case c.Retention != jetstream.LimitsPolicy:
		return refuse("removes messages that were consumed: its retention must be by limits")
	case c.MaxAge > 0:
		return refuse(fmt.Sprintf("removes messages after %v: its age must be unlimited", c.MaxAge))
	case c.Discard == jetstream.DiscardOld && (c.MaxMsgs > 0 || c.MaxBytes > 0 || c.MaxMsgsPerSubject > 0):
		return refuse("removes old messages beyond its limits: it must discard new ones, or have no limits")
	case c.AllowDirect || c.MirrorDirect:
		return refuse("answers reads at replicas, which may be behind: allow_direct must be off")
	case c.DenyPurge:
		return refuse("lets nothing be purged, so that journals would grow for ever")
	case c.Sealed || c.NoAck || c.Mirror != nil || c.SubjectTransform != nil:
		return refuse("is sealed, a mirror, transforms its subjects, or acknowledges nothing")
	case c.PersistMode == jetstream.AsyncPersistMode:
		return refuse("acknowledges before it stores: its persist mode must be the default")
	}
	return nil
}

var _ journal.Log = (*log)(nil)

var _ checkpoint.RecordStore = (*Store)(nil)
