package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
	"flowbridge/sim"
	"flowbridge/sim/platform"
)

// simulatePlatforms returns the commands for the stand-ins that need only a description of their platform.
func simulatePlatforms() (all []*cobra.Command) {
	for _, of := range platform.Descriptions() {
		all = append(all, simulatePlatformCommand(&of))
	}
	return append(all, simulateHTTPCommand())
}

// simulateHTTPCommand returns the command for the stand-in for any other platform, of kind http. The operator
// supplies its answer.
func simulateHTTPCommand() *cobra.Command {
	of := platform.AnyHTTP(nil, http.StatusOK, "")
	c := simulatePlatformCommand(&of)
	c.Long = "A stand-in for any platform of kind http. Its API answers every request with the JSON object of --answer, whose texts\n" +
		"may have {id} (an id that is new for each request), {sip} (the agent's address) and {body.NAME} (a member of the\n" +
		"request). Its agent takes every INVITE, greets, and repeats what it heard when the caller pauses. RTP may be encrypted.\n\n" +
		faultHelp
	c.Example = "  flowbridge simulate http --answer answer.json\n" +
		`  echo '{"call": {"id": "{id}"}, "to": "{body.to}"}' | flowbridge simulate http --answer - --status 201`
	f := c.Flags()
	answer := f.String("answer", "", "file with the API's answer, a JSON object, or - for standard input")
	f.IntVar(&of.API.Status, "status", of.API.Status, "status of the answer to a POST, 200 to 299")
	f.StringVar(&of.API.TokenIn, "token-in", "", "header that has the token (default Authorization: Bearer)")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if *answer == "" {
			return cli.Usage("--answer is missing: name a file with the API's answer, a JSON object")
		}
		if of.API.Status < 200 || of.API.Status > 299 {
			return cli.Usage("--status %d: 200 to 299; --fault makes the API fail", of.API.Status)
		}
		text, err := cli.ReadText(c, *answer)
		if err != nil {
			return cli.Usage("--answer: %w", err)
		}
		body, err := rest.ParseObject(text)
		if err != nil {
			return cli.Usage("--answer %s: %w", *answer, err)
		}
		of.API.Answer = map[string]any(body)
		return nil
	}
	return c
}

func simulatePlatformCommand(of *platform.Description) *cobra.Command {
	c := cli.Command(of.Name, of.Title, platformLong(of),
		"  flowbridge simulate "+of.Name+"\n  flowbridge targets profiles "+of.Name+"\n  flowbridge simulate "+of.Name+
			" --fault status:480")
	var o platform.Options
	var fault, ca string
	var asJSON bool
	f := c.Flags()
	if of.API != nil {
		f.StringVar(&o.HTTPListen, "http", "127.0.0.1:8090", "address of the HTTP API")
		f.StringVar(&o.Token, "token", platform.DefaultToken, "token that the API asks for")
	}
	if of.Asks != nil {
		f.StringVar(&o.Webhook.URL, "webhook", "",
			"URL that is asked while a call rings (default every call is taken as accepted)")
		f.StringVar(&o.Webhook.Secret, "webhook-secret", platform.DefaultWebhookSecret,
			"secret that the question is signed with")
		f.StringVar(&o.HTTPListen, "http", "127.0.0.1:8090",
			"address of the HTTP API that accepts and rejects calls, with --webhook")
		f.StringVar(&o.Token, "token", platform.DefaultToken, "token that the API asks for")
	}
	f.StringVar(&o.SIPListen, "sip", "127.0.0.1:5070", "address of the SIP agent")
	f.StringVar(&o.Transport, "transport", strings.ToLower(of.Agent.Transports[0]),
		"transport of the agent: "+strings.ToLower(strings.Join(of.Agent.Transports, ", ")))
	if of.Agent.Digest {
		f.StringVar(&o.Auth.User, "sip-user", platform.DefaultUser, "digest user that the agent asks for")
		f.StringVar(&o.Auth.Password, "sip-password", platform.DefaultPassword, "and the password")
	}
	if of.Agent.SecretIn != "" {
		f.StringVar(&o.Secret, "secret", platform.DefaultSecret, "what the header "+of.Agent.SecretIn+" has to have")
	}
	if of.Agent.User != nil {
		f.StringVar(&o.Number, "number", "", "the one user part that is let in (default any that looks right)")
	}
	f.StringVar(&ca, "ca-file", "", "write the certificate of the agent there, for tls.ca of a target")
	standInFlags(f, &o.AnswerAfter, &o.EchoDelay, &o.RingFor, &fault, &asJSON)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var err error
		takeFreePorts(c.Flags())
		if o.Fault, err = sim.ParseFault(fault); err != nil {
			return cli.Usage("%w", err)
		}
		return standIn(c, asJSON, func(ctx context.Context, log zerolog.Logger) (*platform.Platform, error) {
			o.Log = log
			return platform.Start(ctx, *of, o)
		}, func(out io.Writer, s *platform.Platform) error { return announcePlatform(out, s, ca, asJSON) })
	}
	return c
}

