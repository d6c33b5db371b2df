package stages

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// FirewallOptions are the options of org.osbuild.firewall.
type FirewallOptions struct {
	// Ports to open in the default zone, each a number, a range or a name of
	// etc/services, and a protocol: 8080:tcp, 6000-6010:udp, ssh:tcp.
	Ports []FirewallPort `json:"ports,omitempty"`
	// Services to allow in the default zone, by firewalld's names for them.
	EnabledServices []string `json:"enabled_services,omitempty"`
	// Services to take out of the default zone.
	DisabledServices []string `json:"disabled_services,omitempty"`
	// The zone of interfaces that are in no other one. The options above are
	// about this zone.
	DefaultZone string `json:"default_zone,omitempty"`
	// Zones that get sources. A zone that firewalld does not have is made.
	Zones []FirewallZone `json:"zones,omitempty" jsonschema:"minItems=1"`
}

// FirewallPort is a port or a range of ports, and its protocol.
type FirewallPort string

// JSONSchemaText returns the JSON schema of a FirewallPort.
func (FirewallPort) JSONSchemaText() string {
	return `{"type": "string", "pattern": ".:(tcp|udp|sctp|dccp)$"}`
}

// FirewallZone is one zone of a firewall.
type FirewallZone struct {
	// The name of the zone.
	Name string `json:"name" jsonschema:"required,pattern=^[A-Za-z0-9_-]+$"`
	// The addresses, networks or sets of addresses whose packets belong to it.
	Sources []string `json:"sources" jsonschema:"required"`
}

// firewallStage has firewall-offline-cmd of the tree change the configuration
// of firewalld, in the order of osbuild: the default zone, then ports and
// services in one call, then the zones. Decided otherwise:
//
//   - Where no port and no service is given, the call for them is left out:
//     without options the program looks for a configuration of
//     system-config-firewall to convert, as it did in osbuild of 2019.
//   - The log that the program writes into the tree, which holds the time, is
//     not kept.
var firewallStage = module.Module{
	Name:    "org.osbuild.firewall",
	Kind:    module.Stage,
	Sandbox: module.Inside,
	Group:   module.GroupStages,
	Ledger:  module.LedgerWrite,
	Summary: "configure firewalld",
	Options: optionsOf[FirewallOptions],
	Check:   checkOf[FirewallOptions],
	Run:     insideOf(runFirewall),
}

var (
	firewallPort = regexp.MustCompile(`^[A-Za-z0-9_.+-]+:(tcp|udp|sctp|dccp)$`)
	firewallName = regexp.MustCompile(`^[A-Za-z0-9_.+@-]+$`)
	firewallZone = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

func (o *FirewallOptions) check() []module.Problem {
	var problems []module.Problem
	bad := func(at, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: at, Message: fmt.Sprintf(format, args...)})
	}
	for i, p := range o.Ports {
		if !firewallPort.MatchString(string(p)) {
			bad(fmt.Sprintf("/ports/%d", i), "%s is no port: write it as 8080:tcp or 6000-6010:udp", quote(string(p)))
		}
	}
	for key, list := range map[string][]string{"/enabled_services": o.EnabledServices, "/disabled_services": o.DisabledServices} {
		for i, s := range list {
			if !firewallName.MatchString(s) {
				bad(fmt.Sprintf("%s/%d", key, i), "%s is not the name of a service", quote(s))
			}
		}
	}
	if o.DefaultZone != "" && !firewallZone.MatchString(o.DefaultZone) {
		bad("/default_zone", "%s is not the name of a zone", quote(o.DefaultZone))
	}
	zoneOf := map[string]string{}
	for i, z := range o.Zones {
		at := fmt.Sprintf("/zones/%d", i)
		if !firewallZone.MatchString(z.Name) {
			bad(at+"/name", "%s is not the name of a zone", quote(z.Name))
		}
		for j, s := range z.Sources {
			if s == "" || strings.ContainsAny(s, " \t") || hasControl(s) {
				bad(fmt.Sprintf("%s/sources/%d", at, j), "%s is not an address, a network or ipset:NAME", quote(s))
			}
			if other, taken := zoneOf[s]; taken && other != z.Name {
				bad(fmt.Sprintf("%s/sources/%d", at, j), "%s is a source of the zone %s too, and can be of one only", quote(s), quote(other))
			}
			zoneOf[s] = z.Name
		}
	}
	return sortProblems(problems)
}

// calls are the arguments of the calls of firewall-offline-cmd but those that
// depend on which zones there are.
func (o *FirewallOptions) calls() [][]string {
	var calls [][]string
	if o.DefaultZone != "" {
		calls = append(calls, []string{"--set-default-zone=" + o.DefaultZone})
	}
	var main []string
	for _, p := range o.Ports {
		main = append(main, "--port="+string(p))
	}
	for _, s := range o.EnabledServices {
		main = append(main, "--service="+s)
	}
	for _, s := range o.DisabledServices {
		main = append(main, "--remove-service="+s)
	}
	if len(main) > 0 {
		calls = append(calls, main)
	}
	return calls
}

const (
	firewallCmd = "firewall-offline-cmd"
	firewallLog = "var/log/firewalld"
	// invalidZone is firewalld's exit code for a zone that it does not have.
	invalidZone = 112
)

func runFirewall(ctx context.Context, in *module.Input, t *tree.Root, o *FirewallOptions) error {
	if err := needProgram(in, in.Tree, firewallCmd, "firewalld"); err != nil {
		return err
	}
	logged, err := t.Exists(firewallLog)
	if err != nil {
		return err
	}
	call := func(args ...string) error {
		_, err := command.Command{Argv: append([]string{firewallCmd}, args...), Env: insideEnvironment(in), Root: in.Tree}.Run(ctx, in.Log)
		return err
	}
	for _, args := range o.calls() {
		if err := call(args...); err != nil {
			return err
		}
	}
	for _, z := range o.Zones {
		err := call("--info-zone=" + z.Name)
		if command.ExitCode(err) == invalidZone {
			err = call("--new-zone=" + z.Name)
		}
		if err != nil {
			return err
		}
		args := []string{"--zone=" + z.Name}
		for _, s := range z.Sources {
			args = append(args, "--add-source="+s)
		}
		if len(z.Sources) > 0 {
			err = call(args...)
		}
		if err != nil {
			return err
		}
	}
	if logged {
		return nil
	}
	if err := t.Remove(firewallLog); err != nil && !missing(err) {
		return fmt.Errorf("removing the log of firewalld: %w", err)
	}
	return nil
}
