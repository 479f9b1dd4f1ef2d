module github.com/celeriant/celeriant-go

go 1.26.0
