package status

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Action is something that a person asked for on the page.
type Action struct {
	// Name is release, skip, pause, resume or redo.
	Name     string
	Consumer string
	// Key is the aggregate, as Parked.Key shows it; empty for pause and resume of a
	// whole consumer.
	Key string
	// Life, Version and Attempts are what the person saw: an action on something that
	// has changed since is refused.
	Life     uint64
	Version  uint64
	Attempts int
	// Reason is why, in the person's words; it is required and stored with the request.
	Reason string
}

// Actions carries out what the page offers. Do stores a request that the owner of the
// aggregate carries out; it returns an error that the person may read.
type Actions interface {
	Do(ctx context.Context, a Action) error
}

var actionNames = map[string]bool{"release": true, "skip": true, "pause": true, "resume": true, "redo": true}

const (
	longestForm   = 8 << 10 // bytes
	longestReason = 500     // bytes
)

// acts reports whether the page offers actions.
func (p *Page) acts() bool { return p.options.Actions != nil && p.options.Authorize != nil }

func (p *Page) serveAction(w http.ResponseWriter, r *http.Request) {
	if !p.acts() {
		http.Error(w, "this page offers no actions", http.StatusNotFound)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, longestForm)
	action, err := p.parseAction(r)
	if err != nil {
		p.options.Logger.Warn("status: an action was refused", "action", r.PathValue("action"), "error", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := p.options.Authorize(r, action); err != nil {
		p.options.Logger.Warn("status: an action was denied", "action", action.Name, "consumer", action.Consumer, "key", action.Key, "error", err)
		http.Error(w, "not allowed", http.StatusForbidden)
		return
	}
	if err := p.options.Actions.Do(r.Context(), action); err != nil {
		p.options.Logger.Warn("status: an action failed", "action", action.Name, "consumer", action.Consumer, "key", action.Key, "error", err)
		http.Error(w, clean(err.Error()), http.StatusConflict)
		return
	}
	p.options.Logger.Info("status: an action was requested", "action", action.Name, "consumer", action.Consumer,
		"key", action.Key, "version", action.Version, "reason", action.Reason)
	// The page lies two levels above the action, wherever it is mounted.
	http.Redirect(w, r, "../", http.StatusSeeOther)
}

func (p *Page) parseAction(r *http.Request) (Action, error) {
	if kind := r.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/x-www-form-urlencoded") {
		return Action{}, fmt.Errorf("content type %s is not a form's", strconv.Quote(clean(kind)))
	}
	if err := r.ParseForm(); err != nil {
		return Action{}, fmt.Errorf("reading the form: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("token")), []byte(p.token)) != 1 {
		return Action{}, errors.New("the page is older than the process that answers: load it again")
	}
	a := Action{
		Name:     r.PathValue("action"),
		Consumer: r.PostForm.Get("consumer"),
		Key:      r.PostForm.Get("key"),
		Reason:   clean(r.PostForm.Get("reason")),
	}
	switch {
	case !actionNames[a.Name]:
		return Action{}, fmt.Errorf("there is no action %s", strconv.Quote(clean(a.Name)))
	case a.Consumer == "":
		return Action{}, errors.New("no consumer is named")
	case a.Reason == "":
		return Action{}, errors.New("a reason is required")
	case len(a.Reason) > longestReason:
		return Action{}, fmt.Errorf("the reason has %d bytes, more than %d", len(a.Reason), longestReason)
	}
	var err error
	for _, field := range []struct {
		name string
		set  func(n uint64)
	}{
		{"life", func(n uint64) { a.Life = n }},
		{"version", func(n uint64) { a.Version = n }},
		{"attempts", func(n uint64) { a.Attempts = int(n) }},
	} {
		text := r.PostForm.Get(field.name)
		if text == "" {
			continue
		}
		n, bad := strconv.ParseUint(text, 10, 63)
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("%s %s is no number", field.name, strconv.Quote(clean(text))))
			continue
		}
		field.set(n)
	}
	return a, err
}
