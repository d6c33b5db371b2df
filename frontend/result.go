package frontend

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/catalog"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// PackagesFile is the file beside the image that lists what was installed.
const PackagesFile = module.PackagesFile

// ContainerDiskTarget is the target that makes a container image of the disk,
// in the layout of KubeVirt's containerDisk: the one file below /disk, owned
// by the user that runs qemu there.
const ContainerDiskTarget = "containerdisk"

// containerDiskUser is the user and group that qemu has in KubeVirt's pods.
const containerDiskUser = 107

// Target returns the target to build: the one asked for, else the assembler,
// else the tree. It is the name of a pipeline, or ContainerDiskTarget.
func Target(m *manifest.Manifest, asked string) (string, error) {
	assembles := m.Pipeline(manifest.AssemblerPipeline) != nil
	if asked == "" {
		if assembles {
			return manifest.AssemblerPipeline, nil
		}
		asked = manifest.TreePipeline
	}
	if m.Pipeline(asked) != nil {
		return asked, nil
	}
	var names []string
	for _, p := range m.Pipelines {
		names = append(names, p.Name)
	}
	if assembles {
		if asked == ContainerDiskTarget {
			return asked, checkContainerDisk(m)
		}
		names = append(names, ContainerDiskTarget)
	}
	if len(names) == 0 {
		return "", fmt.Errorf("%s builds nothing: it has no stages", m.File)
	}
	return "", fmt.Errorf("no target %q in %s; %s", asked, m.File, suggest(asked, names))
}

// checkContainerDisk refuses an assembler whose file is known to be no disk. What
// modules of the user write is only known when they have.
func checkContainerDisk(m *manifest.Manifest) error {
	for _, s := range m.Pipeline(manifest.AssemblerPipeline).Stages {
		for _, o := range catalog.Outputs(s.Options) {
			if strings.HasPrefix(s.Type, "org.osbuild.") && !slices.Contains(diskSuffixes, path.Ext(o.Name)) {
				return fmt.Errorf("%s cannot be in a container disk, which holds one disk, a qcow2 or raw file (%s): "+
					"choose another target, or have the assembler of %s make such a file", o.Name, strings.Join(diskSuffixes, ", "), m.File)
			}
		}
	}
	return nil
}

// PipelineOf returns the name of the pipeline that a target is made from.
func PipelineOf(target string) string {
	if target == ContainerDiskTarget {
		return manifest.AssemblerPipeline
	}
	return target
}

// result builds what is exported.
func (b *build) result(ctx context.Context, g *graph.Graph, target string, t graph.Tree) (gwclient.Reference, error) {
	st, err := b.resultState(ctx, g, target, t)
	if err != nil {
		return nil, err
	}
	return b.solve(ctx, st, true)
}

// resultState returns what is exported: a tree, the directory of the
// assembler with the list of packages beside its files, or a container disk.
func (b *build) resultState(ctx context.Context, g *graph.Graph, target string, t graph.Tree) (llb.State, error) {
	switch {
	case target == ContainerDiskTarget:
		ref, err := b.solve(ctx, t.Root, true)
		if err != nil {
			return llb.State{}, err
		}
		return b.containerDisk(ctx, ref, t)
	case target == manifest.AssemblerPipeline:
		list, err := b.packageList(ctx, g, t)
		if err != nil || list == nil {
			return t.Root, err
		}
		return t.Root.File(llb.Mkfile("/"+PackagesFile, 0o644, list, llb.WithCreatedTime(epochTime(t.Epoch))),
			llb.WithCustomName("[internal] list the packages")), nil
	case b.cfg.Flatten:
		return g.Flatten(ctx, target, t)
	}
	return t.Root, nil
}

// diskSuffixes are the disk formats that a container disk may hold.
var diskSuffixes = []string{".qcow2", ".raw", ".img"}

// containerDisk puts the one disk that an assembler has made below /disk.
func (b *build) containerDisk(ctx context.Context, ref gwclient.Reference, t graph.Tree) (llb.State, error) {
	files, err := ref.ReadDir(ctx, gwclient.ReadDirRequest{Path: "/"})
	if err != nil {
		return llb.State{}, err
	}
	var disks, all []string
	for _, f := range files {
		name := path.Base(f.Path)
		all = append(all, name)
		if slices.Contains(diskSuffixes, path.Ext(name)) {
			disks = append(disks, name)
		}
	}
	if len(disks) != 1 {
		p := b.m.Pipeline(manifest.AssemblerPipeline)
		return llb.State{}, &graph.Error{
			Pipeline: p, Pointer: p.Stages[0].Pointer, What: p.Stages[0].Type,
			Err: fmt.Errorf("a container disk holds one disk, a qcow2 or raw file (%s); the assembler made %s",
				strings.Join(diskSuffixes, ", "), strings.Join(all, ", ")),
		}
	}
	when := epochTime(t.Epoch)
	owner := llb.ChownOpt{User: &llb.UserOpt{UID: containerDiskUser}, Group: &llb.UserOpt{UID: containerDiskUser}}
	dir := llb.Mkdir("/disk", 0o755, llb.WithCreatedTime(when), owner)
	action := llb.Mkdir("/disk", 0o755, llb.WithCreatedTime(when), owner).
		Copy(t.Root, "/"+disks[0], "/disk/"+disks[0], &llb.CopyInfo{
			Mode: &llb.ChmodOpt{Mode: 0o440}, ChownOpt: &owner, CreatedTime: &when,
		}).
		// The copy has given the directory the time of the build. An empty one
		// that is laid over it gives it its own time back.
		Copy(llb.Scratch().File(dir, llb.WithCustomName("[internal] time of the container disk")), "/", "/",
			&llb.CopyInfo{CopyDirContentsOnly: true, CreatedTime: &when})
	return llb.Scratch().File(action, llb.WithCustomName("container disk with "+disks[0])), nil
}

// image is the configuration of the container image that a target makes where
// the client asks for one.
func (b *build) image(ctx context.Context, target string, t graph.Tree, p ocispecs.Platform) (*dockerspec.DockerOCIImage, error) {
	var img dockerspec.DockerOCIImage
	img.Platform = p
	img.RootFS.Type = "layers"
	when := epochTime(t.Epoch)
	img.Created = &when
	img.Config.Labels = maps.Clone(b.ui.Labels)
	if PipelineOf(target) != manifest.AssemblerPipeline {
		img.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
		img.Config.Cmd = []string{"/bin/sh"}
		labels, err := b.storedLabels(ctx, target, t)
		if err != nil {
			return nil, err
		}
		if img.Config.Labels == nil {
			img.Config.Labels = map[string]string{}
		}
		maps.Copy(img.Config.Labels, labels)
	}
	return &img, nil
}
