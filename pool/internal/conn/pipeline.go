package conn

import (
	"context"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// pipelined is how many reads of a pipeline are on the wire at once: the node, which
// answers in order, finds the next one when it has sent an answer.
const pipelined = 4

// pipeline is reads on one connection, each sent before the one ahead of it is answered.
type pipeline struct {
	*Conn
	reads    []*PageRequest
	timeout  time.Duration
	sent     int
	answered int
	attempts []Attempt
	began    time.Time // when the answer waited for became the next one
}

// Reads makes reads one behind the other and returns an attempt for each. The reads end
// with the first one that is not answered: the attempts from there on have its error,
// and Answered is false. Each answer has at most timeout from the one before.
func (c *Conn) Reads(ctx context.Context, reads []*PageRequest, timeout time.Duration) []Attempt {
	p := &pipeline{Conn: c, reads: reads, timeout: timeout, attempts: make([]Attempt, len(reads)), began: time.Now()}
	err := p.run(ctx)
	for i := p.answered; i < len(reads); i++ {
		p.note(i, err)
		p.attempts[i].Sent = i < p.sent
	}
	return p.attempts
}

// note records what came of a read.
func (p *pipeline) note(i int, err error) {
	now := time.Now()
	a := &p.attempts[i]
	*a = Attempt{Node: p.Node(), Operation: msg.TypeReadRequest, Connected: true, Sent: true, Duration: now.Sub(p.began), Err: err}
	a.Settle()
	p.began = now
}

func (p *pipeline) run(ctx context.Context) error {
	if ctx.Err() != nil {
		return Ended(ctx)
	}
	stop := p.begin(ctx, p.timeout)
	err := p.transact(ctx)
	if !p.end(stop) {
		p.broken.Store(true)
	}
	if err != nil {
		err = p.explain(ctx, err, p.timeout)
	}
	return err
}

// transact sends and receives until all is answered, or something fails.
func (p *pipeline) transact(ctx context.Context) error {
	for p.answered < len(p.reads) {
		if err := p.fill(); err != nil {
			return err
		}
		resp, err := p.receive(ctx, p.reads[p.answered])
		if err != nil {
			return err
		}
		if err := p.take(resp); err != nil {
			return err
		}
	}
	return nil
}

// fill sends reads once half of those on the wire are answered. A request that no frame
// can carry ends the sending; its error is returned when all before it are answered.
func (p *pipeline) fill() error {
	window := pipelined
	if !p.exchanged {
		window = 1 // what comes with the end of a TLS handshake a node may lose but for its first frame
	}
	if p.sent-p.answered > window/2 {
		return nil
	}
	buffer := getBuffer()
	frames := (*buffer)[:0]
	defer func() { putBuffer(buffer, frames) }()
	config := &p.opener.config
	var invalid error
	last := p.sent
	for last < len(p.reads) && last < p.answered+window {
		r := p.reads[last]
		r.SetCorrelation(msg.Some(config.IDs.Next()))
		longer, err := wire.AppendRequest(frames, config.Version, &r.ReadRequest, p.coder.codec(), config.MaxRequest)
		if err != nil {
			invalid = encodeError(err)
			break
		}
		frames = longer
		last++
	}
	if last == p.sent {
		if p.sent == p.answered {
			return invalid
		}
		return nil
	}
	p.broken.Store(true) // until all that was sent is answered
	n, err := p.deadline.writeAll(frames)
	if n > 0 {
		p.sent = last
	}
	if err != nil {
		return transportError(err)
	}
	return nil
}

// take takes the answer to the first read that has none.
func (p *pipeline) take(resp msg.Response) error {
	req := p.reads[p.answered]
	if resp.Correlation() != req.Correlation() {
		return Violation("%v carries correlation id %v, request %v", resp.ResponseType(), resp.Correlation(), req.Correlation())
	}
	var err error
	closed := false
	if refusal, ok := resp.(*msg.ErrorResponse); ok {
		closed = closesConnection(refusal.Code)
		err = p.refusal(refusal)
	}
	p.note(p.answered, err)
	p.answered++
	p.exchanged = true
	switch {
	case closed && p.answered < len(p.reads):
		return fmt.Errorf("%w: closed by the node after %w", ErrConnectionLost, err)
	case closed:
		return nil
	}
	p.broken.Store(p.sent > p.answered)
	p.deadline.again()
	return nil
}
