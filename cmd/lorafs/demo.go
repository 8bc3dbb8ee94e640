package main

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	stdfs "io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"lorafs/fs"
	"lorafs/lazymerge"
	"lorafs/lazymerge/transform"
)

// demodata holds a tiny Llama, adapters that PEFT trained and saved, what
// merge_and_unload of PEFT makes of them, and an adapter as a failed run leaves it.
// integration/peft/demo.py makes it.
//
//go:embed demodata
var demodata embed.FS

// demoAdapters are verified, in this order.
var demoAdapters = []string{"style", "accent"}

const (
	demoBroken  = "broken-zero3"
	demoWeights = "model.safetensors"
)

func demoCommand(io stdio) *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "mount, list, read, verify and unmount a small model that is in the program",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "stay", Usage: "keep the mount until ^C, to look around"},
		},
		Action: func(c *cli.Context) error { return runDemo(c, io) },
	}
}

func runDemo(c *cli.Context, io stdio) (err error) {
	if err := wantArgs(c, 0, 0); err != nil {
		return err
	}
	tuneScheduler()
	dir, err := os.MkdirTemp("", "lorafs-demo-")
	if err != nil {
		return err
	}
	defer closeInto(&err, func() error { return os.RemoveAll(dir) })
	d := &demo{stdio: io, dir: dir}
	if err := d.unpack(); err != nil {
		return err
	}
	in, err := openInputs(c.Context, d.path("base"), []string{d.path("adapters")}, lazymerge.Options{Rounding: transform.PEFT}, minCacheBytes)
	if err != nil {
		return err
	}
	defer closeInto(&err, in.Close)
	d.in = in
	checks := examineMachine(thisMachine())
	if !mountable(checks) {
		return d.withoutFUSE(checks)
	}
	return d.mounted(c.Context, c.Bool("stay"))
}

// demo tells the story on stdout.
type demo struct {
	stdio
	dir     string
	in      *inputs
	chapter int
}

func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

func (d *demo) title(text string) {
	d.chapter++
	fmt.Fprintf(d.out, "\n%s\n", d.paint(bold, fmt.Sprintf("%d. %s", d.chapter, text)))
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "   "+format+"\n", args...) }

func (d *demo) pause() { fmt.Fprintln(d.out) }

// unpack writes the base and the adapters to the temporary directory.
func (d *demo) unpack() error {
	input, err := stdfs.Sub(demodata, "demodata")
	if err != nil {
		return err
	}
	for _, part := range []string{"base", "adapters"} {
		sub, err := stdfs.Sub(input, part)
		if err != nil {
			return err
		}
		if err := os.CopyFS(d.path(part), sub); err != nil {
			return fmt.Errorf("unpack the demo: %w", err)
		}
	}
	return os.Mkdir(d.path("mnt"), 0o755)
}

func (d *demo) mounted(ctx context.Context, stay bool) (err error) {
	d.title("A base model and a directory of adapters, in " + d.dir)
	base, err := diskUsage(d.path("base"))
	if err != nil {
		return err
	}
	adapters, err := diskUsage(d.path("adapters"))
	if err != nil {
		return err
	}
	d.say("base/      a tiny Llama, %s", formatSize(base))
	d.say("adapters/  %d that PEFT saved, %s; the run of one failed", len(d.in.models)+len(d.in.broken), formatSize(adapters))

	d.title("lorafs mount base adapters mnt")
	quiet := slog.New(slog.DiscardHandler)
	server, err := fs.Mount(d.path("mnt"), d.in.tree(), serverOptions(d.in, false, quiet))
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	up := true
	defer closeInto(&err, func() error {
		if !up {
			return nil
		}
		return unmount(server, signals, quiet)
	})
	apparent, err := d.list()
	if err != nil {
		return err
	}
	d.say("Every program sees %s of merged models. On disk they take nothing, and nothing is merged yet.", formatSize(apparent))

	if err := errors.Join(d.showBroken(), ctx.Err()); err != nil {
		return err
	}
	d.title("Read model.safetensors: the bytes are computed now. Compared with…")
	if err := d.verifyAll(func(name string) ([]byte, error) {
		return os.ReadFile(d.path("mnt", name, demoWeights))
	}); err != nil {
		return err
	}
	if stay {
		d.title("Yours to look at until ^C")
		d.say("ls -la %s", d.path("mnt", demoAdapters[0]))
		d.say("cat %s", d.path("mnt", demoAdapters[0], ".lorafs", "report.txt"))
		wait(server, signals)
	}
	d.title("lorafs umount mnt")
	up = false
	if err := unmount(server, signals, quiet); err != nil {
		return err
	}
	d.say("Unmounted and cleaned up. With a model of yours:")
	d.pause()
	d.say("lorafs check BASE ADAPTER               is the adapter whole, and does it fit?")
	d.say("lorafs mount BASE ADAPTER MOUNTPOINT    then give MOUNTPOINT to vLLM, transformers, llama.cpp…")
	return nil
}

