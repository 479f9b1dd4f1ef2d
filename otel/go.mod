module github.com/celeriant/celeriant-go/otel

go 1.26.0

require github.com/celeriant/celeriant-go v0.0.0

replace github.com/celeriant/celeriant-go => ..
