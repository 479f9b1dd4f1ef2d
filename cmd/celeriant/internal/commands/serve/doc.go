// Package serve holds the commands that go on running and serve others: gateway and forward.
package serve