// list prints what a user sees in the mount, and returns the size of the models.
func (d *demo) list() (apparent int64, err error) {
	root := d.path("mnt")
	err = filepath.WalkDir(root, func(p string, e stdfs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		if strings.HasPrefix(e.Name(), ".") {
			return stdfs.SkipDir
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if e.IsDir() {
			d.say("%8s  %s/", "", rel)
			return nil
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		if strings.Contains(rel, string(filepath.Separator)) {
			apparent += st.Size()
		}
		d.say("%8d  %s", st.Size(), rel)
		return nil
	})
	return apparent, err
}

func (d *demo) showBroken() error {
	name := demoBroken + ".INVALID"
	d.title("cat mnt/" + name)
	text, err := os.ReadFile(d.path("mnt", name))
	if err != nil {
		return err
	}
	fmt.Fprint(d.out, indent(string(text), "   "))
	d.say("`lorafs check adapters` says so without a mount, and --watch while a run is still going on.")
	return nil
}

// verifyAll compares the merged weights of each adapter, read by read, with those
// that PEFT merged.
func (d *demo) verifyAll(read func(adapter string) ([]byte, error)) error {
	base, err := demodata.ReadFile("demodata/base/" + demoWeights)
	if err != nil {
		return err
	}
	for _, name := range demoAdapters {
		got, err := read(name)
		if err != nil {
			return err
		}
		want, err := demodata.ReadFile("demodata/expected/" + name + ".safetensors")
		if err != nil {
			return err
		}
		toPEFT, err := compareWeights(got, want, base)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		toBase, err := compareWeights(got, base, base)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		digest := sha256.Sum256(got)
		d.say("%s/%s  %d bytes, sha256 %x…", name, demoWeights, len(got), digest[:8])
		d.say("  the base      %d of %d tensors differ", toBase.differing, toBase.tensors)
		d.say("  PEFT's merge  %s", toPEFT.verdict(d.stdio))
		if !toPEFT.right() {
			return fmt.Errorf("%s: the merge is not PEFT's", name)
		}
	}
	return nil
}

// withoutFUSE says what is missing and shows what works all the same.
func (d *demo) withoutFUSE(checks []machineCheck) error {
	d.title("This machine cannot mount")
	for _, c := range checks {
		if c.State == missing {
			d.say("%s: %s", c.Name, c.Value)
			d.say("  cure: %s", c.Cure)
		}
	}
	d.title("Without a mount the merge itself works")
	if err := d.verifyAll(d.readModel); err != nil {
		return err
	}
	d.pause()
	d.say("`lorafs export BASE ADAPTER OUT_DIR` writes a merged model on this machine; `lorafs doctor` says more.")
	return errReported
}

func (d *demo) readModel(name string) (b []byte, err error) {
	for _, m := range d.in.models {
		if m.Name() != name {
			continue
		}
		f, err := m.OpenFile(demoWeights)
		if err != nil {
			return nil, err
		}
		defer closeInto(&err, f.Close)
		b = make([]byte, f.Size())
		_, err = f.ReadAt(context.Background(), b, 0)
		return b, err
	}
	return nil, fmt.Errorf("no adapter %q in the demo", name)
}

func diskUsage(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e stdfs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if err == nil {
			total += st.Size()
		}
		return err
	})
	return total, err
}
