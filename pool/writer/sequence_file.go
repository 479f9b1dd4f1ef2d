package writer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/celeriant/celeriant-go/internal/diskfile"
	"github.com/celeriant/celeriant-go/msg"
)

const (
	sequenceTitle = "celeriant sequences 1"
	// largestSequenceFile is ample for MaxOpenClaims lines of 175 bytes.
	largestSequenceFile = 4 << 20
)

// FileSequences are sequences in a file, for one client id. Only one process, and
// one FileSequences in it, can have the file open at a time: a lock file beside it,
// path + ".lock", sees to that. Each claim writes the file anew: a second file,
// path + ".new", forced to the disk, takes the place of the first, so that a crash at
// any moment leaves one or the other. A closed claim is written with the next one;
// until then a crash leaves it open, which costs its command, if repeated, one
// question more. The files are readable by their owner alone. Do not put them on a
// network file system.
type FileSequences struct {
	path   string
	client msg.ID
	force  func(*os.File) error // to the disk

	mu     sync.Mutex
	lock   *os.File // nil once closed
	claims claimTable
}

// OpenFileSequences reads the file of a client id; a missing one is begun with
// the first claim. Its folder must exist. A file that is damaged, of another client
// id, or open elsewhere is refused with ErrSequences: going on without it could use
// a sequence twice. Close it after use.
func OpenFileSequences(path string, client msg.ID) (*FileSequences, error) {
	lock, err := diskfile.Lock(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("writer: %w: %w", ErrSequences, err)
	}
	s := &FileSequences{path: path, client: client, force: (*os.File).Sync, lock: lock}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("writer: %w: reading %s: %w", ErrSequences, path, errors.Join(err, lock.Close()))
	}
	return s, nil
}

// load reads the file and removes what a crash has left beside it.
func (s *FileSequences) load() error {
	if err := os.Remove(s.newPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	content, err := diskfile.ReadRegular(s.path, largestSequenceFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		s.claims, err = parseSequences(content, s.client)
	}
	return err
}

// Close gives the file up to others. Claims after it fail with ErrSequences. Closing
// again does nothing.
func (s *FileSequences) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	err := s.lock.Close()
	s.lock = nil
	return err
}

// OpenClaim returns the command's open claim.
func (s *FileSequences) OpenClaim(_ context.Context, key msg.Key, command msg.ID) (msg.Opt[uint64], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims.open(key, command), nil
}

// Claim takes sequences and returns when the disk has them. Claim fails with
// ErrSequences when MaxOpenClaims are open, when the file cannot be written and
// after Close.
func (s *FileSequences) Claim(ctx context.Context, key msg.Key, command msg.ID, count int, minSeq uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return 0, fmt.Errorf("%w: %w", ErrSequences, contextError(ctx))
	case s.lock == nil:
		return 0, fmt.Errorf("%w: %s was closed", ErrSequences, s.path)
	}
	before := s.claims.open(key, command)
	first, err := s.claims.claim(key, command, count, minSeq)
	if err != nil {
		return 0, err
	}
	if err := s.replace(formatSequences(s.client, &s.claims)); err != nil {
		// The numbers stay taken: nobody knows what a reader would find.
		s.claims.close(key, command)
		if before.Set {
			s.claims.first[claimKey{key, command}] = before.Value
		}
		return 0, fmt.Errorf("%w: writing %s: %w", ErrSequences, s.path, err)
	}
	return first, nil
}

// CloseClaim ends the command's claim.
func (s *FileSequences) CloseClaim(_ context.Context, key msg.Key, command msg.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims.close(key, command)
	return nil
}

// formatSequences writes the table as lines, the last of which is the hash of
// those before.
func formatSequences(client msg.ID, claims *claimTable) []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s\nclient %v\nlast %d\n", sequenceTitle, client, claims.last)
	for _, k := range slices.SortedFunc(maps.Keys(claims.first), claimKey.compare) {
		fmt.Fprintf(&text, "claim %v %v %v %v %d\n", k.key.Org, k.key.Type, k.key.Aggregate, k.command, claims.first[k])
	}
	fmt.Fprintf(&text, "sum %x\n", sha256.Sum256(text.Bytes()))
	return text.Bytes()
}

func (k claimKey) compare(other claimKey) int {
	return cmp.Or(k.key.Compare(other.key), k.command.Compare(other.command))
}

func parseSequences(content []byte, client msg.ID) (claimTable, error) {
	end := bytes.LastIndex(content, []byte("sum "))
	if end < 0 || string(content[end:]) != fmt.Sprintf("sum %x\n", sha256.Sum256(content[:end])) {
		return claimTable{}, errors.New("incomplete or damaged")
	}
	lines := bytes.Split(bytes.TrimSuffix(content[:end], []byte("\n")), []byte("\n"))
	if len(lines) < 3 || string(lines[0]) != sequenceTitle {
		return claimTable{}, fmt.Errorf("does not begin with %q", sequenceTitle)
	}
	if owner := "client " + client.String(); string(lines[1]) != owner {
		return claimTable{}, fmt.Errorf("is of %q, not of %q", lines[1], owner)
	}
	claims := claimTable{first: make(map[claimKey]uint64)}
	if _, err := fmt.Sscanf(string(lines[2]), "last %d", &claims.last); err != nil {
		return claimTable{}, fmt.Errorf("line 3: %w", err)
	}
	for i, line := range lines[3:] {
		k, first, err := parseClaim(string(line))
		if err != nil {
			return claimTable{}, fmt.Errorf("line %d: %w", i+4, err)
		}
		claims.first[k] = first
	}
	return claims, nil
}

func parseClaim(line string) (k claimKey, first uint64, err error) {
	var texts [4]string
	if _, err := fmt.Sscanf(line, "claim %s %s %s %s %d", &texts[0], &texts[1], &texts[2], &texts[3], &first); err != nil {
		return claimKey{}, 0, err
	}
	for i, id := range []*msg.ID{&k.key.Org, &k.key.Type, &k.key.Aggregate, &k.command} {
		if err := id.UnmarshalText([]byte(texts[i])); err != nil {
			return claimKey{}, 0, err
		}
	}
	return k, first, nil
}

// replace makes content the file, whole or not at all, and returns when the disk
// has it: the content before it takes the place of the old one, lest a power
// cut leave an empty file there, and then its name.
func (s *FileSequences) replace(content []byte) error {
	// Only this store writes the new file: it has the lock. O_EXCL follows no link.
	if err := os.Remove(s.newPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(s.newPath(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = s.force(file)
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(file.Name(), s.path)
	}
	if err != nil {
		os.Remove(file.Name())
		return err
	}
	return diskfile.SyncFolder(filepath.Dir(s.path), s.force)
}

func (s *FileSequences) newPath() string { return s.path + ".new" }
