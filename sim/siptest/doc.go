// Package siptest has what the tests of several SIP packages need: messages and session descriptions, the messages of
// RFC 4475, golden files.
package siptest
