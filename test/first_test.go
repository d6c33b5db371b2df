//go:build e2e

package test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demoProbe is what the first machine is asked by ssh.
const demoProbe = partFunction + `
part state systemctl is-system-running --wait
part failed systemctl --failed --no-legend --plain
part root findmnt -no OPTIONS /
part write sh -c 'echo kept > /root/file && cat /root/file'
part fsck journalctl --quiet --no-pager -b -u systemd-fsck-root -o cat
part name sh -c 'getent hosts "$(hostname)"'
part dns getent hosts ` + archiveName + `
part consoles cat /sys/class/tty/console/active
part logins systemctl is-active getty@tty1 serial-getty@ttyS0
part updates grep -c ^Suites:.*security /etc/apt/sources.list.d/debian.sources
`

// demoAnswers are the patterns of its answers.
var demoAnswers = map[string]string{
	"state": `^running$`, "failed": `^$`, "root": `^rw,`, "write": `^kept$`, "fsck": `: clean, \d+/\d+ files`,
	"name": `^127\.0\.1\.1 +debian-nginx$`, "dns": `^10\.0\.2\.2 +archive\.example\.test$`,
	"consoles": `^tty0 ttyS0$`, "logins": `^active\nactive$`, "updates": `^1$`,
}

// terminal is where somebody types what README says: in an empty directory, with a
// key of their own. Wrappers add what the test needs and a reader does not: the
// store and the mirror of the tests, and a guest that is emulated.
type terminal struct {
	t         *testing.T
	dir, home string
	ports     *strings.Replacer
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	c := &terminal{t: t, dir: t.TempDir(), home: t.TempDir()}
	web := strconv.Itoa(freePort(t))
	c.ports = strings.NewReplacer("2222", strconv.Itoa(freePort(t)), "8080", web)
	key := filepath.Join(c.home, ".ssh", "id_ed25519")
	if err := os.Mkdir(filepath.Dir(key), 0o700); err != nil {
		t.Fatal(err)
	}
	output(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "reader", "-f", key)
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"osbuildkit": `case $1 in
build) exec "` + shared.program + `" "$@" --store "` + shared.store + `" --mirror ` + shared.mirror.URL() + ` --progress plain ;;
boot) exec "` + shared.program + `" "$@" --accel tcg --timeout 420s --keep --wait-for 'debian-nginx login:' --wait-for http://127.0.0.1:` + web + `/ ;;
esac`,
		// It reads the configuration below the home directory of the account, and
		// would ask whether the new machine is known.
		"ssh": `exec ` + ssh + ` -F /dev/null -i "` + key + `" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR -o ConnectTimeout=60 "$@"`,
	} {
		if err := os.WriteFile(filepath.Join(c.home, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// prepare makes a command run as if it was typed.
func (c *terminal) prepare(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "HOME="+c.home, "PATH="+c.home+":"+os.Getenv("PATH"))
	return cmd
}

// run types a command and returns what it prints to standard output.
func (c *terminal) run(ctx context.Context, command, input string) (string, error) {
	cmd := c.prepare(exec.CommandContext(ctx, "sh", "-c", c.ports.Replace(command)))
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s", command, err, &stderr)
	}
	return stdout.String(), nil
}

// typeReadme does what README says, and asks the machine whether it is one.
func typeReadme(t *testing.T) {
	t.Helper()
	r, c := readme(t), newTerminal(t)
	if err := os.WriteFile(filepath.Join(c.dir, "image.json"), []byte(r.Manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), guestTimeout)
	defer cancel()
	begin := time.Now()
	out, err := c.run(ctx, r.Command(0, "osbuildkit build"), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("built with a key in %.1f s", time.Since(begin).Seconds())
	checkShown(t, r, out)
	sum := sha256File(t, filepath.Join(c.dir, "output", demoImage))

	log, said := filepath.Join(c.home, "console"), ""
	for try := 1; said == ""; try++ {
		begin = time.Now()
		said = c.bootAndAsk(ctx, r, log, try == bootTries)
	}
	t.Logf("booted and answered in %.1f s", time.Since(begin).Seconds())
	parts := probeParts(t, said)
	for name, want := range demoAnswers {
		if !regexp.MustCompile(want).MatchString(parts[name]) {
			t.Errorf("%s: %q is not like %s", name, parts[name], want)
		}
	}
	if !bytes.Contains(readFile(t, log), []byte("debian-nginx login:")) {
		t.Error("the serial console has no login prompt")
	}
	// The guest's writes are thrown away: the image is what was built.
	if sha256File(t, filepath.Join(c.dir, "output", demoImage)) != sum {
		t.Error("the image has changed")
	}
}

// bootAndAsk boots the machine as README says and returns its answers. It returns
// "" if the machine ended before, which a starved emulator does; the last time that
// is an error.
func (c *terminal) bootAndAsk(ctx context.Context, r *Readme, log string, last bool) string {
	c.t.Helper()
	console, err := os.Create(log)
	if err != nil {
		c.t.Fatal(err)
	}
	defer console.Close()
	boot := c.prepare(resolving(c.t, startNames(c.t, archiveName, hostAddress), "sh", "-c", "exec "+c.ports.Replace(r.Command(0, "osbuildkit boot"))))
	boot.Stdout, boot.Stderr = console, console
	if err := startBound(boot); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- boot.Wait() }()
	said := c.ask(ctx, r, ended)
	text := readFile(c.t, log)
	switch end := text[max(0, len(text)-6000):]; {
	case said == "" && (last || ctx.Err() != nil):
		c.t.Fatalf("the machine did not answer:\n%s", end)
	case said == "":
		c.t.Logf("the machine ended, so once more:\n%s", end)
		return ""
	}
	if err := boot.Process.Signal(syscall.SIGINT); err != nil {
		c.t.Error(err)
	}
	<-ended // it was interrupted
	return said
}

// ask types what README has in the second terminal, until the machine answers or
// has ended.
func (c *terminal) ask(ctx context.Context, r *Readme, ended <-chan error) string {
	c.t.Helper()
	for {
		said, err := c.run(ctx, r.Command(1, "ssh")+" sh -s", demoProbe)
		if err == nil {
			page, err := c.run(ctx, r.Command(1, "curl"), "")
			if err != nil || !strings.Contains(page, "Welcome to nginx") {
				c.t.Errorf("the web server: %v, %q", err, page)
			}
			return said
		}
		select {
		case <-ended:
			return ""
		case <-ctx.Done():
			c.t.Logf("ssh: %v\n%s", err, said)
			return ""
		case <-time.After(2 * time.Second):
		}
	}
}

// checkShown compares what a build prints with what README shows of one: the same
// lines but for the ids, which depend on the key, and sizes, which may be rounded.
func checkShown(t *testing.T, r *Readme, out string) {
	t.Helper()
	ids, size := regexp.MustCompile(`[0-9a-f]{8}(…|[0-9a-f]{56})`), regexp.MustCompile(`\((\d+(?:\.\d+)?) ([KMG]?i?B)\)`)
	plain := func(text string) string { return size.ReplaceAllString(ids.ReplaceAllString(text, "ID"), "($2)") }
	var shown []string
	for _, line := range r.Terminals[0] {
		if !strings.HasPrefix(line, "$ ") {
			shown = append(shown, line)
		}
	}
	text := strings.Join(shown, "\n")
	if plain(text) != plain(strings.TrimSpace(out)) {
		t.Errorf("README shows\n%s\nand the build prints\n%s", text, out)
		return
	}
	printed := size.FindAllStringSubmatch(out, -1)
	for i, m := range size.FindAllStringSubmatch(text, -1) {
		a, _ := strconv.ParseFloat(m[1], 64) // digits
		if b, _ := strconv.ParseFloat(printed[i][1], 64); a < b*0.75 || a > b*1.25 {
			t.Errorf("README shows %s for a file of %s", m[0], printed[i][0])
		}
	}
}
