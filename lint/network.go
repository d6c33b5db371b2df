package lint

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// writesResolver are words of packages and files that bring a system
// /etc/resolv.conf: systemd-resolved, resolvconf and openresolv, and what
// writes the file by itself.
var writesResolver = []string{"resolv", "network-manager", "connman", "dhcpcd"}

// noNameServer looks for systemd-networkd in Debian, where it is a part of
// systemd and systemd-resolved is a package of its own.
func noNameServer(p *pass) {
	for _, at := range p.m.Pipelines {
		fromNothing := slices.ContainsFunc(at.Stages, func(s *manifest.Stage) bool { return s.Type == debootstrapStage })
		if !fromNothing || slices.ContainsFunc(at.Stages, func(s *manifest.Stage) bool { return hasWord(s.Options, writesResolver) }) {
			continue
		}
		for _, s := range at.Stages {
			if s.Type != "org.osbuild.systemd" {
				continue
			}
			var o struct {
				Enabled []string `json:"enabled_services"`
			}
			decode(s, &o)
			if slices.Contains(o.Enabled, "systemd-networkd") || slices.Contains(o.Enabled, "systemd-networkd.service") {
				p.atOption(at, s, []string{"enabled_services"}, "systemd-networkd writes no /etc/resolv.conf, so the system finds no name server: "+
					"add the package systemd-resolved to the stage %s", aptStage)
			}
		}
	}
}

func hasWord(options json.RawMessage, words []string) bool {
	text := string(options)
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
}
