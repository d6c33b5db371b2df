package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/progress/progressui"
	digest "github.com/opencontainers/go-digest"

	"github.com/osbuildkit/osbuildkit/internal/redact"
)

// logLines is how much of a failed step's log is shown again at the end.
const logLines = 20

// display shows a build while it runs, and remembers what an error message
// will need: the names of the steps and the ends of their logs.
type display struct {
	in       chan *client.SolveStatus
	done     chan struct{}
	warnings []client.VertexWarning

	mu    sync.Mutex
	names map[digest.Digest]string
	logs  map[digest.Digest][]byte
	// clean makes what steps print fit to be shown.
	clean map[stream]*redact.Log
	// failed is the last step that ended with an error of its own; ended is closed
	// when there is one.
	failed digest.Digest
	ended  chan struct{}

	// showing guards show, which is nil when nothing more is shown.
	showing sync.Mutex
	show    chan *client.SolveStatus
}

func (a *app) newDisplay(mode string) (*display, error) {
	d := &display{
		in: make(chan *client.SolveStatus), done: make(chan struct{}),
		names: map[digest.Digest]string{}, logs: map[digest.Digest][]byte{},
		ended: make(chan struct{}), show: make(chan *client.SolveStatus),
	}
	out := a.progress
	if out == nil {
		out = a.stderr
	}
	ui, err := progressui.NewDisplay(out, progressui.DisplayMode(mode))
	if err != nil {
		// A terminal was asked for and there is none.
		return nil, usageError("--progress %s: %w", mode, err)
	}
	show := d.show
	go func() {
		defer d.close()
		for s := range d.in {
			d.note(s)
			d.forward(s)
			d.noteEnd()
		}
	}()
	go func() {
		defer close(d.done)
		// Not the build's context: the display has to drain its channel.
		d.warnings, _ = ui.UpdateFrom(context.Background(), show)
	}()
	return d, nil
}

// forward shows a status, unless nothing more is shown.
func (d *display) forward(s *client.SolveStatus) {
	d.showing.Lock()
	defer d.showing.Unlock()
	if d.show != nil {
		d.show <- s
	}
}

// close ends what is shown.
func (d *display) close() {
	d.showing.Lock()
	defer d.showing.Unlock()
	if d.show != nil {
		close(d.show)
		d.show = nil
	}
}

// finish leaves the terminal to somebody else before the build has ended: after
// it has shown the step that failed, of which the error may come first.
func (d *display) finish() {
	select {
	case <-d.ended:
	case <-time.After(failureDelay):
	}
	d.close()
	<-d.done
}

// failureDelay bounds how long the display waits for the end of a failed step: an
// error may come from no step.
const failureDelay = 5 * time.Second

func (d *display) channel() chan *client.SolveStatus { return d.in }

// wait returns when all has been shown.
func (d *display) wait() []client.VertexWarning {
	<-d.done
	return d.warnings
}

// stream is one of the outputs of a step.
type stream struct {
	vertex digest.Digest
	number int
}

// sanitize takes out of a status what is not to be shown: credentials in
// addresses, and what a step prints to command the terminal.
func (d *display) sanitize(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		v.Name, v.Error = redact.Shown(v.Name), redact.Shown(v.Error)
	}
	for _, v := range s.Statuses {
		v.ID, v.Name = redact.Shown(v.ID), redact.Shown(v.Name)
	}
	for _, l := range s.Logs {
		key := stream{l.Vertex, l.Stream}
		if d.clean == nil {
			d.clean = map[stream]*redact.Log{}
		}
		if d.clean[key] == nil {
			d.clean[key] = &redact.Log{}
		}
		l.Data = d.clean[key].Next(l.Data)
	}
	for _, w := range s.Warnings {
		w.Short = []byte(redact.Shown(string(w.Short)))
		for i, line := range w.Detail {
			w.Detail[i] = []byte(redact.Shown(string(line)))
		}
	}
}

func (d *display) note(s *client.SolveStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sanitize(s)
	for _, v := range s.Vertexes {
		d.names[v.Digest] = v.Name
		if v.Error != "" && !strings.HasSuffix(v.Error, context.Canceled.Error()) {
			d.failed = v.Digest
		}
	}
	for _, l := range s.Logs {
		log := append(d.logs[l.Vertex], l.Data...)
		if len(log) > 64<<10 {
			log = log[len(log)-(64<<10):]
		}
		d.logs[l.Vertex] = log
	}
}

// noteEnd tells finish that a step has failed, when its end was shown.
func (d *display) noteEnd() {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.ended:
	default:
		if d.failed != "" {
			close(d.ended)
		}
	}
}

// stepError is the failure of a step in the user's words: which step, and the
// end of its log.
type stepError struct {
	name string
	log  []string
	err  error
}

// Error names the step and how it ended.
func (e *stepError) Error() string {
	msg := e.err.Error()
	if _, after, ok := strings.Cut(msg, "did not complete successfully: "); ok {
		return e.name + " failed: " + after
	}
	if before, after, ok := strings.Cut(msg, "digest mismatch "); ok {
		got, want, _ := strings.Cut(after, ": ")
		msg = fmt.Sprintf("%swhat the server sent has the checksum %s and must have %s: the file was changed there, or is gone and this is an error page", before, got, want)
	}
	return e.name + " failed: " + msg
}

// Unwrap returns BuildKit's error.
func (e *stepError) Unwrap() error { return e.err }

// explain names the step that an error comes from.
func (d *display) explain(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ve *errdefs.VertexError
	dgst := d.failed
	if errors.As(err, &ve) {
		dgst = digest.Digest(ve.Digest)
	} else if !strings.Contains(err.Error(), "failed to solve") && !strings.Contains(err.Error(), "process \"") {
		return err
	}
	name, ok := d.names[dgst]
	if !ok {
		return err
	}
	e := &stepError{name: name, err: err}
	if text := bytes.TrimSpace(d.logs[dgst]); len(text) > 0 {
		lines := strings.Split(string(text), "\n")
		e.log = lines[max(0, len(lines)-logLines):]
	}
	return e
}

// showWarnings prints the warnings of a build that the progress display has
// not shown.
func (a *app) showWarnings(warnings []client.VertexWarning) {
	for _, w := range warnings {
		fmt.Fprintf(a.stderr, "warning: %s\n", w.Short)
		for _, d := range w.Detail {
			fmt.Fprintf(a.stderr, "  %s\n", d)
		}
	}
}
