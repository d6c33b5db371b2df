package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/pb"
)

// stepTracker is an executor that remembers which containers it has started.
// BuildKit answers a cancelled build before its containers are gone, and
// removes even those of finished steps behind the caller's back; Close has to
// wait for all of them.
type stepTracker struct {
	executor.Executor
	ulimits []*pb.Ulimit // of every step that asks for none
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	ids    []string
	stop   []context.CancelFunc
}

func newStepTracker(e executor.Executor, ulimits []*pb.Ulimit) *stepTracker {
	return &stepTracker{Executor: e, ulimits: ulimits}
}

var errEngineClosed = errors.New("the embedded engine is closed")

// Run runs a step under an id that the tracker knows, and cancels it when the
// engine closes.
func (s *stepTracker) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	if id == "" {
		id = identity.NewID()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !s.begin(id, cancel) {
		if started != nil {
			close(started)
		}
		return nil, errEngineClosed
	}
	defer s.running.Done()
	if len(process.Meta.Ulimit) == 0 {
		// Else they would be those that the runtime has at the moment.
		process.Meta.Ulimit = s.ulimits
	}
	return s.Executor.Run(ctx, id, root, mounts, process, started)
}

func (s *stepTracker) begin(id string, cancel context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.ids = append(s.ids, id)
	s.stop = append(s.stop, cancel)
	s.running.Add(1)
	return true
}

// ran tells whether any step was started.
func (s *stepTracker) ran() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids) > 0
}

// drain cancels the steps that still run, waits until no container of this
// engine is left, and removes by force what is there after the timeout.
func (s *stepTracker) drain(rt ociRuntime, timeout time.Duration) error {
	s.mu.Lock()
	s.closed = true
	ids := s.ids
	for _, cancel := range s.stop {
		cancel()
	}
	s.mu.Unlock()

	deadline := time.Now().Add(timeout)
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(timeout):
	}
	var errs []error
	for _, id := range ids {
		state := filepath.Join(rt.stateDir, id)
		for exists(state) && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
		if exists(state) {
			if err := rt.forceDelete(context.Background(), id); err != nil {
				errs = append(errs, fmt.Errorf("container %s of a cancelled step: %w", id, err))
			}
		}
	}
	return errors.Join(errs...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
