package provision

import (
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/vapi"
)

// Vapi is `flowbridge vapi`.
func Vapi() *cobra.Command {
	c := cli.Group("vapi", "Set up assistants and SIP phone numbers at Vapi",
		"Set up assistants and SIP phone numbers at Vapi by its API. The token, a private key, is read from a file or a\n"+
			"variable of the environment, never from the command line. Nothing is sent with --dry-run.",
		"  flowbridge vapi assistant list --token-file key\n  flowbridge vapi number list --region eu")
	o := newConnection(c, config.KindVapi, config.VapiRegions(), "VAPI_TOKEN")
	c.AddCommand(vapiAssistants(o).command(), vapiNumbers(o).command())
	return c
}

// openVapi opens the account. secrets are those of the request to come.
func openVapi(a access, secrets []string) (*vapi.Account, error) {
	account, err := vapi.NewAccount(vapi.AccountOptions{
		BaseURL: a.api, Token: a.token, UserAgent: cli.UserAgent(), Secrets: secrets, Transport: a.transport,
	})
	if err != nil {
		return nil, cli.Usage("%w", err)
	}
	return account, nil
}
