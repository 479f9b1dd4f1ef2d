package quick

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	call = regexp.MustCompile(`(?s)quick\.LeaveOut\((.*?)\)`)
	name = regexp.MustCompile(`"(\w+)"`)
	test = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// A test that was renamed would come back into the inner loop unnoticed.
func TestWhatIsLeftOutExists(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		files, err := filepath.Glob(filepath.Join(path, "*_test.go"))
		if err != nil {
			return err
		}
		left, there := map[string]bool{}, map[string]bool{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			for _, m := range test.FindAllSubmatch(text, -1) {
				there[string(m[1])] = true
			}
			for _, c := range call.FindAllSubmatch(text, -1) {
				for _, m := range name.FindAllSubmatch(c[1], -1) {
					left[string(m[1])] = true
				}
			}
		}
		for name := range left {
			seen++
			if !there[name] {
				t.Errorf("%s leaves out %s, which it does not have", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("no test is left out anywhere")
	}
}
