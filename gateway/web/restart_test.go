package web_test

import (
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/gateway/web"
	"github.com/celeriant/celeriant-go/msg"
)

// A page reads its state when restart comes. Batches committed before the node has acknowledged
// the watch are not delivered, so restart must not come before that.
func TestRestartComesOnceTheWatchIsAcknowledged(t *testing.T) {
	for name, query := range map[string]string{
		"a type": "type=" + url.QueryEscape(org.String()+"/"+typ.String()), "an aggregate": "aggregate=" + path(1),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, web.Options{})
			asked, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			var committed atomic.Bool
			w.node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
				if _, ok := f.Request.(*msg.WatchRequest); ok {
					once.Do(func() { close(asked) })
					<-release
				}
				return celerianttest.Verdict{}
			})
			s := w.watch(query)
			read := make(chan bool, 1)
			go func() {
				defer close(read)
				s.expect("restart")
				read <- committed.Load()
			}()
			<-asked
			w.write(1, "1")
			committed.Store(true)
			close(release)
			if !<-read {
				t.Error("restart came before a commit that the watch does not deliver")
			}
			w.write(1, "2")
			s.expect("caught_up", "1.2")
		})
	}
}

// A watch of a type reads nothing at its start, however large the type is.
func TestAWatchOfATypeReadsNothingFirst(t *testing.T) {
	w := newWorld(t, web.Options{})
	w.write(1, "1")
	var reads atomic.Int32
	w.node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		switch f.Request.(type) {
		case *msg.ReadRequest, *msg.ListAggregatesRequest:
			reads.Add(1)
		}
		return celerianttest.Verdict{}
	})
	w.watch("type="+url.QueryEscape(org.String()+"/"+typ.String())).expect("restart", "caught_up")
	if n := reads.Load(); n > 0 {
		t.Errorf("the watch made %d reads and lists", n)
	}
}
