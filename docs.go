// Package flowbridge embeds the documents for the program. Only a file in this directory can embed
// README.md.
package flowbridge

import "embed"

// Documents holds the documents of this version under their paths in the repository.
//
//go:embed README.md ARCHITECTURE.md SECURITY.md docs/*.md docs/*/*.md
var Documents embed.FS

// Changelog is the text of CHANGELOG.md. Its newest heading is the last release.
//
//go:embed CHANGELOG.md
var Changelog string
