"""Builds the native module: gopy's bindings of go/api, as one shared object.

Three steps, one file each: `toolchain` refuses what cannot work with a sentence,
`bindings` generates and adapts the sources, `library` compiles and links them.
`backend` is the entry of pip and other build front ends, setup.py that of setuptools.
"""

MODULE = "fraiseql_subscriptions._native"
GO_PACKAGE = "github.com/fraiseql/fraiseql-subscriptions/go/api"
