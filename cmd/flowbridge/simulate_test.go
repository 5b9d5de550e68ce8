package main

import (
	"net"
	"testing"

	"github.com/spf13/pflag"
)

// A stand-in goes to the next free port, over TCP and UDP, but never from one that it was told.
func TestTakeFreePorts(t *testing.T) {
	taken, err := net.Listen("tcp", apart+":0")
	must(t, err)
	defer taken.Close()
	at := taken.Addr().String()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	http := flags.String("http", at, "")
	sip := flags.String("sip", "127.0.0.1:1", "")
	must(t, flags.Parse([]string{"--sip", at}))
	takeFreePorts(flags)
	if *http == at || *sip != at {
		t.Errorf("http %s, sip %s; %s is taken", *http, *sip, at)
	}
	free, err := net.Listen("tcp", *http)
	must(t, err)
	free.Close()
}
