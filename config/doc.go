// Package config reads flowbridge.yaml into typed, checked values.
//
// The words are those of the file: a Trunk is a carrier or PBX we peer with, a
// Target is a platform or SIP address we call, a Route says which call goes to
// which targets.
//
//	bytes ─▶ YAML nodes ─▶ ${NAME} from the environment ─▶ typed tree with defaults
//	                                                        │
//	                       all errors at once, by line  ◀───┴── rules between the sections
//
// Every value keeps the node it was read from until the end, so that each error
// names file, line and key path, and says what to do. An error never shows what
// a variable of the environment or a secret file contains.
//
// A Config is not changed after it was parsed and may be read by any goroutine.
// The package imports nothing of this module.
package config
