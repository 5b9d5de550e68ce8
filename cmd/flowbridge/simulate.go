package main

import (
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
)

func simulateCommand() *cobra.Command {
	return cli.Group("simulate", "Stand in for a platform, or for Twilio in front of one", "",
		"  flowbridge simulate synthflow --http 127.0.0.1:8090 --sip 127.0.0.1:32681",
		simulateSynthflowCommand(), simulateTwilioCommand(), simulateVapiCommand())
}
