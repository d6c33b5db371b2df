// The program of the steps that the tests of package engine build.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch args[0] {
	case "write": // write FILE TEXT
		return os.WriteFile(args[1], []byte(args[2]), 0o644)
	case "interfaces": // interfaces FILE: how many there are beside lo
		// Two lines of heading, then one line each; lo is always there.
		data, err := os.ReadFile("/proc/net/dev")
		if err != nil {
			return err
		}
		n := strings.Count(strings.TrimSpace(string(data)), "\n") - 2
		return os.WriteFile(args[1], fmt.Appendf(nil, "%d", n), 0o644)
	case "reach": // reach FILE ADDRESS...: which of them can be connected to, and the interfaces
		return os.WriteFile(args[1], []byte(reach(args[2:])), 0o644)
	case "state": // state FILE: what the step has inherited
		data, err := state()
		if err != nil {
			return err
		}
		return os.WriteFile(args[1], data, 0o644)
	case "sleep": // sleep: until it is killed
		fmt.Println("sleeping")
		time.Sleep(time.Hour)
	}
	return fmt.Errorf("unknown command %q", args)
}

// reach connects to addresses, and names those that answer and the interfaces that
// are up.
func reach(addresses []string) string {
	var found []string
	for _, a := range addresses {
		if c, err := net.DialTimeout("tcp", a, 5*time.Second); err == nil {
			c.Close()
			found = append(found, a)
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		found = append(found, err.Error())
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp != 0 {
			found = append(found, i.Name)
		}
	}
	return strings.Join(found, " ")
}
