package sqlstore_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/internal/storefaults"
)

// A file that may not grow refuses a save as a whole, with an error that passes, and
// takes it once there is room.
func TestSQLiteIsFull(t *testing.T) {
	t.Parallel()
	d := database{sqlstore.SQLite, "sqlite", sqliteSource(filepath.Join(t.TempDir(), "app.db"), "OFF")}
	db := d.open(t)
	db.SetMaxOpenConns(1) // which has the limit
	s := d.store(t, db)
	mustExec(t, db, "PRAGMA max_page_count = 64")
	err := storefaults.Full(t, s, func() error {
		_, err := db.ExecContext(t.Context(), "PRAGMA max_page_count = 100000")
		return err
	})
	if !s.Passing(err) || !strings.Contains(err.Error(), "full") {
		t.Errorf("saving to a full file: %v, want an error that says so and passes", err)
	}
}
