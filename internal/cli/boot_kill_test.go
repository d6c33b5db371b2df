package cli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const bootKillVariable = "OSBUILDKIT_TEST_BOOT"

// init makes this program, started by TestBootKilled, the boot command.
func init() {
	if image := os.Getenv(bootKillVariable); image != "" {
		os.Exit(Main([]string{"boot", "--accel", "tcg", "--arch", "amd64", "--firmware", "bios", "--wait-for", "login:", image}))
	}
}

// A command that is killed leaves no guest behind.
func TestBootKilled(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	image, pidFile := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "pid")
	guest := "#!/bin/sh\necho $$ > " + pidFile + ".new && mv " + pidFile + ".new " + pidFile + "\nexec sleep 1000\n"
	disk := make([]byte, 1<<20)
	disk[510], disk[511] = 0x55, 0xaa // the mark of a disk that boots
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "qemu-system-x86_64"), []byte(guest), 0o755),
		os.WriteFile(image, disk, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = append(os.Environ(), bootKillVariable+"="+image, "PATH="+dir+":"+os.Getenv("PATH"))
	var out strings.Builder
	command.Stdout, command.Stderr = &out, &out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	pid := ""
	for begin := time.Now(); pid == ""; time.Sleep(10 * time.Millisecond) {
		data, _ := os.ReadFile(pidFile) // not there yet
		if pid = strings.TrimSpace(string(data)); pid == "" && time.Since(begin) > time.Minute {
			_ = command.Process.Kill()
			_ = command.Wait()
			t.Fatalf("no guest is started: %s", &out)
		}
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // killed
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		// A process that has ended may not have been waited for yet.
		state, err := os.ReadFile("/proc/" + pid + "/stat")
		if errors.Is(err, os.ErrNotExist) || strings.Contains(string(state), ") Z ") {
			return
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("the guest of a killed command goes on")
		}
	}
}
