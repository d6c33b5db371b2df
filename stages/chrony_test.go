package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestChrony(t *testing.T) {
	t.Parallel()
	const name = "etc/chrony.conf"
	file := func(text string) treetest.Tree { return treetest.Tree{name: treetest.File(text)} }
	const old = "# servers\npool a.example iburst\nserver b.example\npeer c.example\n server d.example\nserver\te.example\nleapsectz right/UTC\ndriftfile /x\n"
	const kept = "# servers\n server d.example\nserver\te.example\nleapsectz right/UTC\ndriftfile /x\n"
	runCases(t, "org.osbuild.chrony", []treeCase{
		{name: "2019", before: file(old), options: `{"timeservers": ["ntp.example", "192.0.2.1"]}`,
			after: file("server ntp.example iburst\nserver 192.0.2.1 iburst\n" + kept)},
		{name: "no line break at the end", before: file("driftfile /x"), options: `{"timeservers": ["a"]}`, after: file("server a iburst\ndriftfile /x")},
		{name: "the file keeps its mode", before: treetest.Tree{name: treetest.File("").Perm(0o600)}, options: `{"timeservers": ["a"]}`,
			after: treetest.Tree{name: treetest.File("server a iburst\n").Perm(0o600)}},
		{name: "all", before: file(old), options: `{
			"timeservers": ["t"], "leapsectz": "right/Etc",
			"servers": [{"hostname": "a"}, {"hostname": "b", "iburst": false, "prefer": true, "minpoll": -2, "maxpoll": 4}],
			"refclocks": [
				{"driver": {"name": "PPS", "device": "/dev/pps0", "clear": true}, "poll": 3, "dpoll": -2, "offset": 0.5},
				{"driver": {"name": "SHM", "segment": 1, "perm": "0644"}},
				{"driver": {"name": "SOCK", "path": "/run/chrony.sock"}},
				{"driver": {"name": "PHC", "path": "/dev/ptp0", "nocrossts": true, "extpps": true, "pin": 1, "channel": 0, "clear": false}, "poll": 2}]}`,
			after: file(`refclock PPS /dev/pps0:clear poll 3 dpoll -2 offset 0.5
refclock SHM 1:perm=0644
refclock SOCK /run/chrony.sock
refclock PHC /dev/ptp0:nocrossts:extpps:pin=1:channel=0 poll 2
leapsectz right/Etc
server a iburst
server b prefer minpoll -2 maxpoll 4
server t iburst
# servers
 server d.example
server	e.example
driftfile /x
`)},
		{name: "no leap seconds", before: file(old), options: `{"leapsectz": ""}`, after: file("# servers\n server d.example\nserver\te.example\ndriftfile /x\n"),
			log: "its 3 sources of time are removed"},
		{name: "Debian", before: treetest.Tree{"etc/chrony/chrony.conf": treetest.File("pool x iburst\nconfdir /x\n")}, options: `{"timeservers": ["a"]}`,
			after: treetest.Tree{"etc/chrony/chrony.conf": treetest.File("server a iburst\nconfdir /x\n")}},
		{name: "no chrony", before: treetest.Tree{"etc/x": treetest.File("")}, options: `{"timeservers": ["a"]}`, err: "install the package chrony"},
		{name: "bad", before: file(old), options: `{"timeservers": ["a b"]}`, err: "/timeservers/0"},
	})
}

func TestChronyCheck(t *testing.T) {
	t.Parallel()
	driver := func(text string) string { return `{"refclocks": [{"driver": ` + text + `}]}` }
	runChecks(t, "org.osbuild.chrony", []checkCase{
		{`{"timeservers": []}`, nil},
		{`{}`, []string{": nothing to do"}},
		{`{"timeservers": ["", "a\nb"]}`, []string{"/timeservers/0: not the name", "/timeservers/1: not the name"}},
		{`{"servers": [{"hostname": "a", "minpoll": -7}, {"hostname": "", "maxpoll": 25}]}`,
			[]string{"/servers/0/minpoll: between", "/servers/1/hostname: not the name", "/servers/1/maxpoll: between"}},
		{`{"servers": [{"hostname": "a", "minpoll": 6, "maxpoll": 5}]}`, []string{"/servers/0/minpoll: longer"}},
		{`{"leapsectz": "a b"}`, []string{"/leapsectz: not the name"}},
		{driver(`{"name": "GPS"}`), []string{"/refclocks/0/driver/name: must be PPS"}},
		{driver(`{"name": "PPS"}`), []string{`/refclocks/0/driver: needs "device"`}},
		{driver(`{"name": "PPS", "device": "/dev/pps0", "pin": 1}`), []string{`/refclocks/0/driver/pin: does not take`}},
		{driver(`{"name": "SHM", "segment": -1, "perm": "99"}`), []string{"/refclocks/0/driver/perm: octal", "/refclocks/0/driver/segment: negative"}},
		{driver(`{"name": "SOCK", "path": "run"}`), []string{"/refclocks/0/driver/path: absolute"}},
		{driver(`{"name": "PHC", "path": "/dev/../x"}`), []string{"/refclocks/0/driver/path: absolute"}},
		{driver(`{"name": "PHC", "path": "/dev/ptp0:pin=1"}`), []string{"/refclocks/0/driver/path: absolute"}},
		{`{"refclocks": [{"driver": {"name": "SHM", "segment": 0}, "offset": "x"}]}`, []string{": invalid number"}},
	})
}
