package live

import (
	"cmp"
	"slices"

	"flowbridge/store/record"
)

// Trouble is something that is not well at a node. The page, flowbridge status, /api, /metrics and /readyz show the
// same list.
type Trouble struct {
	// Code is one of TroubleKinds.
	Code string `json:"code"`
	// Of is the name of the target, trunk, route, webhook, file or part. It is empty if the node has only one.
	Of string `json:"of"`
	// Severity is SeverityBad or SeverityWarn.
	Severity string      `json:"severity"`
	Since    record.Time `json:"since"`
	// Text says what is wrong, and where to look.
	Text string `json:"text"`
	// NotReady says that /readyz answers 503.
	NotReady bool `json:"not_ready"`
}

// These are the values of Trouble.Severity.
const (
	SeverityBad  = "bad"  // callers suffer, or calls and records are at risk
	SeverityWarn = "warn" // look at it today
)

// These are the values of Trouble.Code.
const (
	TroubleDraining      = "draining"
	TroubleMemory        = "memory"
	TroubleNoCPU         = "no_cpu"
	TroubleRecords       = "records"
	TroubleSetAside      = "database_set_aside"
	TroubleStalled       = "stalled"
	TroubleStoodStill    = "stood_still"
	TroubleNoCertificate = "no_certificate"
	TroubleCertificate   = "certificate"
	TroubleRegistration  = "registration"
	TroubleRefusing      = "target_refusing"
	TroubleFailing       = "target_failing"
	TroubleUnknown       = "target_unknown"
	TroubleAnswers       = "answers"
	TroubleCallsRefused  = "calls_refused"
	TroubleTranscoders   = "transcoders"
	TroublePorts         = "ports"
	TroubleOneWay        = "one_way"
	TroubleSilent        = "silent"
	TroubleCutOff        = "cut_off"
	TroubleLoss          = "loss"
	TroubleQuality       = "quality"
	TroubleUnprotected   = "calls_unprotected"
	TroubleNodesVanished = "nodes_vanished"
	TroubleFleet         = "fleet"
	TroubleRecordings    = "recordings"
	TroubleLadders       = "ladders"
	TroubleWebhook       = "webhook"
	TroubleReload        = "reload"
	TroubleSplitPinned   = "split_pinned"
)

// TroubleKind is a kind of trouble.
type TroubleKind struct {
	Code, Severity string
	NotReady       bool
	// Alert is the rule of contrib/prometheus that fires.
	Alert string
}

// troubleKinds are all kinds, the most urgent first. docs/runbook.md has the same rows.
var troubleKinds = []TroubleKind{
	{TroubleStalled, SeverityBad, false, "FlowbridgeStalled"},
	{TroubleRecords, SeverityBad, true, "FlowbridgeRecordsNotWritten"},
	{TroubleMemory, SeverityBad, true, "FlowbridgeMemoryScarce"},
	{TroubleNoCPU, SeverityBad, false, "FlowbridgeNoCPU"},
	{TroubleNoCertificate, SeverityBad, false, "FlowbridgeCertificateEnds"},
	{TroubleRegistration, SeverityBad, false, "FlowbridgeRegistrationFails"},
	{TroubleRefusing, SeverityBad, false, "FlowbridgeTargetRefusing"},
	{TroubleFailing, SeverityBad, false, "FlowbridgeTargetFailing"},
	{TroubleCallsRefused, SeverityBad, false, "FlowbridgeCallsRefused"},
	{TroubleTranscoders, SeverityBad, false, "FlowbridgeTranscodersRefused"},
	{TroublePorts, SeverityBad, false, "FlowbridgePortsNearlyUsed"},
	{TroubleAnswers, SeverityBad, false, "FlowbridgeAnswerRatioLow"},
	{TroubleOneWay, SeverityBad, false, "FlowbridgeOneWayAudio"},
	{TroubleSilent, SeverityBad, false, "FlowbridgeSilentAudio"},
	{TroubleCutOff, SeverityBad, false, "FlowbridgeCallsCutOff"},
	{TroubleLoss, SeverityBad, false, "FlowbridgePacketLoss"},
	{TroubleQuality, SeverityBad, false, "FlowbridgeQualityLow"},
	{TroubleNodesVanished, SeverityBad, false, "FlowbridgeNodeVanished"},
	{TroubleUnprotected, SeverityBad, false, "FlowbridgeCallsUnprotected"},
	{TroubleFleet, SeverityBad, false, "FlowbridgeFleetAway"},
	{TroubleDraining, SeverityWarn, true, "FlowbridgeDraining"},
	{TroubleStoodStill, SeverityWarn, false, "FlowbridgeStoodStill"},
	{TroubleUnknown, SeverityWarn, false, "FlowbridgeTargetUnknown"},
	{TroubleCertificate, SeverityWarn, false, "FlowbridgeCertificateExpires"},
	{TroubleSetAside, SeverityWarn, false, "FlowbridgeDatabaseSetAside"},
	{TroubleRecordings, SeverityWarn, false, "FlowbridgeRecordingsOff"},
	{TroubleLadders, SeverityWarn, false, "FlowbridgeLaddersDropped"},
	{TroubleWebhook, SeverityWarn, false, "FlowbridgeWebhookFailing"},
	{TroubleReload, SeverityWarn, false, "FlowbridgeReloadFailed"},
	{TroubleSplitPinned, SeverityWarn, false, "FlowbridgeSplitPinned"},
}

// TroubleKinds returns all kinds of trouble, the most urgent first.
func TroubleKinds() []TroubleKind { return slices.Clone(troubleKinds) }

// SortTroubles fills in what the kind of each trouble says, and sorts them, the most urgent first.
func SortTroubles(all []Trouble) {
	rank := func(t Trouble) int {
		return slices.IndexFunc(troubleKinds, func(k TroubleKind) bool { return k.Code == t.Code })
	}
	for i := range all {
		k := troubleKinds[rank(all[i])]
		all[i].Severity, all[i].NotReady = k.Severity, k.NotReady
	}
	slices.SortStableFunc(all, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Of, b.Of))
	})
}
