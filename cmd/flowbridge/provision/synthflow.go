package provision

import (
	"context"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/synthflow"
)

// synthflowCLI is the connection with what only Synthflow has.
type synthflowCLI struct {
	*connection
	assistantsPath string
}

// Synthflow is `flowbridge synthflow`.
func Synthflow() *cobra.Command {
	c := cli.Group("synthflow", "Set up numbers and agents at Synthflow",
		"Set up numbers and agents at Synthflow by its API. The token is read from a file or a variable of the\n"+
			"environment, never from the command line. Nothing is sent with --dry-run.",
		"  flowbridge synthflow number list --workspace-id W --token-file token\n"+
			"  flowbridge synthflow assistant list --region eu")
	s := &synthflowCLI{connection: newConnection(c, config.KindSynthflow, config.SynthflowRegions(), "SYNTHFLOW_TOKEN")}
	c.PersistentFlags().StringVar(&s.assistantsPath, "assistants-path", synthflow.DefaultAssistantsPath, "path of agents below the API's base URL")
	assistants := s.assistants().command()
	assistants.AddCommand(s.attachCommand())
	c.AddCommand(s.numbers().command(), assistants, s.setupCommand())
	return c
}

// account opens the account. secrets are those of the next request.
func (s *synthflowCLI) account(a access, secrets []string) (*synthflow.Account, error) {
	account, err := synthflow.NewAccount(synthflow.AccountOptions{
		BaseURL: a.api, Token: a.token, WorkspaceID: a.workspace, AssistantsPath: s.assistantsPath, UserAgent: cli.UserAgent(),
		Secrets: secrets, Transport: a.transport,
	})
	if err != nil {
		return nil, cli.Usage("%w", err)
	}
	return account, nil
}

// needWorkspace is an error without a workspace.
func needWorkspace(a access) error {
	if a.workspace == "" {
		return cli.Usage("--workspace-id is needed: it is in the platform's workspace settings")
	}
	return nil
}

// silent adapts a request that is not answered with the object.
func silent(request func(context.Context, string) error) func(context.Context, string) (rest.Object, error) {
	return func(ctx context.Context, id string) (rest.Object, error) { return nil, request(ctx, id) }
}
