package api

// version is the distribution's version; the build sets it with -ldflags -X.
var version = "unknown"

// Version tells which version of the distribution this library was built for.
func Version() string { return version }
