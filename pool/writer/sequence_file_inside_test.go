package writer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// A claim is on the disk when it returns: first the whole new file, while the old
// one is still in its place, then the folder that holds its name. A disk that
// refuses either refuses the claim.
func TestClaimsAreForcedToTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sequences")
	client := msg.IDFromUint64(1)
	s, err := OpenFileSequences(path, client)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var forced []string
	refuse := ""
	s.force = func(file *os.File) error {
		what := "folder"
		if info, err := file.Stat(); err != nil {
			t.Error(err)
		} else if !info.IsDir() {
			what = "file"
		}
		now, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		next := formatSequences(client, &s.claims)
		if what == "file" {
			if written, err := os.ReadFile(file.Name()); err != nil || !bytes.Equal(written, next) {
				t.Errorf("forced before it was whole: %q, %v", written, err)
			}
		}
		if inPlace := bytes.Equal(now, next); inPlace != (what == "folder") {
			t.Errorf("at the %s the new content is in its place: %v", what, inPlace)
		}
		if forced = append(forced, what); what == refuse {
			return errors.New("the disk is worn out")
		}
		return file.Sync()
	}
	command := uint64(0)
	claim := func() error {
		command++
		_, err := s.Claim(context.Background(), msg.Key{}, msg.IDFromUint64(command), 1, 0)
		return err
	}
	for range 2 {
		forced = nil
		if err := claim(); err != nil || !slices.Equal(forced, []string{"file", "folder"}) {
			t.Errorf("forced %v: %v", forced, err)
		}
	}
	for _, refuse = range []string{"file", "folder"} {
		if err := claim(); !errors.Is(err, ErrSequences) {
			t.Errorf("the %s was not forced: %v", refuse, err)
		}
	}
}
