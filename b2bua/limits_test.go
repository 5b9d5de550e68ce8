package b2bua

import "flowbridge/config"

// testLimits are the limits of a configuration that has none.
var testLimits = config.Limits{Message: 16 << 10, Headers: 128, Header: 4 << 10, Body: 12 << 10, SDP: 8 << 10}
