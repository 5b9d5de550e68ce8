// Package provision implements `flowbridge synthflow` and `flowbridge vapi`, which set up numbers and agents in
// accounts at platforms, and `flowbridge init`, which writes a first configuration.
//
// A resource is one kind of thing in an account. synthflow.go and vapi.go define the resources, and resource.go makes
// their commands. step.go finds, compares, creates, changes and deletes one thing: create is one step, and
// `flowbridge synthflow setup`, which sets up everything from the account to a test call, is a step for the number, one
// for the agent, and the configuration (the setup files). The init files ask questions and write a configuration;
// setup_file.go writes the file for both commands.
//
// Decisions:
//
//   - A region is a pair of an API and a SIP host (config.Region). An account of one region is unknown in another, and
//     without a check the first call would show it. So --region, --api and --sip must agree (TestAPIOfAnotherRegion,
//     TestSetupRegionOfTheAPI; TestRegions in config holds configurations to it).
//   - create changes nothing that exists. It compares instead (TestSynthflowNumber, TestSynthflowAssistant). The
//     platform's page lists and changes what is there.
//   - setup checks all flags and rehearses the configuration before it changes the account
//     (TestSetupChecksBeforeItSends).
package provision
