// Command probe is the interpreter of a test's script, whose lines are addresses. It
// writes which of them it reaches, and the interfaces that it sees.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	script, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	var reached, seen []string
	for _, a := range strings.Fields(string(script))[1:] {
		network, address, _ := strings.Cut(a, "=")
		c, err := net.DialTimeout(network, address, 20*time.Second)
		if err != nil {
			fmt.Println(err)
			continue
		}
		c.Close()
		reached = append(reached, address)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		seen = append(seen, i.Name)
	}
	if err := os.WriteFile("/etc/look.reached", []byte(strings.Join(reached, "\n")), 0o644); err != nil {
		return err
	}
	return os.WriteFile("/etc/look.interfaces", []byte(strings.Join(seen, "\n")), 0o644)
}
