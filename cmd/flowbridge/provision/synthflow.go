package provision

import (
	"fmt"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/synthflow"
)

// synthflowCLI is what the commands of a Synthflow account share.
type synthflowCLI struct {
	*connection
	assistantsPath string
}

// Synthflow is `flowbridge synthflow`.
func Synthflow() *cobra.Command {
	c := &cobra.Command{
		Use:   "synthflow",
		Short: "Set up numbers and agents at Synthflow",
		Long: "Set up numbers and agents at Synthflow by its API. The token is read from a file or a variable of the\n" +
			"environment, never from the command line. Nothing is sent with --dry-run.",
		Example: "  flowbridge synthflow number list --workspace-id W --token-file token\n" +
			"  flowbridge synthflow assistant list --region eu",
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	s := &synthflowCLI{connection: newConnection(c, config.KindSynthflow, config.SynthflowRegions(), "SYNTHFLOW_TOKEN")}
	c.PersistentFlags().StringVar(&s.assistantsPath, "assistants-path", synthflow.DefaultAssistantsPath, "path of agents below the API's base URL")
	c.AddCommand(s.numberCommand(), s.assistantCommand(), s.setupCommand())
	return c
}

// account opens the account. secrets are those of the request to come.
func (s *synthflowCLI) account(c *cobra.Command, secrets []string) (*synthflow.Account, error) {
	a, err := s.open(c)
	if err != nil {
		return nil, err
	}
	return s.accountAt(a, secrets)
}

func (s *synthflowCLI) accountAt(a access, secrets []string) (*synthflow.Account, error) {
	account, err := synthflow.NewAccount(synthflow.AccountOptions{
		BaseURL: a.api, Token: a.token, WorkspaceID: a.workspace, AssistantsPath: s.assistantsPath, UserAgent: cli.UserAgent(),
		Secrets: secrets, Transport: a.transport,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cli.ErrUsage, err)
	}
	return account, nil
}

// inWorkspace takes the workspace from the target where the command line does not name it, and wants one.
func (s *synthflowCLI) inWorkspace(c *cobra.Command) (access, error) {
	a, err := s.open(c)
	if err != nil {
		return a, err
	}
	if a.workspace == "" {
		return a, fmt.Errorf("%w: --workspace-id is needed: it is in the platform's workspace settings", cli.ErrUsage)
	}
	return a, nil
}
