// Package config reads flowbridge.yaml into typed, checked values.
//
// It uses the words of the file: a Trunk is a carrier or PBX that calls, a Target is a platform or SIP address that is
// called, a Route says which call goes to which targets.
//
//	bytes ─▶ YAML nodes ─▶ ${NAME} from the environment ─▶ typed tree with defaults
//	                                                        │
//	                       all errors at once, by line  ◀───┴── rules between keys and sections
//
// The structs of the sections are the only declaration of the keys: a field's tag gives the key, kind, default and
// bounds, and its comment describes the key. A knob, which hardly anybody sets, has the tag knob. The reader (keys.go),
// the JSON Schema (schema.go), docs/flowbridge.schema.json and the tables of docs/configuration.md are all derived from
// them; run go generate after a change. Rules about more than one key are in the section's check.
//
// Every value keeps the YAML node it was read from, so that each error can name the file, the line and the key path.
// Each error also says what to do. An error never shows the contents of an environment variable or a secret file.
//
// A Config is not changed after parsing and may be read by any goroutine.
package config
