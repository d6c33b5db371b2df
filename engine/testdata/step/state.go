package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// state describes everything that this process has inherited and that can be
// seen, one line each.
func state() ([]byte, error) {
	var out bytes.Buffer
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		name, _, _ := strings.Cut(line, ":")
		switch name {
		case "Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
			"NoNewPrivs", "Seccomp", "THP_enabled", "Cpus_allowed", "Mems_allowed":
			out.WriteString(line)
		}
	}
	for _, name := range []string{"limits", "personality", "oom_score_adj", "coredump_filter", "loginuid"} {
		data, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			data = []byte(err.Error())
		}
		fmt.Fprintf(&out, "%s: %s\n", name, bytes.TrimSpace(data))
	}
	nice, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	fmt.Fprintf(&out, "nice: %d %v\n", 20-nice, err)
	policy, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
	fmt.Fprintf(&out, "policy: %d %v\n", policy, errno)
	ioprio, _, errno := syscall.RawSyscall(syscall.SYS_IOPRIO_GET, 1, 0, 0)
	fmt.Fprintf(&out, "ioprio: %d %v\n", ioprio, errno)
	slack, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, 30 /* PR_GET_TIMERSLACK */, 0, 0)
	fmt.Fprintf(&out, "timer slack: %d %v\n", slack, errno)
	securebits, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, 27 /* PR_GET_SECUREBITS */, 0, 0)
	fmt.Fprintf(&out, "securebits: %d %v\n", securebits, errno)
	var name syscall.Utsname
	fmt.Fprintf(&out, "uname: %v %v\n", syscall.Uname(&name), name)
	dir, err := os.Getwd()
	fmt.Fprintf(&out, "directory: %s %v\n", dir, err)
	env := os.Environ()
	slices.Sort(env)
	fmt.Fprintf(&out, "environment: %q\n", env)
	session, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, 0, 0, 0)
	_, err = os.Open("/dev/tty")
	fmt.Fprintf(&out, "session: %d %v\n", session, err)
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		to, err := os.Readlink(l)
		if err != nil || strings.HasPrefix(to, "anon_inode:") || strings.HasPrefix(to, "pipe:") {
			continue // of this program's own
		}
		fmt.Fprintf(&out, "file: %s\n", to)
	}
	for _, name := range []string{"/", "/step", "/proc", "/dev", "/out"} {
		var st syscall.Stat_t
		err := syscall.Lstat(name, &st)
		fmt.Fprintf(&out, "%s: mode %o owner %d:%d %v\n", name, st.Mode, st.Uid, st.Gid, err)
	}
	return out.Bytes(), nil
}
