// Package siptest holds helpers for the tests of several SIP packages: messages and session descriptions, the
// messages of RFC 4475, golden files.
package siptest
