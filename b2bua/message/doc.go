// Package message is the text of SIP: how a message's bytes are scanned before
// anything is parsed, how headers, addresses, numbers and bodies are read and
// written, and which tags, branches and nonces are ours. It knows no dialog and
// no call.
//
// A message is read twice by the same functions. Scan goes through its raw bytes
// once, without allocation, and says what is wrong with it; NewParser gives the
// library's parser with readers of this package, so that both read alike. A
// header that can't be read does not cost the message: SpoiledIn names it, and
// only what needs that header refuses.
package message
