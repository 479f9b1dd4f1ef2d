package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/celeriant/celeriant-go/msg"
)

// maxFile bounds the size of an authorization file, in bytes.
const maxFile = 4 << 20

// File is an Authenticator and an Authorizer from a file, which it reads again
// when [File.Reload] is called. A file that does not parse changes nothing: the
// last good one stays in force and [File.Err] says why. A File is safe for
// concurrent use.
type File struct {
	path string
	now  func() time.Time

	mu      sync.RWMutex
	text    []byte
	callers map[string]*caller // by name
	keys    map[string]keyOf   // by id of key
	names   map[string]*caller // by name in a certificate
	failed  error
	changed chan struct{}
}

type keyOf struct {
	caller  *caller
	hash    [sha256.Size]byte
	expires time.Time
}

// caller is one caller with its rights.
type caller struct {
	principal Principal
	rights    map[Action][]Resource
}

// Open reads a file.
func Open(path string) (*File, error) {
	f := &File{path: path, now: time.Now, changed: make(chan struct{})}
	if _, err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Reload reads the file again and reports whether its content is another one. An
// error leaves the last good content in force.
func (f *File) Reload() (changed bool, err error) {
	text, err := os.ReadFile(f.path)
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%d bytes, the limit is %d", len(text), maxFile)
	}
	f.mu.RLock()
	same := err == nil && f.callers != nil && bytes.Equal(text, f.text)
	f.mu.RUnlock()
	var next *File
	if err == nil && !same {
		next, err = parse(text)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed = fmt.Errorf("access: reading %s: %w", f.path, err)
		return false, f.failed
	}
	f.failed = nil
	if same {
		return false, nil
	}
	f.text, f.callers, f.keys, f.names = text, next.callers, next.keys, next.names
	close(f.changed)
	f.changed = make(chan struct{})
	return true, nil
}

// Changed implements Reloader.
func (f *File) Changed() <-chan struct{} {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.changed
}

// Err returns why the file could not be read the last time; nil if it could.
func (f *File) Err() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.failed
}

// Run reloads the file each interval, until ctx ends, and calls report with each
// failure. Content is compared, not times, so that replaced, linked and mounted
// files are seen alike.
func (f *File) Run(ctx context.Context, interval time.Duration, report func(error)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := f.Reload(); err != nil {
				report(err)
			}
		}
	}
}

// Authenticate implements Authenticator. A token is "id.secret"; a certificate
// counts by its URI and DNS names, never by its common name.
func (f *File) Authenticate(_ context.Context, c Credentials) (Principal, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if c.Bearer != "" {
		return f.byKey(c.Bearer)
	}
	if c.Certificate != nil {
		for _, uri := range c.Certificate.URIs {
			if found, ok := f.names[uri.String()]; ok {
				return found.until(c.Certificate.NotAfter, f.now())
			}
		}
		for _, name := range c.Certificate.DNSNames {
			if found, ok := f.names[name]; ok {
				return found.until(c.Certificate.NotAfter, f.now())
			}
		}
	}
	return Principal{}, ErrUnauthenticated
}

func (f *File) byKey(token string) (Principal, error) {
	id, secret, _ := strings.Cut(token, ".")
	key, known := f.keys[id]
	hash := sha256.Sum256([]byte(secret))
	// The comparison is made for unknown ids, too.
	if subtle.ConstantTimeCompare(hash[:], key.hash[:]) != 1 || !known || len(secret) < minSecret {
		return Principal{}, ErrUnauthenticated
	}
	return key.caller.until(key.expires, f.now())
}

// until returns the principal with the end of its credential.
func (c *caller) until(expires, now time.Time) (Principal, error) {
	if !expires.IsZero() && !now.Before(expires) {
		return Principal{}, ErrUnauthenticated
	}
	p := c.principal
	p.Expires = expires
	return p, nil
}

