// Command serve serves the output of package rpmdistro on loopback, so that a
// manifest can be tried by hand, until it is interrupted.
package main

import (
	"fmt"
	"os"
	"os/signal"

	"github.com/osbuildkit/osbuildkit/test"
	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: serve DIRECTORY")
		os.Exit(2)
	}
	s, err := test.StartRPMServer(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, repo := range []string{rpmdistro.Base, rpmdistro.NextState, rpmdistro.Broken} {
		fmt.Printf("%s\n  %s\n  %s\n  %s\n", repo, s.Metalink(repo), s.Mirrorlist(repo), s.BaseURL(test.RPMMirrors[0], repo))
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	<-stop
	s.Close()
}
