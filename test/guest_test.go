//go:build e2e

package test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Names that the name server of a guest knows; all else does not exist.
const (
	archiveName = "archive.example.test"
	// hostAddress is where the user network of qemu has the loopback of the host.
	hostAddress = "10.0.2.2"
)

// guestTimeout bounds the wait for a guest to boot and the work in it. An
// emulated machine beside other work takes minutes.
const guestTimeout = 12 * time.Minute

// guest is a machine that runs, keeps what it writes, and boots again when it
// is told to: "osbuildkit boot" throws all away.
type guest struct {
	t       *testing.T
	cmd     *exec.Cmd
	console string // the file with what it says
	ended   chan error
	key     string
	ports   map[int]int // of the host's loopback, by that of the guest
}

// guestDisk makes a disk that is larger than the image, which stays as it is.
func guestDisk(t *testing.T, image string, size int64) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "overlay.qcow2")
	output(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, disk, strconv.FormatInt(size, 10))
	return disk
}

// startGuest starts a machine with a disk. Its name server is one of the test:
// qemu passes questions on to that of the host, so it gets an /etc/resolv.conf
// of its own.
func startGuest(t *testing.T, disk, firmware, key, nameserver string, ports ...int) *guest {
	t.Helper()
	return startGuestOn(t, guestNet{}, disk, firmware, key, nameserver, ports...)
}

// guestNet is the network of a guest.
type guestNet struct {
	// options are those of qemu's user network; without any it has qemu's own
	// addresses, which it gives by DHCP.
	options string
	// address is that of the guest, if it has not got it by DHCP.
	address string
	// second says that there is another card, on a network with qemu's addresses.
	second bool
}

// startGuestOn is startGuest on a network of one's own.
func startGuestOn(t *testing.T, net guestNet, disk, firmware, key, nameserver string, ports ...int) *guest {
	t.Helper()
	dir := t.TempDir()
	g := &guest{t: t, console: filepath.Join(dir, "console"), ended: make(chan error, 1), key: key, ports: map[int]int{}}
	nic := "user,model=virtio-net-pci"
	if net.options != "" {
		nic += "," + net.options
	}
	for _, p := range ports {
		g.ports[p] = freePort(t)
		nic += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-%s:%d", g.ports[p], net.address, p)
	}
	resolv := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver "+nameserver+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--mount", "--propagation", "private", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, resolv,
		"qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,-cx16,la57=off", "-m", "1536", "-smp", "2",
		"-display", "none", "-monitor", "none", "-serial", "file:" + g.console, "-nic", nic,
		"-drive", "if=virtio,format=qcow2,file=" + disk, "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
	}
	if net.second {
		args = append(args, "-nic", "user,model=virtio-net-pci")
	}
	if firmware == "uefi" {
		vars := filepath.Join(dir, "vars.fd")
		if err := os.WriteFile(vars, readFile(t, "/usr/share/OVMF/OVMF_VARS_4M.fd"), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-machine", "q35", "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd", "-drive", "if=pflash,format=raw,file="+vars)
	}
	g.cmd = exec.Command("unshare", args...)
	var said bytes.Buffer
	g.cmd.Stdout, g.cmd.Stderr = &said, &said
	if err := startBound(g.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := g.cmd.Wait()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, &said)
		}
		g.ended <- err
	}()
	t.Cleanup(g.kill)
	return g
}

// kill ends the guest without a word to it.
func (g *guest) kill() {
	_ = g.cmd.Process.Kill() // it may have ended
	g.ended <- <-g.ended
}

// text returns what is on the console.
func (g *guest) text() string {
	data, err := os.ReadFile(g.console)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		g.t.Error(err)
	}
	return string(data)
}

// fatal ends the test and shows the end of the console.
func (g *guest) fatal(format string, args ...any) {
	g.t.Helper()
	text := g.text()
	g.t.Fatalf(format+"\nThe console ends with:\n%s", append(args, text[max(0, len(text)-6000):])...)
}

// run runs a script as root, by ssh with the key and by sudo with the password,
// as soon as there is an answer; a guest that has begun to boot again has another
// boot id than the one before. It returns what the script says and the boot id.
func (g *guest) run(script, before string) (said, boot string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), guestTimeout)
	defer cancel()
	for {
		out, err := g.ssh(ctx, "cat /proc/sys/kernel/random/boot_id; test -e /run/nologin && echo closed", "")
		if id := strings.TrimSpace(out); err == nil || id != "" && !strings.Contains(id, "closed") {
			if boot = id; len(boot) == 36 && boot != before {
				break
			}
		}
		select {
		case err := <-g.ended:
			g.ended <- nil
			g.fatal("the guest ended: %v", err)
		case <-ctx.Done():
			g.fatal("the guest did not answer: %v", err)
		case <-time.After(2 * time.Second):
		}
	}
	out, err := g.ssh(ctx, "cat > script && echo '"+machinePassword+"' | sudo -S -p '' sh ./script", script)
	if err != nil {
		g.fatal("the script: %v\n%s", err, out)
	}
	return out, boot
}

// ssh runs a command as the user.
func (g *guest) ssh(ctx context.Context, command, input string) (string, error) {
	cmd := exec.CommandContext(ctx, "ssh", "-F", "/dev/null", "-i", g.key, "-p", strconv.Itoa(g.ports[22]), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=60",
		machineUser+"@127.0.0.1", command)
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if errs.Len() > 0 {
		err = errors.Join(err, errors.New(errs.String()))
	}
	return out.String(), err
}

// end waits until the guest has switched itself off.
func (g *guest) end() {
	g.t.Helper()
	select {
	case err := <-g.ended:
		g.ended <- nil
		if err != nil {
			g.fatal("the guest ended: %v", err)
		}
	case <-time.After(guestTimeout):
		g.fatal("the guest did not switch itself off")
	}
}

// startNames serves names on an address of loopback until the test ends: one name
// has the IPv4 address that is given, and no other exists.
func startNames(t *testing.T, name, stands string) string {
	t.Helper()
	var part [3]byte
	_, _ = rand.Read(part[:]) // never fails
	address := net.IPv4(127, part[0], part[1], part[2]|2).String()
	c, err := net.ListenPacket("udp", net.JoinHostPort(address, "53"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return // closed
			}
			if answer, err := answerName(buf[:n], name, stands); err == nil {
				_, _ = c.WriteTo(answer, from) // who asks, asks again
			}
		}
	}()
	return address
}

// answerName answers a question of DNS.
func answerName(question []byte, name, stands string) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil, errors.Join(err, errors.New("not one question"))
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.RCode = true, true, dnsmessage.RCodeNameError
	m.Additionals = nil
	if strings.EqualFold(q.Name.String(), name+".") {
		m.RCode = dnsmessage.RCodeSuccess
		if q.Type == dnsmessage.TypeA {
			head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 60}
			m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: [4]byte(net.ParseIP(stands).To4())}}}
		}
	}
	return m.Pack()
}