// Authorize implements Authorizer.
func (f *File) Authorize(_ context.Context, p Principal, a Action, r Resource) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if c, ok := f.callers[p.Name]; ok {
		for _, granted := range c.rights[a] {
			if granted.covers(r) {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: %s may not %v %v", ErrDenied, p.Name, a, r)
}

// covers reports whether a right to r is a right to other, too.
func (r Resource) covers(other Resource) bool {
	switch r.Kind {
	case Everything:
		return other.Kind != Subscription
	case Org:
		return (other.Kind == Org || other.Kind == Type) && other.Org == r.Org
	case Type:
		return other == r
	case Subscription:
		if prefix, ok := strings.CutSuffix(r.Name, "*"); ok {
			return other.Kind == Subscription && strings.HasPrefix(other.Name, prefix)
		}
		return other == r
	}
	return false
}

// The form of the file.
type fileForm struct {
	Callers []callerForm `json:"callers"`
}

type callerForm struct {
	Name         string    `json:"name"`
	Tenant       string    `json:"tenant"`
	Keys         []keyForm `json:"keys"`
	Certificates []string  `json:"certificates"`
	Read         []string  `json:"read"`
	Write        []string  `json:"write"`
	Administer   []string  `json:"administer"`
	Consume      []string  `json:"consume"`
	Operate      []string  `json:"operate"`
	UserID       *msg.ID   `json:"user_id"`
	ActForOthers bool      `json:"act_for_others"`
	ClientIDs    []msg.ID  `json:"client_ids"`
}

type keyForm struct {
	ID      string    `json:"id"`
	SHA256  string    `json:"sha256"`
	Expires time.Time `json:"expires"`
}

func parse(text []byte) (*File, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var form fileForm
	if err := decoder.Decode(&form); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, errors.New("something follows the JSON object")
	}
	f := &File{callers: make(map[string]*caller), keys: make(map[string]keyOf), names: make(map[string]*caller)}
	for i := range form.Callers {
		if err := f.add(&form.Callers[i]); err != nil {
			return nil, fmt.Errorf("caller %d (%q): %w", i+1, form.Callers[i].Name, err)
		}
	}
	return f, nil
}

func (f *File) add(form *callerForm) error {
	if form.Tenant == "" {
		form.Tenant = form.Name
	}
	for _, name := range []string{form.Name, form.Tenant} {
		if err := checkName(name); err != nil {
			return err
		}
	}
	if _, twice := f.callers[form.Name]; twice {
		return errors.New("the name is used twice")
	}
	c := &caller{
		principal: Principal{
			Name: form.Name, Tenant: form.Tenant, UserID: DerivedID(form.Name, "user"),
			ActForOthers: form.ActForOthers, ClientIDs: slices.Clone(form.ClientIDs),
		},
		rights: make(map[Action][]Resource),
	}
	if form.UserID != nil {
		c.principal.UserID = *form.UserID
	}
	for action, texts := range map[Action][]string{Read: form.Read, Write: form.Write, Administer: form.Administer} {
		for _, text := range texts {
			r, err := parseResource(text)
			if err != nil {
				return fmt.Errorf("%v: %w", action, err)
			}
			c.rights[action] = append(c.rights[action], r)
		}
	}
	for action, names := range map[Action][]string{Consume: form.Consume, Operate: form.Operate} {
		for _, name := range names {
			if name == "" {
				return fmt.Errorf("%v: the name of a subscription is empty", action)
			}
			c.rights[action] = append(c.rights[action], OfSubscription(name))
		}
	}
	f.callers[form.Name] = c
	return f.addCredentials(c, form)
}

func (f *File) addCredentials(c *caller, form *callerForm) error {
	for _, k := range form.Keys {
		hash, err := hex.DecodeString(k.SHA256)
		switch {
		case CheckKeyID(k.ID) != nil:
			return CheckKeyID(k.ID)
		case err != nil || len(hash) != sha256.Size:
			return fmt.Errorf("the hash of key %q is no SHA-256 in hexadecimal", k.ID)
		}
		if _, twice := f.keys[k.ID]; twice {
			return fmt.Errorf("key id %q is used twice", k.ID)
		}
		f.keys[k.ID] = keyOf{caller: c, hash: [sha256.Size]byte(hash), expires: k.Expires}
	}
	for _, name := range form.Certificates {
		if _, twice := f.names[name]; twice || name == "" {
			return fmt.Errorf("certificate name %q is empty or used twice", name)
		}
		f.names[name] = c
	}
	return nil
}

// checkName refuses names that could be taken for another one.
func checkName(name string) error {
	if name == "" || len(name) > 50 || strings.ContainsFunc(name, func(r rune) bool { return r == '/' || !unicode.IsPrint(r) }) {
		return fmt.Errorf("the name %q is not 1 to 50 bytes of printable characters without a slash", name)
	}
	return nil
}

func parseResource(text string) (Resource, error) {
	if text == "*" {
		return Resource{Kind: Everything}, nil
	}
	org, typ, ofType := strings.Cut(text, "/")
	orgID, err := msg.ParseID(org)
	if err != nil {
		return Resource{}, fmt.Errorf("%q is neither an organisation, nor organisation/type, nor *: %w", text, err)
	}
	if !ofType {
		return OfOrg(orgID), nil
	}
	typeID, err := msg.ParseID(typ)
	if err != nil {
		return Resource{}, fmt.Errorf("%q is no organisation/type: %w", text, err)
	}
	return OfType(orgID, typeID), nil
}
