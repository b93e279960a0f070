// Package api is the facade that gopy binds for Python: package-level functions
// over integer handles, strings and object addresses. It converts and forwards;
// it decides nothing.
package api
