package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// buildxTimeout bounds the first answer of a builder: buildx may have to start a
// container or to reach a cluster first.
const buildxTimeout = 90 * time.Second

// openBuildx connects to a builder by its name: buildx finds the node, starts it
// if need be, and joins its own stdin and stdout with the daemon.
func openBuildx(ctx context.Context, name string) (*client.Client, error) {
	command, err := findBuildx()
	if err != nil {
		return nil, fmt.Errorf("buildx builder %s: %w", name, err)
	}
	args := append(command, "dial-stdio", "--builder", name)
	d := &stdioDialer{args: args}
	c, err := client.New(ctx, "passthrough:///buildx",
		client.WithContextDialer(d.dial),
		// A pipe through ssh or a cluster may die without a word. More often than
		// every five minutes a daemon takes for abuse.
		client.WithGRPCDialOption(grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 6 * time.Minute, Timeout: time.Minute,
		})),
	)
	if err != nil {
		return nil, fmt.Errorf("buildx builder %s: %w", name, err)
	}
	if err := firstAnswer(ctx, c, buildxTimeout); err != nil {
		if !errors.Is(err, context.Canceled) {
			err = buildxError(name, command, d.stderr(), err)
		}
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// findBuildx returns the words that start buildx: the plugin of the docker
// command, or the program by itself.
func findBuildx() ([]string, error) {
	if docker, err := exec.LookPath("docker"); err == nil {
		return []string{docker, "buildx"}, nil
	}
	for _, name := range []string{"docker-buildx", "buildx"} {
		if path, err := exec.LookPath(name); err == nil {
			return []string{path}, nil
		}
	}
	return nil, errors.New("neither docker nor buildx is on PATH; install docker with its buildx plugin, or give an address (tcp://…, unix://…) with --builder")
}

// buildxError prefers what buildx itself has said to what grpc makes of a pipe
// that was closed.
func buildxError(name string, command []string, stderr string, err error) error {
	said := lastLine(stderr)
	if said == "" {
		said = plainError(err)
	}
	said = strings.TrimPrefix(said, "ERROR: ")
	return fmt.Errorf("buildx builder %s does not answer: %s; see \"%s ls\" for the builders there are",
		name, said, strings.Join(append([]string{baseName(command[0])}, command[1:]...), " "))
}

func baseName(path string) string { return path[strings.LastIndexAny(path, `/\`)+1:] }

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// stdioDialer starts one program per connection and talks to its stdin and stdout.
type stdioDialer struct {
	args []string
	errs tail
}

func (d *stdioDialer) stderr() string { return d.errs.String() }

// dial is called by grpc. Its context ends with the dialling, not with the
// connection, so it does not rule the life of the program.
func (d *stdioDialer) dial(ctx context.Context, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return startStdio(d.args, &d.errs)
}
