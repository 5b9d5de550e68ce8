package record

// Report is a platform's report of a call after the call's end.
type Report struct {
	// CallID is the platform's id of the call. For a prepared call it is Record.SynthflowCallID.
	CallID string `json:"call_id"`
	// Status is the platform's word for the result: completed, failed …
	Status string `json:"status"`
	// EndReason is why the call ended, in the platform's words.
	EndReason string `json:"end_reason"`
	// DurationMS is the call's duration according to the platform.
	DurationMS int64 `json:"duration_ms"`
	// ExternalID is the id that we, or the caller, gave the platform.
	ExternalID string `json:"external_id"`
	ReceivedAt Time   `json:"received_at"`
	// Confirmed says that the report comes from the platform's API, or came with a secret that vouches for all of it.
	// Otherwise it comes from a webhook whose signature covers only the call's id.
	Confirmed bool `json:"confirmed"`
}