const faultHelp = "--fault makes it misbehave; D is a duration such as 5s, N a SIP status:\n" + sim.FaultUsage + "."

// platformLong says what a stand-in checks.
func platformLong(of *platform.Description) string {
	var b strings.Builder
	fmt.Fprintf(&b, "A stand-in for a platform: %s. It is as strict as the platform's documentation:\n\n    %s\n\n",
		of.Title, of.Source)
	if of.API != nil {
		fmt.Fprintf(&b, "The API takes %s with the members that are documented, and answers with the id of a call.\n",
			of.API.Route)
	}
	if of.Asks != nil {
		b.WriteString("With --webhook it asks there, signed, about each call that rings, and answers when its API is told to by one of these:\n")
		for _, q := range of.Asks.Questions {
			fmt.Fprintf(&b, "  %s: POST %s/accept or /reject\n", q.Event, q.Path)
		}
	}
	user := of.Agent.UserIs
	if of.Agent.User == nil {
		user = "such an id, once, within " + of.API.Lifetime.String()
	}
	fmt.Fprintf(&b, "An INVITE comes over %s. The user part of its Request-URI is %s.\n",
		strings.Join(of.Agent.Transports, ", "), user)
	if of.Agent.Digest {
		b.WriteString("It is challenged (401).\n")
	}
	if of.Agent.SecretIn != "" {
		fmt.Fprintf(&b, "It has the secret in %s, spelled so; else it gets 403.\n", of.Agent.SecretIn)
	}
	switch of.Agent.SRTP {
	case sim.SRTPRequired:
		b.WriteString("Its RTP is encrypted (SRTP, AES_CM_128_HMAC_SHA1_80); else it gets 488.\n")
	case sim.SRTPOptional:
		b.WriteString("Its RTP may be encrypted (SRTP, AES_CM_128_HMAC_SHA1_80).\n")
	}
	b.WriteString("The agent plays a greeting, and repeats what it heard when the caller pauses.\n\n" + faultHelp)
	return b.String()
}

// announcePlatform prints the addresses of a platform, and writes its certificate.
func announcePlatform(out io.Writer, s *platform.Platform, ca string, asJSON bool) error {
	at, transport := s.SIPAddr()
	switch {
	case ca != "" && s.CA() == nil:
		return errors.New("--ca-file: there is a certificate with --transport tls only")
	case ca != "":
		if err := os.WriteFile(ca, s.CA(), 0o644); err != nil { //nolint:gosec // a certificate is public
			return err
		}
	}
	if asJSON {
		return json.NewEncoder(out).
			Encode(map[string]string{"api": s.APIURL(), "sip": at, "transport": strings.ToLower(transport)})
	}
	if s.APIURL() != "" {
		fmt.Fprintf(out, "API   %s\n", s.APIURL())
	}
	_, err := fmt.Fprintf(out, "agent sip:%s over %s\n", at, transport)
	return err
}
