package stages

import (
	"maps"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// What TestHostileTrees needs for org.osbuildkit.grow.
func init() {
	const name = "org.osbuildkit.grow"
	hostileOptions[name] = []string{`{}`, `{"path": "/srv/data"}`}
	base := growTree()
	maps.Copy(base, treetest.Tree{"etc/systemd/system/osbuildkit-grow@.service": treetest.File(""), "usr/libexec": treetest.Dir(0o755)})
	hostileBase[name] = base
	hostileExtra[name] = []string{
		growProgram, "etc/systemd/system/local-fs.target.wants/osbuildkit-grow@-.service", "etc/systemd/system/local-fs.target.wants/osbuildkit-grow@srv-data.service",
	}
}
