package stages

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

func (d *OSTreeDeployment) check(at string) []module.Problem {
	var problems []module.Problem
	bad := func(key, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: at + key, Message: fmt.Sprintf(format, args...)})
	}
	if d.Default {
		if d.OSName != "" || d.Ref != "" || d.Serial != 0 {
			bad("", "\"default\" means the only deployment: leave out \"osname\", \"ref\" and \"serial\"")
		}
		return problems
	}
	if !ostreeName.MatchString(d.OSName) || strings.Trim(d.OSName, ".") == "" {
		bad("/osname", "%s is not the name of an operating system", quote(d.OSName))
	}
	if !ostreeRef.MatchString(strings.Replace(d.Ref, ":", "/", 1)) {
		bad("/ref", "%s is neither a reference nor a commit", quote(d.Ref))
	}
	return problems
}

// Where OSTree keeps what it knows, and the deployments of an operating system.
const (
	ostreeRefs   = "ostree/repo/refs"
	ostreeDeploy = "ostree/deploy"
)

// find returns the root of the deployment in the tree.
func (d *OSTreeDeployment) find(t *tree.Root) (string, error) {
	if d.Default {
		return onlyDeployment(t)
	}
	commit, err := commitOf(t, d.Ref)
	if err != nil {
		return "", err
	}
	root := path.Join(ostreeDeploy, d.OSName, "deploy", fmt.Sprintf("%s.%d", commit, d.Serial))
	if st, err := t.Lstat(root); err != nil || !st.IsDir() {
		return "", fmt.Errorf("the tree has no /%s: deploy it before this stage", root)
	}
	return root, nil
}

// commitOf returns the commit that a reference names, REMOTE:REF that of a
// remote.
func commitOf(t *tree.Root, ref string) (string, error) {
	if commitForm.MatchString(ref) {
		return ref, nil
	}
	name := path.Join(ostreeRefs, "heads", ref)
	if remote, rest, ok := strings.Cut(ref, ":"); ok {
		name = path.Join(ostreeRefs, "remotes", remote, rest)
	}
	data, err := t.ReadText(name, tree.MaxLine)
	if missing(err) {
		return "", fmt.Errorf("the tree has no reference %s", quote(ref))
	}
	if err != nil {
		return "", err
	}
	commit := strings.TrimSpace(string(data))
	if !commitForm.MatchString(commit) {
		return "", fmt.Errorf("/%s does not hold a commit", name)
	}
	return commit, nil
}

// onlyDeployment returns the one deployment that the tree has.
func onlyDeployment(t *tree.Root) (string, error) {
	var found []string
	systems, err := t.ReadDir(ostreeDeploy)
	if err != nil && !missing(err) {
		return "", err
	}
	for _, s := range systems {
		dir := path.Join(ostreeDeploy, s.Name(), "deploy")
		deployments, err := t.ReadDir(dir)
		if err != nil && !missing(err) {
			return "", err
		}
		for _, d := range deployments {
			if d.IsDir() {
				found = append(found, path.Join(dir, d.Name()))
			}
		}
	}
	switch len(found) {
	case 0:
		return "", errors.New("the tree has none")
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("the tree has %d: say which with \"osname\" and \"ref\"", len(found))
}
