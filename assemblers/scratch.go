package assemblers

import (
	"bytes"
	"os"
	"strconv"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// memoryDir is where a step has a file system in memory.
const memoryDir = "/tmp"

// tmpfsMagic is the type of such a file system, from linux/magic.h.
const tmpfsMagic = 0x01021994

// diskDir returns the directory for a raw disk that is only a way to the
// file that was asked for, and holds need bytes of data: one in memory, if the
// step has it and three times as much memory is free. Otherwise, and by hand,
// it is fallback.
func diskDir(need int64, fallback string) string {
	var st unix.Statfs_t
	if unix.Statfs(memoryDir, &st) != nil || int64(st.Type) != tmpfsMagic {
		return fallback
	}
	need += 64 << 20
	if int64(st.Bavail)*st.Bsize < need || freeMemory() < 3*need {
		return fallback
	}
	return memoryDir
}

// freeMemory returns the memory in bytes that can be used before the machine,
// or this step's control group, runs out of it.
func freeMemory() int64 {
	free := int64(0)
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		free = memAvailable(data)
	}
	limit, err1 := readNumber("/sys/fs/cgroup/memory.max")
	used, err2 := readNumber("/sys/fs/cgroup/memory.current")
	if err1 == nil && err2 == nil {
		free = min(free, limit-used)
	}
	return free
}

// memAvailable reads a line of /proc/meminfo, which counts in KiB.
func memAvailable(meminfo []byte) int64 {
	for line := range bytes.Lines(meminfo) {
		f := bytes.Fields(line)
		if len(f) >= 2 && string(f[0]) == "MemAvailable:" {
			n, _ := strconv.ParseInt(string(f[1]), 10, 64)
			return n << 10
		}
	}
	return 0
}

// readNumber reads a file of a control group; "max" is no number.
func readNumber(path string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
}
