// Package flowbridge has the documents, for the program: only a file in this directory can embed README.md.
package flowbridge

import "embed"

// Documents are the documents of this version, by their paths in the repository.
//
//go:embed README.md ARCHITECTURE.md SECURITY.md docs/*.md docs/*/*.md
var Documents embed.FS

// Changelog is CHANGELOG.md: its newest heading is the last release.
//
//go:embed CHANGELOG.md
var Changelog string
