module github.com/celeriant/celeriant-go/internal/release

go 1.26.0

require golang.org/x/mod v0.33.0
