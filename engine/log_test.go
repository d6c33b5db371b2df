package engine

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
)

// TestEngineLogIsClean writes addresses with credentials as BuildKit does.
func TestEngineLogIsClean(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := logrus.New()
	log.SetOutput(&sink{&out})
	log.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true})
	const address = "https://me:hunter2@mirror.example/a?token=hunter2"
	log.WithField("url", address).Errorf("GET %s: \x1b]0;x\x07", address)
	log.WithError(bytes.ErrTooLarge).Info("not found: " + address)
	if got := out.String(); strings.Contains(got, "hunter2") || strings.Contains(got, "\x1b") || strings.Count(got, "mirror.example") != 3 || strings.Count(got, "\n") != 2 {
		t.Errorf("%s", got)
	}
}
