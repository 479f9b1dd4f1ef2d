package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/celeriant/celeriant-go/internal/diskfile"
	"github.com/celeriant/celeriant-go/msg"
)

// Folder is the folder of a node that keeps its data: one append-only file
// per shard, and the Settings the data depends on.
type Folder struct {
	path string
	lock *os.File // held as long as the folder is in use
}

// Settings are what must not change as long as the data lives.
type Settings struct {
	Format             int    `json:"format"`
	Shards             int    `json:"num_shards"`
	Routing            string `json:"routing_rule"`
	ReserveCoordinator bool   `json:"reserve_coordinator_shard"`
}

const (
	settingsFile = "node.json"
	// referenceFile is in every data folder of the reference server.
	referenceFile = "server_meta.toml"
)

// Mismatch says why a folder cannot hold the data of a node.
type Mismatch struct{ Reason string }

// Error returns the reason.
func (m *Mismatch) Error() string { return "celerianttest: " + m.Reason }

// NewSettings returns the Settings of a node in the present format.
func NewSettings(shards int, routing msg.RoutingRule, reserve bool) Settings {
	return Settings{Format: 1, Shards: shards, Routing: routing.String(), ReserveCoordinator: reserve}
}

// OpenFolder makes or reopens the folder. OpenFolder refuses one that another
// process uses, one made with other Settings, and one of the reference server.
func OpenFolder(path string, want Settings) (*Folder, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("celerianttest: making the data folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(path, referenceFile)); err == nil {
		return nil, &Mismatch{fmt.Sprintf("%s is a data folder of the reference server", path)}
	}
	lock, err := diskfile.Lock(filepath.Join(path, "lock"))
	if errors.Is(err, diskfile.ErrLocked) {
		return nil, fmt.Errorf("celerianttest: the data folder %s is in use: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("celerianttest: opening the data folder: %w", err)
	}
	f := &Folder{path: path, lock: lock}
	if err := f.settle(want); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// settle compares the settings with those on disk, or stores them in a new folder.
func (f *Folder) settle(want Settings) error {
	path := filepath.Join(f.path, settingsFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return storeSettings(path, want)
	}
	if err != nil {
		return fmt.Errorf("celerianttest: reading the Settings of the data: %w", err)
	}
	var have Settings
	if err := json.Unmarshal(text, &have); err != nil {
		return fmt.Errorf("celerianttest: reading %s: %w", path, err)
	}
	if have != want {
		return &Mismatch{fmt.Sprintf("%s was made with %+v, not %+v", f.path, have, want)}
	}
	return nil
}

// storeSettings writes a whole file or none, whenever the process dies.
func storeSettings(path string, s Settings) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("celerianttest: encoding the Settings of the data: %w", err)
	}
	draft := path + ".new"
	if err := os.WriteFile(draft, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("celerianttest: storing the Settings of the data: %w", err)
	}
	if err := os.Rename(draft, path); err != nil {
		return fmt.Errorf("celerianttest: storing the Settings of the data: %w", err)
	}
	return nil
}

// LogPath returns the path of a shard's file.
func (f *Folder) LogPath(shard int) string {
	return filepath.Join(f.path, fmt.Sprintf("shard_%d.log", shard))
}

// Close gives the folder free; the system does the same when the process dies.
func (f *Folder) Close() error { return f.lock.Close() }
