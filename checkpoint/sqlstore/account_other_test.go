//go:build postgres && !linux

package sqlstore_test

import "syscall"

// serverAccount returns how to start the server: as whoever runs the test.
func serverAccount(string) (*syscall.SysProcAttr, error) { return nil, nil }
