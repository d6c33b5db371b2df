package engine

import (
	"io"

	"google.golang.org/grpc/grpclog"

	"github.com/osbuildkit/osbuildkit/internal/redact"
)

// daemonLog takes what grpc logs in this process. It drops everything, but in
// the engine's own process: nothing reaches the terminal, which belongs to the
// progress display.
var daemonLog = newSink()

// sink writes to a writer that is set once, before there are several goroutines.
type sink struct{ w io.Writer }

// newSink makes grpc write to a sink. It allows that only before its first use,
// and writes to stderr else.
func newSink() *sink {
	s := &sink{w: io.Discard}
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, s))
	return s
}

// Write takes one entry. Its credentials go no further: entries have the addresses
// of downloads, and a log is sent to others for help.
func (s *sink) Write(p []byte) (int, error) {
	// A full disk must not become an error of the build's own.
	_, _ = io.WriteString(s.w, redact.Shown(string(p)))
	return len(p), nil
}
