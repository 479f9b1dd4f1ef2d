package pool

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

	"github.com/celeriant/celeriant-go/msg"
)

const (
	sequenceTitle = "celeriant sequences 1"
	// largestSequenceFile is ample for MaxOpenClaims lines of 175 bytes.
	largestSequenceFile = 4 << 20
)

// FileSequences are sequences in a file, for one client id and one process at a
// time. Each claim writes the file anew: a second file, forced to the disk, takes
// the place of the first, so that a crash at any moment leaves one or the
// other. A settled claim is written with the next one; until then a crash
// leaves it open, which costs its command, if repeated, one question more.
type FileSequences struct {
	path   string
	client msg.ID
	force  func(*os.File) error // to the disk

	mu   sync.Mutex
	book sequenceBook
}

// OpenFileSequences reads the file of a client id; a missing one is begun with
// the first claim. A file that is damaged, or of another client id, is refused
// with ErrSequences: going on without it could use a sequence twice.
func OpenFileSequences(path string, client msg.ID) (*FileSequences, error) {
	s := &FileSequences{path: path, client: client, force: (*os.File).Sync}
	content, err := readBounded(path, largestSequenceFile)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		s.book, err = parseSequences(content, client)
	}
	if err != nil {
		return nil, fmt.Errorf("pool: %w: reading %s: %w", ErrSequences, path, err)
	}
	return s, nil
}

// Open returns the command's open claim.
func (s *FileSequences) Open(_ context.Context, key msg.Key, command msg.ID) (msg.Opt[uint64], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.open(key, command), nil
}

// Claim takes sequences and returns when the disk has them. It fails with
// ErrSequences when MaxOpenClaims are open or the file cannot be written.
func (s *FileSequences) Claim(ctx context.Context, key msg.Key, command msg.ID, count int, floor uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return 0, fmt.Errorf("%w: %w", ErrSequences, ended(ctx))
	}
	before := s.book.open(key, command)
	first, err := s.book.claim(key, command, count, floor)
	if err != nil {
		return 0, err
	}
	if err := s.replace(formatSequences(s.client, &s.book)); err != nil {
		// The numbers stay taken: nobody knows what a reader would find.
		s.book.settle(key, command)
		if before.Set {
			s.book.claims[claimant{key, command}] = before.Value
		}
		return 0, fmt.Errorf("%w: writing %s: %w", ErrSequences, s.path, err)
	}
	return first, nil
}

// Settle ends the command's claim.
func (s *FileSequences) Settle(_ context.Context, key msg.Key, command msg.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.settle(key, command)
	return nil
}

// formatSequences writes the book as lines, the last of which is the hash of
// those before.
func formatSequences(client msg.ID, book *sequenceBook) []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s\nclient %v\nlast %d\n", sequenceTitle, client, book.last)
	for _, who := range slices.SortedFunc(maps.Keys(book.claims), claimant.compare) {
		fmt.Fprintf(&text, "claim %v %v %v %v %d\n", who.key.Org, who.key.Type, who.key.Aggregate, who.command, book.claims[who])
	}
	fmt.Fprintf(&text, "sum %x\n", sha256.Sum256(text.Bytes()))
	return text.Bytes()
}

func (c claimant) compare(other claimant) int {
	return cmp.Or(c.key.Compare(other.key), c.command.Compare(other.command))
}

func parseSequences(content []byte, client msg.ID) (sequenceBook, error) {
	end := bytes.LastIndex(content, []byte("sum "))
	if end < 0 || string(content[end:]) != fmt.Sprintf("sum %x\n", sha256.Sum256(content[:end])) {
		return sequenceBook{}, errors.New("incomplete or damaged")
	}
	lines := bytes.Split(bytes.TrimSuffix(content[:end], []byte("\n")), []byte("\n"))
	if len(lines) < 3 || string(lines[0]) != sequenceTitle {
		return sequenceBook{}, fmt.Errorf("does not begin with %q", sequenceTitle)
	}
	if owner := "client " + client.String(); string(lines[1]) != owner {
		return sequenceBook{}, fmt.Errorf("is of %q, not of %q", lines[1], owner)
	}
	book := sequenceBook{claims: make(map[claimant]uint64)}
	if _, err := fmt.Sscanf(string(lines[2]), "last %d", &book.last); err != nil {
		return sequenceBook{}, fmt.Errorf("line 3: %w", err)
	}
	for i, line := range lines[3:] {
		who, first, err := parseClaim(string(line))
		if err != nil {
			return sequenceBook{}, fmt.Errorf("line %d: %w", i+4, err)
		}
		book.claims[who] = first
	}
	return book, nil
}

func parseClaim(line string) (who claimant, first uint64, err error) {
	var texts [4]string
	if _, err := fmt.Sscanf(line, "claim %s %s %s %s %d", &texts[0], &texts[1], &texts[2], &texts[3], &first); err != nil {
		return claimant{}, 0, err
	}
	for i, id := range []*msg.ID{&who.key.Org, &who.key.Type, &who.key.Aggregate, &who.command} {
		if err := id.UnmarshalText([]byte(texts[i])); err != nil {
			return claimant{}, 0, err
		}
	}
	return who, first, nil
}

// replace makes content the file, whole or not at all, and returns when the disk
// has it: the content before it takes the place of the old one, lest a power
// cut leave an empty file there, and then its name.
func (s *FileSequences) replace(content []byte) error {
	folder := filepath.Dir(s.path)
	file, err := os.CreateTemp(folder, filepath.Base(s.path)+".*")
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
	return s.forceFolder(folder)
}

func (s *FileSequences) forceFolder(folder string) error {
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close()
	return s.force(dir)
}
