package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

const wholeHosts = "127.0.0.1\tlocalhost\n127.0.1.1\tweb1.example.org\tweb1\n" + hostsIPv6

func TestHostnameHosts(t *testing.T) {
	t.Parallel()
	file, link := treetest.File, treetest.Link
	const options = `{"hostname": "web1.example.org"}`
	name := treetest.Tree{"etc/hostname": file("web1.example.org\n")}
	debian := treetest.Tree{"etc/nsswitch.conf": file("passwd: files\nhosts:          files dns # myhostname\n")}
	join := func(all ...treetest.Tree) treetest.Tree {
		out := treetest.Tree{}
		for _, m := range all {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	hosts := func(text string) treetest.Tree { return treetest.Tree{"etc/hosts": file(text)} }
	minbase := treetest.Tree{"var/lib/dpkg/status": file("")}
	fedora := treetest.Tree{"etc/nsswitch.conf": file("hosts:\tfiles myhostname resolve [!UNAVAIL=return] dns\n")}
	runCases(t, "org.osbuild.hostname", []treeCase{
		{name: "no hosts", before: debian, options: options, after: join(debian, name, hosts(wholeHosts))},
		{name: "no switch but dpkg", before: minbase, options: options, after: join(minbase, name, hosts(wholeHosts))},
		{name: "empty hosts", before: join(debian, hosts("")), options: options, after: join(debian, name, hosts(wholeHosts))},
		{name: "behind localhost", before: join(debian, hosts("127.0.0.1 localhost\n10.0.0.1 gate")), options: options,
			after: join(debian, name, hosts("127.0.0.1 localhost\n127.0.1.1\tweb1.example.org\tweb1\n10.0.0.1 gate\n"))},
		{name: "no localhost", before: join(debian, hosts("10.0.0.1 gate\n")), options: options,
			after: join(debian, name, hosts("127.0.0.1\tlocalhost\n127.0.1.1\tweb1.example.org\tweb1\n10.0.0.1 gate\n"))},
		{name: "there already", before: join(debian, hosts("127.0.0.1 localhost\n10.0.0.7 WEB1.example.org # me\n")), options: options,
			after: join(debian, name, hosts("127.0.0.1 localhost\n10.0.0.7 WEB1.example.org # me\n"))},
		{name: "only in a comment", before: join(debian, hosts("127.0.0.1 localhost\n# 10.0.0.7 web1.example.org\n")), options: options,
			after: join(debian, name, hosts("127.0.0.1 localhost\n127.0.1.1\tweb1.example.org\tweb1\n# 10.0.0.7 web1.example.org\n"))},
		{name: "another name before", before: join(debian, treetest.Tree{"etc/hostname": file("old\n")}, hosts("127.0.0.1 localhost\n10.0.0.1 gate\n127.0.1.1\told\n")), options: options,
			after: join(debian, name, hosts("127.0.0.1 localhost\n10.0.0.1 gate\n127.0.1.1\tweb1.example.org\tweb1\n"))},
		{name: "a line of the author", before: join(debian, treetest.Tree{"etc/hostname": file("old\n")}, hosts("127.0.0.1 localhost\n127.0.1.1\told db.local\n")), options: options,
			after: join(debian, name, hosts("127.0.0.1 localhost\n127.0.1.1\tweb1.example.org\tweb1\n127.0.1.1\told db.local\n"))},
		{name: "the same name twice", before: join(debian, name, hosts(wholeHosts)), options: options, after: join(debian, name, hosts(wholeHosts))},
		{name: "localhost", before: debian, options: `{"hostname": "localhost"}`,
			after: join(debian, treetest.Tree{"etc/hostname": file("localhost\n")}, hosts(hostsLocal+hostsIPv6))},
		{name: "nss-myhostname", before: fedora, options: options, after: join(fedora, name)},
		{name: "no system yet", before: treetest.Tree{"usr": treetest.Dir(0o755)}, options: options, after: name},
		{name: "hosts is a link", before: join(debian, treetest.Tree{"etc/hosts": link("../srv/hosts"), "srv/hosts": file("127.0.0.1 localhost\n")}), options: options,
			after: join(debian, name, treetest.Tree{"etc/hosts": link("../srv/hosts"), "srv/hosts": file("127.0.0.1 localhost\n127.0.1.1\tweb1.example.org\tweb1\n")})},
		{name: "hosts is a directory", before: join(debian, treetest.Tree{"etc/hosts/x": file("")}), options: options, err: "etc/hosts"},
	})
}
