package checkpoint

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

// platter is a disk in memory that knows what is durable, for power cuts, and
// that can fail. Names are durable after syncDir, content after sync.
type platter struct {
	names   map[string]*sheet // as programs see them
	durable map[string]*sheet // as a power cut leaves them
	changes []func(map[string]*sheet)

	// fault is asked before each operation; an error makes it fail. A failing
	// write leaves half of it behind.
	fault func(op string) error
	// lazyFolder makes syncDir do nothing.
	lazyFolder bool
}

// sheet is a file.
type sheet struct {
	content []byte
	durable []byte
	// pending are the changes of content since the last sync.
	pending []func([]byte) []byte
}

func newPlatter() *platter {
	return &platter{names: map[string]*sheet{}, durable: map[string]*sheet{}, fault: func(string) error { return nil }}
}

// powerCut returns the disk as it may be found afterwards: of what was not
// flushed, names up to some change, and any sectors of content.
func (p *platter) powerCut(random *rand.Rand) *platter {
	after := newPlatter()
	after.lazyFolder = p.lazyFolder
	names := maps.Clone(p.durable)
	for _, change := range p.changes[:random.IntN(len(p.changes)+1)] {
		change(names)
	}
	// In order, so that a seed means one run.
	for _, name := range slices.Sorted(maps.Keys(names)) {
		content := slices.Clone(names[name].durable)
		for _, change := range names[name].pending {
			if random.IntN(2) == 0 {
				content = change(content)
			}
		}
		s := &sheet{content: content, durable: slices.Clone(content)}
		after.names[name], after.durable[name] = s, s
	}
	return after
}

func (p *platter) rename(from, to string) error {
	if err := p.fault("rename"); err != nil {
		return err
	}
	s := p.names[from]
	p.change(func(names map[string]*sheet) {
		delete(names, from)
		names[to] = s
	})
	return nil
}

func (p *platter) remove(path string) error {
	if err := p.fault("remove"); err != nil {
		return err
	}
	p.change(func(names map[string]*sheet) { delete(names, path) })
	return nil
}

func (p *platter) change(do func(map[string]*sheet)) {
	do(p.names)
	p.changes = append(p.changes, do)
}

func (p *platter) syncDir(string) error {
	if err := p.fault("syncDir"); err != nil || p.lazyFolder {
		return err
	}
	p.changes, p.durable = nil, maps.Clone(p.names)
	return nil
}

func (p *platter) open(path string) (diskFile, error) {
	if err := p.fault("open"); err != nil {
		return nil, err
	}
	s := p.names[path]
	if s == nil {
		return nil, fs.ErrNotExist
	}
	return &handle{p, s}, nil
}

func (p *platter) create(path string) (diskFile, error) {
	if err := p.fault("create"); err != nil {
		return nil, err
	}
	s := &sheet{}
	p.change(func(names map[string]*sheet) { names[path] = s })
	return &handle{p, s}, nil
}

type handle struct {
	p *platter
	*sheet
}

func (h *handle) Close() error { return h.p.fault("close") }

func (h *handle) size() (int64, error) { return int64(len(h.content)), nil }

func (h *handle) ReadAt(b []byte, at int64) (int, error) {
	if err := h.p.fault("read"); err != nil {
		return 0, err
	}
	if at >= int64(len(h.content)) {
		return 0, io.EOF
	}
	n := copy(b, h.content[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) WriteAt(b []byte, at int64) (int, error) {
	err := h.p.fault("write")
	if err != nil {
		b = b[:len(b)/2]
	}
	const sector = 512
	for n := 0; n < len(b); {
		end := min(len(b), n+sector-int(at+int64(n))%sector)
		h.write(slices.Clone(b[n:end]), at+int64(n))
		n = end
	}
	return len(b), err
}

func (h *handle) write(b []byte, at int64) {
	h.edit(func(content []byte) []byte {
		if end := int(at) + len(b); end > len(content) {
			content = append(content, make([]byte, end-len(content))...)
		}
		copy(content[at:], b)
		return content
	})
}

func (h *handle) truncate(size int64) error {
	if err := h.p.fault("truncate"); err != nil {
		return err
	}
	h.edit(func(content []byte) []byte { return content[:min(int(size), len(content))] })
	return nil
}

func (h *handle) edit(do func([]byte) []byte) {
	h.content = do(h.content)
	h.pending = append(h.pending, do)
}

func (h *handle) sync() error {
	if err := h.p.fault("sync"); err != nil {
		return err
	}
	h.durable, h.pending = slices.Clone(h.content), nil
	return nil
}

var errPower = errors.New("no power")

func (h *handle) isAt(path string) (bool, error) { return h.p.names[path] == h.sheet, nil }
