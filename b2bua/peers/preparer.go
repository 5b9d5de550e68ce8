package peers

import "context"

// Preparer asks a platform for the id of a call, before the INVITE.
type Preparer interface {
	// Prepare keeps to the target's time limit itself. Its error is a
	// *PrepareError where the platform, or the way to it, is the reason.
	Prepare(ctx context.Context, req PrepareRequest) (Prepared, error)
}

// PrepareRequest is what a platform is told about a call.
type PrepareRequest struct {
	CallID      string // ours; the same for a retry
	FromNumber  string
	ToNumber    string
	ModelID     string
	WorkspaceID string
	Variables   []Variable
}

// Variable is one custom variable.
type Variable struct{ Name, Value string }

// Prepared is a platform's answer.
type Prepared struct {
	CallID string // the platform's id
	Shared bool   // which it has given to other calls, too
	Body   []byte // the answer as JSON
	Status int    // HTTP
}
