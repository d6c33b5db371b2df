package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// buildxTimeout bounds the first answer of a builder: buildx may have to start a
// container or to reach a cluster first.
const buildxTimeout = 90 * time.Second

// openBuildx connects to a builder by its name, or to buildx's current one: buildx finds the node, starts it
// if need be, and joins its own stdin and stdout with the daemon.
func openBuildx(ctx context.Context, name string) (*client.Client, error) {
	commands, err := findBuildx()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", builderText(name), err)
	}
	for _, command := range commands {
		var c *client.Client
		if c, err = dialBuildx(ctx, name, command); !errors.Is(err, errNoPlugin) {
			return c, err
		}
	}
	return nil, err
}

// dialBuildx connects by one of the commands that may be buildx.
func dialBuildx(ctx context.Context, name string, command []string) (*client.Client, error) {
	args := append(command, "dial-stdio")
	if name != "" {
		args = append(args, "--builder", name)
	}
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
		return nil, fmt.Errorf("%s: %w", builderText(name), err)
	}
	if err := firstAnswer(ctx, c, buildxTimeout); err != nil {
		if !errors.Is(err, context.Canceled) {
			err = buildxError(name, command, d.stderr(), err)
		}
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// findBuildx returns the words that may start buildx: the plugin of the docker
// command, and the program by itself, for a docker without the plugin.
func findBuildx() ([][]string, error) {
	var commands [][]string
	if docker, err := exec.LookPath("docker"); err == nil {
		commands = append(commands, []string{docker, "buildx"})
	}
	for _, name := range []string{"docker-buildx", "buildx"} {
		if path, err := exec.LookPath(name); err == nil {
			commands = append(commands, []string{path})
			break
		}
	}
	if len(commands) > 0 {
		return commands, nil
	}
	return nil, errors.New("neither docker nor buildx is on PATH; install docker with its buildx plugin, or give an address (tcp://…, unix://…) with --builder")
}

// errNoPlugin says that the docker command does not know buildx.
var errNoPlugin = errors.New("docker has no buildx plugin")

// noPlugin are parts of what releases of docker say then.
var noPlugin = []string{"'buildx' is not a docker command", "unknown command: docker buildx", "unknown flag: --builder"}

// buildxError prefers what buildx itself has said to what grpc makes of a pipe
// that was closed.
func buildxError(name string, command []string, stderr string, err error) error {
	if len(command) > 1 && slices.ContainsFunc(noPlugin, func(s string) bool { return strings.Contains(stderr, s) }) {
		return fmt.Errorf("%s: %w: install it (apt-get install docker-buildx; docker-buildx-plugin with the packages of Docker itself; dnf install docker-buildx), or give an address (tcp://…, unix://…) with --builder", builderText(name), errNoPlugin)
	}
	said := lastLine(stderr)
	if said == "" {
		said = plainError(err)
	}
	said = strings.TrimPrefix(said, "ERROR: ")
	return fmt.Errorf("%s does not answer: %s; see \"%s ls\" for the builders there are",
		builderText(name), said, strings.Join(append([]string{baseName(command[0])}, command[1:]...), " "))
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
