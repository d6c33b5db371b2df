package swap

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/internal/fstest"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

func TestMake(t *testing.T) {
	t.Parallel()
	part, _ := fstest.Make(t, t.TempDir(), nil, 1<<20, Make)
	program, err := tool.Find("util-linux", "blkid")
	if err != nil {
		t.Skip(err)
	}
	out, err := exec.Command(program, "-p", part).CombinedOutput()
	for _, want := range []string{`TYPE="swap"`, `VERSION="1"`, `LABEL="a label"`, `UUID="` + fstest.UUID.String() + `"`} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("blkid: %v: %s", err, out)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	if _, err := Make(t.Context(), nil, content.Target{Size: MinSize - 1}); err == nil || !strings.Contains(err.Error(), "from 40960") {
		t.Error(err)
	}
	if _, err := Make(t.Context(), nil, content.Target{Size: MinSize, Label: strings.Repeat("x", 16)}); err == nil || !strings.Contains(err.Error(), "longer than 15") {
		t.Error(err)
	}
}
