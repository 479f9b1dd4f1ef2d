module github.com/celeriant/celeriant-go/checkpoint/bboltstore

go 1.26.0

require (
	github.com/celeriant/celeriant-go v0.0.0
	go.etcd.io/bbolt v1.4.3
	go.uber.org/goleak v1.3.0
)

require (
	github.com/klauspost/cpuid/v2 v2.2.10 // indirect
	github.com/zeebo/xxh3 v1.1.0 // indirect
	golang.org/x/sync v0.20.0 // indirect
	golang.org/x/sys v0.44.0 // indirect
)

replace github.com/celeriant/celeriant-go => ../..
