//go:build e2e

package test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/internal/usernet"
)

// outsideName is the name of an outside.
const outsideName = "outside.test"

// Addresses of an outside and of this machine, which differ for tests that run at the
// same time. The last one is of the network where clouds have the credentials of their
// machines.
var (
	outsideNet     = os.Getpid() % 63 * 4
	ownAddress     = fmt.Sprintf("198.51.100.%d", outsideNet+1)
	outsideAddress = fmt.Sprintf("198.51.100.%d", outsideNet+2)
	cloudAddress   = fmt.Sprintf("169.254.169.%d", outsideNet+2)
)

// outside is a machine that this one reaches through an interface of its own: a
// network namespace with a web server. Its name is known to a name server on this
// machine's loopback alone. The other servers are this machine's.
type outside struct {
	// port is that of the servers at all addresses.
	port string
	// resolvers is a file to put in the place of /etc/resolv.conf: the machine's name
	// is known to a name server on this machine's loopback alone.
	resolvers string

	undo []func() error
}

// startOutside makes the machine. It needs root and iproute2.
func startOutside() (_ *outside, err error) {
	o := &outside{}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.remove())
		}
	}()
	ns := fmt.Sprintf("osbuildkit-%d", os.Getpid())
	up, down := fmt.Sprintf("obu%d", os.Getpid()), fmt.Sprintf("obd%d", os.Getpid())
	for i, line := range []string{
		"netns add " + ns,
		"link add " + up + " type veth peer name " + down + " netns " + ns,
		"addr add " + ownAddress + "/30 dev " + up,
		"link set " + up + " up",
		"route add " + cloudAddress + "/32 dev " + up,
		"-n " + ns + " addr add " + outsideAddress + "/30 dev " + down,
		"-n " + ns + " addr add " + cloudAddress + "/32 dev " + down,
		"-n " + ns + " link set " + down + " up",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
		switch i {
		case 0:
			o.undo = append(o.undo, exec.Command("ip", "netns", "delete", ns).Run)
		case 1: // before the namespace, which is kept for a while by what is open
			o.undo = append(o.undo, exec.Command("ip", "link", "delete", up).Run)
		}
	}
	inside, err := listenIn("/run/netns/"+ns, "0.0.0.0:0")
	if err != nil {
		return nil, err
	}
	o.serve(inside)
	if _, o.port, err = net.SplitHostPort(inside.Addr().String()); err != nil {
		return nil, err
	}
	for _, host := range []string{"127.0.0.1", "::1", ownAddress} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, o.port))
		if err != nil {
			return nil, err
		}
		o.serve(l)
	}
	return o, nil
}

// listenIn listens in a network namespace.
func listenIn(ns, address string) (l net.Listener, err error) {
	f, err := os.Open(ns)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = usernet.OnThread(func() (err error) {
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

// serve answers every request.
func (o *outside) serve(l net.Listener) {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("here I am\n")) // the client may have gone
	})}
	go func() { _ = s.Serve(l) }() // ends with the server
	o.undo = append(o.undo, s.Close)
}

// remove removes the machine.
func (o *outside) remove() error {
	var errs []error
	for i := len(o.undo) - 1; i >= 0; i-- {
		errs = append(errs, o.undo[i]())
	}
	return errors.Join(errs...)
}
