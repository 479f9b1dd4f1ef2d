//go:build (postgres || mariadb) && !linux

package sqlstore_test

import "syscall"

// serverAccount returns how to start the server: as whoever runs the test.
func serverAccount(string, syscall.Signal) (*syscall.SysProcAttr, error) { return nil, nil }
