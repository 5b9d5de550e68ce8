// Package agreement is what both sides of a call have agreed on: descriptions, codecs, and
// what each side may send.
package agreement
