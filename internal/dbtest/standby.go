package dbtest

import (
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
)

// Standby starts a replica that follows the server in its own time, with a copy of its
// cluster. Its files are removed with the server's.
func (p *Postgres) Standby() (*Postgres, error) {
	_, postgres, _ := findBinaries()
	folder, err := filepath.EvalSymlinks(postgres)
	if err != nil {
		return nil, err
	}
	backup := filepath.Join(filepath.Dir(folder), "pg_basebackup")
	cluster := filepath.Join(p.folder, "standby")
	copying := exec.Command(backup, "-D", cluster, "-h", "127.0.0.1", "-p", p.port, "-U", "postgres", "-R", "-X", "stream", "--checkpoint=fast", "--no-sync")
	copying.Dir, copying.SysProcAttr = p.folder, p.account
	if out, err := copying.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", backup, err, out)
	}
	return servePostgres(postgres, p.folder, cluster, p.account, nil)
}

// Either is a source for whichever of two servers takes writes.
func Either(a, b *Postgres) (string, error) {
	u, err := url.Parse(a.Source)
	if err != nil {
		return "", err
	}
	u.Host = "127.0.0.1:" + a.port + ",127.0.0.1:" + b.port
	return WithParameter(u.String(), "target_session_attrs", "read-write"), nil
}
