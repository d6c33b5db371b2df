package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestTimezone(t *testing.T) {
	t.Parallel()
	link := func(zone string) treetest.Tree {
		return treetest.Tree{"etc/localtime": treetest.Link("../usr/share/zoneinfo/" + zone)}
	}
	zones := treetest.Tree{
		"usr/share/zoneinfo/Europe/Berlin": treetest.File("TZif"),
		"usr/share/zoneinfo/Europe/Vienna": treetest.Link("Berlin"),
		"usr/share/zoneinfo/UTC":           treetest.Link("/usr/share/zoneinfo/Europe/Berlin"),
	}
	const berlin = `{"zone": "Europe/Berlin"}`
	runCases(t, "org.osbuild.timezone", []treeCase{
		{name: "new", before: zones, options: berlin, after: link("Europe/Berlin")},
		{name: "a zone that is a link", before: zones, options: `{"zone": "Europe/Vienna"}`, after: link("Europe/Vienna")},
		{name: "an absolute link", before: zones, options: `{"zone": "UTC"}`, after: link("UTC")},
		{name: "instead of a link", before: zones.With(link("UTC")), options: berlin, after: link("Europe/Berlin")},
		{name: "instead of a file", before: zones.With(treetest.Tree{"etc/localtime": treetest.File("TZif")}), options: berlin,
			after: link("Europe/Berlin")},
		{name: "instead of a loop", before: zones.With(treetest.Tree{"etc/localtime": treetest.Link("localtime")}), options: berlin,
			after: link("Europe/Berlin")},
		{name: "again", before: zones.With(link("Europe/Berlin")), options: berlin},
		{name: "no zones", options: berlin, after: link("Europe/Berlin"), log: "package tzdata"},
		{name: "unknown", before: zones.With(link("UTC")), options: `{"zone": "Europe/Berln"}`, err: "did you mean Europe/Berlin?"},
		{name: "a directory", before: zones, options: `{"zone": "Europe"}`, err: "no time zone Europe"},
		{name: "out of the directory", before: zones, options: `{"zone": "../../../etc/shadow"}`, err: "/zone"},
		{name: "in the way", before: zones.With(treetest.Tree{"etc/localtime": treetest.Dir(0o755)}), options: berlin, err: "is a directory"},
	})
}

func TestTimezoneCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.timezone", []checkCase{
		{`{"zone": "America/Argentina/Buenos_Aires"}`, nil},
		{`{"zone": "Etc/GMT+12"}`, nil},
		{`{}`, []string{"/zone: empty"}},
		{`{"zone": "/Europe/Berlin"}`, []string{"/zone: empty"}},
		{`{"zone": "Europe/"}`, []string{"/zone: empty"}},
		{`{"zone": "Europe//Berlin"}`, []string{"/zone: empty"}},
		{`{"zone": "Europe/../Berlin"}`, []string{`/zone: not "."`}},
		{`{"zone": "a\nb"}`, []string{`/zone: not "\n"`}},
		{`{"zone": 1}`, []string{": cannot unmarshal"}},
	})
}
