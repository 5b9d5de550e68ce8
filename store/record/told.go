package record

// Told is what a caller was told before the agent was connected (routes[].tell). It says what was sent to the caller,
// which is not always what the caller heard.
type Told struct {
	// Sound is the name of the statement in the configuration's sounds.
	Sound string `json:"sound"`
	// SHA256 is the hash of the statement's samples as they were configured, in hexadecimal.
	SHA256 string `json:"sha256"`
	// Language is the sound's name, as the route's template has chosen it.
	Language string `json:"language"`
	// FromMS and ToMS are when its first packet and its last one were sent, in milliseconds after the call's start.
	FromMS int64 `json:"from_ms"`
	ToMS   int64 `json:"to_ms"`
	// Whole says that every frame of the statement was sent, in one piece and in order.
	Whole bool `json:"whole"`
	// TalkedOver says that the caller spoke during the statement.
	TalkedOver bool `json:"talked_over"`
	// Key is the key that the caller pressed to answer the statement. It is empty if none was asked for or pressed.
	Key string `json:"key"`
	// Accepted says whether that key is the one that accepts, after the whole statement. It is nil if none was asked
	// for, or if the statement was not said to its end.
	Accepted *bool `json:"accepted,omitempty"`
	// Packets is the number of packets of the statement that were sent.
	Packets int64 `json:"packets"`
	// Lost is how many packets the caller's RTCP reports as lost during the statement. It is nil without such reports.
	Lost *int64 `json:"lost"`
}

// Counts reports whether the caller was told: the whole statement was sent, and accepted where a key was asked for.
func (t *Told) Counts() bool { return t.Whole && (t.Accepted == nil || *t.Accepted) }
