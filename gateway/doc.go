// Package gateway lets bots that speak Twilio Media Streams over a WebSocket take calls. It is a SIP endpoint of its
// own on a loopback address, which the B2BUA dials like any target: an INVITE becomes a socket to a bot, and audio and
// messages go both ways. So everything that the B2BUA does with a target works for a bot.
//
// Decisions:
//
//   - It is built on sipgo, pion/sdp and pion/rtp, and knows nothing of the B2BUA.
//   - What a call needs is left here before its INVITE (Order). The INVITE carries only a token, because parameters
//     should not be seen in traces of SIP.
//   - The bot's socket is dialled at the INVITE, so that CANCEL and the B2BUA's timeouts apply to it.
//   - A dialog outlives its process: what the gateway needs to continue is sealed into its Contact, which the B2BUA
//     stores with the call. A call whose Contact the B2BUA would drop is refused before its bot hears of it. The next
//     process gets the Contact back (Resume), opens a new RTP port and a new socket to the bot, and tells the B2BUA by
//     a re-INVITE. So no sockets are handed over, and there are no files. The test is TestResume.
//   - One clock sends the audio of all calls, and reads what has come for them every 5 ms: waking a goroutine costs
//     more than a packet. What is queued for a call is a value without I/O (playout), and so is what comes from the
//     caller (uplink).
//   - Pings find a bot that does not read: the buffers of TCP hold minutes of audio.
package gateway
