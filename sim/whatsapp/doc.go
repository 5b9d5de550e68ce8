// Package whatsapp stands in for Meta: it places the call of a WhatsApp user to a business, over SIP and TLS, as Meta's
// page about WhatsApp Business Calling describes it.
//
// The audio is only Opus, with keys by DTLS and addresses by ICE (Meta's default), or with keys in SDP (SDES). With
// ICE the caller is a lite agent by the letter of RFC 8445: it is always controlled, makes no checks, and sends to the
// address that was nominated last. So the business checks, nominates, and is the client of DTLS.
//
// In one thing it is not like Meta: its Contact has its own address in place of wa.meta.vc. The business's BYE would go
// to Meta otherwise.
//
// The package shares no ICE or SDP with the product, so that it can judge it. The Opus codec is the same.
package whatsapp
