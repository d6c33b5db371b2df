package engine

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/moby/buildkit/client"
	// The address schemes that start a helper program register themselves.
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer"
	_ "github.com/moby/buildkit/client/connhelper/kubepod"
	_ "github.com/moby/buildkit/client/connhelper/nerdctlcontainer"
	_ "github.com/moby/buildkit/client/connhelper/podmancontainer"
	_ "github.com/moby/buildkit/client/connhelper/ssh"
	"google.golang.org/grpc/status"
)

// A daemon at a socket answers at once; one behind a helper program (ssh,
// kubectl) may take a while.
const (
	directTimeout = 10 * time.Second
	helperTimeout = 60 * time.Second
)

// openAddress connects to the daemon at an address and waits for its first
// answer, so that a wrong address fails here, in one sentence.
func openAddress(ctx context.Context, ch choice, o Options) (*client.Client, error) {
	u, err := url.Parse(ch.target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ch, err)
	}
	opts, err := tlsOptions(u, o.TLS)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ch, err)
	}
	c, err := client.New(ctx, ch.target, opts...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ch, err)
	}
	timeout := helperTimeout
	if u.Scheme == "unix" || u.Scheme == "tcp" {
		timeout = directTimeout
	}
	if err := firstAnswer(ctx, c, timeout); err != nil {
		return nil, errors.Join(addressError(ch, u, err), c.Close())
	}
	return c, nil
}

// tlsOptions turns the names of certificate files into client options.
func tlsOptions(u *url.URL, t TLS) ([]client.ClientOpt, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	if u.Scheme != "tcp" {
		return nil, fmt.Errorf("certificates are for tcp:// addresses, not for %s://", u.Scheme)
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, errors.New("a client certificate needs its key, and the other way round")
	}
	for _, f := range []string{t.CACert, t.Cert, t.Key} {
		if f == "" {
			continue
		}
		if _, err := os.Stat(f); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
	}
	name := t.ServerName
	if name == "" {
		name = u.Hostname()
	}
	var opts []client.ClientOpt
	if t.CACert != "" {
		opts = append(opts, client.WithServerConfig(name, t.CACert))
	} else {
		opts = append(opts, client.WithServerConfigSystem(name))
	}
	if t.Cert != "" {
		opts = append(opts, client.WithCredentials(t.Cert, t.Key))
	}
	return opts, nil
}

// firstAnswer asks the daemon anything at all. A daemon too old to know the
// question has answered too.
func firstAnswer(ctx context.Context, c *client.Client, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	_, err := c.Info(ctx)
	if err == nil || isUnimplemented(err) {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// addressError says in one sentence why nobody answers, and what to do.
func addressError(ch choice, u *url.URL, err error) error {
	what := "start the daemon, or choose another with " + ch.origin
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case u.Scheme == "unix" && missing(u.Path):
		return fmt.Errorf("%s: the socket does not exist; %s", ch, what)
	case u.Scheme == "unix" && errors.Is(probeSocket(u.Path), syscall.EACCES):
		return fmt.Errorf("%s: no permission to use the socket; join its group, or choose another with %s", ch, ch.origin)
	}
	return fmt.Errorf("%s does not answer: %s; %s", ch, plainError(err), what)
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

// plainError removes what grpc and its wrappers put around the cause.
func plainError(err error) string {
	msg := err.Error()
	for e := err; e != nil; e = errors.Unwrap(e) {
		if s, ok := status.FromError(e); ok {
			msg = s.Message()
		}
	}
	for _, noise := range []string{
		"failed to call info: ",
		"connection error: desc = ",
		"error reading server preface: ",
		"transport: Error while dialing: ",
		"transport: ",
	} {
		msg = strings.ReplaceAll(msg, noise, "")
	}
	return strings.Trim(msg, `"`)
}
