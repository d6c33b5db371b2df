package rpmdistro

import (
	"fmt"
	"slices"
	"strings"
)

// modules is the document about the streams; the default is the older one.
const modules = `---
document: modulemd
version: 2
data:
  name: example
  stream: "1"
  version: 20260101000000
  context: abcdef01
  arch: x86_64
  summary: Example tool
  description: The first stream.
  license:
    module: [MIT]
  profiles:
    common:
      rpms: [example-tool]
  artifacts:
    rpms: ["example-tool-0:1.0-1.noarch"]
...
---
document: modulemd
version: 2
data:
  name: example
  stream: "2"
  version: 20260101000000
  context: abcdef02
  arch: x86_64
  summary: Example tool
  description: The second stream.
  license:
    module: [MIT]
  profiles:
    common:
      rpms: [example-tool]
  artifacts:
    rpms: ["example-tool-0:2.0-1.noarch"]
...
---
document: modulemd-defaults
version: 1
data:
  module: example
  stream: "1"
  profiles:
    "1": [common]
    "2": [common]
...
`

// coreNames are mandatory in the group Core, beside what is essential to dpkg.
var coreNames = []string{
	"base-files",
	"base-passwd",
	"bash",
	"coreutils",
	"kernel",
	"login",
	"mount",
	"network-defaults",
	"openssh-server",
	"resolver",
	"rpm",
	"systemd-sysv",
	"udev",
	"util-linux",
}

// comps is the document about groups: Core is what a system needs. There is an
// environment and a category too, as in those of the distributions: the
// libcomps of Debian 13 crashes when it goes through an empty list of them.
func comps(packages []*Package) string {
	names := slices.Clone(coreNames)
	for _, p := range packages {
		if p.Essential {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	var core strings.Builder
	for _, n := range slices.Compact(names) {
		fmt.Fprintf(&core, "      <packagereq type=\"mandatory\">%s</packagereq>\n", n)
	}
	return strings.Replace(compsText, "      MANDATORY\n", core.String(), 1)
}

const compsText = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">
<comps>
  <group>
    <id>core</id>
    <name>Core</name>
    <description>Smallest possible installation</description>
    <default>true</default>
    <uservisible>false</uservisible>
    <packagelist>
      MANDATORY
      <packagereq type="default">example-data</packagereq>
      <packagereq type="optional">example-optional</packagereq>
      <packagereq type="conditional" requires="httpd">httpd-welcome</packagereq>
    </packagelist>
  </group>
  <category>
    <id>base-system</id>
    <name>Base System</name>
    <description>The base of a system</description>
    <display_order>1</display_order>
    <grouplist><groupid>core</groupid></grouplist>
  </category>
  <environment>
    <id>minimal-environment</id>
    <name>Minimal Install</name>
    <description>Basic functionality</description>
    <display_order>1</display_order>
    <grouplist><groupid>core</groupid></grouplist>
    <optionlist><groupid>core</groupid></optionlist>
  </environment>
</comps>
`
