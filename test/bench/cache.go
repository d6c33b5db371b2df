package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/osbuildkit/osbuildkit/test"
)

// cacheSteps are the depths of the graphs whose caches are measured.
var cacheSteps = []int{20, 60, 120}

// caches measures what exporting and importing a cache costs: a tree of a
// small Debian with stages that each edit one file, a registry on loopback,
// and BuildKit daemons as they are released.
func (b *bench) caches(ctx context.Context, buildkitd string) (err error) {
	dir, err := os.MkdirTemp("", "osbuildkit-bench-cache-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	registry, err := test.StartRegistry(dir)
	if err != nil {
		return err
	}
	defer registry.Close()
	c := &cacheBench{bench: b, dir: dir, buildkitd: buildkitd, registry: registry.Host}
	fmt.Printf("%-8s %10s %10s %14s %14s %14s %14s\n", "steps", "cold", "cached", "first export", "export again", "import", "import+last")
	for _, n := range cacheSteps {
		if err := c.depth(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

type cacheBench struct {
	*bench
	dir, buildkitd, registry string
	daemons                  int
}

// daemon starts a daemon with nothing in it and runs fn with its address.
func (c *cacheBench) daemon(fn func(address string) error) error {
	c.daemons++
	d, err := test.StartDaemon(c.buildkitd, filepath.Join(c.dir, fmt.Sprint("daemon", c.daemons)))
	if err != nil {
		return err
	}
	return errors.Join(fn(d.Address), d.Stop())
}

// depth measures one depth: in one daemon the export, in two others the
// import.
func (c *cacheBench) depth(ctx context.Context, n int) error {
	manifest, err := c.manifest(n, "same")
	if err != nil {
		return err
	}
	changed, err := c.manifest(n, "other")
	if err != nil {
		return err
	}
	base, err := c.manifest(1, "same")
	if err != nil {
		return err
	}
	ref := fmt.Sprintf("type=registry,ref=%s/bench:%d", c.registry, n)
	to := []string{"--cache-to", ref + ",mode=max,compression=zstd"}
	var cold, cached, first, again, imported, last time.Duration
	err = c.daemon(func(address string) error {
		for _, r := range []struct {
			took     *time.Duration
			manifest string
			args     []string
		}{{new(time.Duration), base, nil}, {&cold, manifest, nil}, {&cached, manifest, nil}, {&first, manifest, to}, {&again, manifest, to}} {
			if *r.took, err = c.run(ctx, address, r.manifest, r.args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for took, manifest := range map[*time.Duration]string{&imported: manifest, &last: changed} {
		if err := c.daemon(func(address string) error {
			*took, err = c.run(ctx, address, manifest, "--cache-from", ref)
			return err
		}); err != nil {
			return err
		}
	}
	fmt.Printf("%-8d %8.1f s %8.1f s %12.1f s %12.1f s %12.1f s %12.1f s\n", n, cold.Seconds(), cached.Seconds(),
		(first - cached).Seconds(), (again - cached).Seconds(), imported.Seconds(), last.Seconds())
	return nil
}

func (c *cacheBench) run(ctx context.Context, address, manifest string, args ...string) (time.Duration, error) {
	took, _, err := c.build(ctx, append([]string{"--builder", address, "-o", filepath.Join(c.dir, "out"), manifest}, args...)...)
	return took, err
}

// manifest writes a manifest whose tree has the given number of stages.
func (c *cacheBench) manifest(stages int, last string) (string, error) {
	type object = map[string]any
	list := []object{{"name": "org.osbuildkit.debootstrap", "options": object{"suite": suite, "variant": "required"}}}
	for i := 1; i < stages; i++ {
		name := fmt.Sprint("host", i)
		if i == stages-1 {
			name = last
		}
		list = append(list, object{"name": "org.osbuild.hostname", "options": object{"hostname": name}})
	}
	data, err := json.Marshal(object{"stages": list, "assembler": object{"name": "org.osbuild.noop"}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(c.dir, fmt.Sprintf("%d-%s.json", stages, last))
	return file, os.WriteFile(file, data, 0o644)
}
