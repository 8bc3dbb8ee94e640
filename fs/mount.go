package fs

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"lorafs/cache"
	"lorafs/lazymerge"
)

// Tree is what a mount shows: one model, or a library of them. The models stay the
// caller's: they are closed after the server.
type Tree struct {
	Single  *lazymerge.Model
	Models  []*lazymerge.Model
	Invalid []Invalid
}

// Invalid is a broken adapter of a library.
type Invalid struct {
	Name string
	Text string // what is wrong with it
}

// Options of a mount.
type Options struct {
	AllowOther bool               // other users may read the tree
	Inputs     []string           // base and adapters: the mountpoint may not lie in or above one
	Cache      func() cache.Stats // shown by the control files; may be nil
	Source     string             // shown as what is mounted, as fstab names it; "" for lorafs
	Logger     *slog.Logger       // may be nil
}

const (
	fsType      = "fuse.lorafs"
	fsName      = "lorafs"
	maxRequest  = 1 << 20 // the kernel's usual limit; more gains 5 % for much memory
	readAheadKB = 4096    // 128 KiB, the kernel's own, halves the throughput; 16 MiB does too
	readyTime   = 15 * time.Second
)

// Mount shows t at mountpoint, an empty directory, and returns when it is readable. A
// mount of lorafs whose process died is cleared away first. Nothing stays mounted
// after an error. Errors: *MountpointError, *FUSEMissingError, *PermissionError,
// *MountError, *NameError.
func Mount(mountpoint string, t Tree, o Options) (*Server, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	path, err := checkMountpoint(mountpoint, o.Inputs)
	if err != nil {
		return nil, err
	}
	shared := newTree(os.Geteuid(), os.Getegid(), o.Logger, o.Cache)
	s := &Server{mountpoint: path, tree: shared, root: newRoot(t, shared), done: make(chan struct{})}
	if err := s.start(o); err != nil {
		return nil, err
	}
	if err := s.ready(); err != nil {
		return nil, errors.Join(&MountError{Mountpoint: path, Err: err}, s.CloseLazy())
	}
	s.tune()
	return s, nil
}

func (t Tree) check() error {
	taken := make(map[string]bool)
	for _, m := range t.Models {
		if err := checkName(m.Name()); err != nil {
			return err
		}
		if taken[m.Name()] {
			return &NameError{m.Name(), "two models have it"}
		}
		taken[m.Name()] = true
	}
	for _, i := range t.Invalid {
		if err := checkName(i.Name); err != nil {
			return err
		}
		if taken[i.Name+invalidSuffix] {
			return &NameError{i.Name, "its file has the name of a model"}
		}
	}
	return nil
}

// start mounts and begins to serve.
func (s *Server) start(o Options) error {
	absent := forShort
	logger := slog.NewLogLogger(s.tree.log.Handler(), slog.LevelWarn)
	options := &gofs.Options{
		NegativeTimeout: &absent,
		NullPermissions: true,
		RootStableAttr:  &gofs.StableAttr{Ino: rootIno},
		Logger:          logger,
		MountOptions: fuse.MountOptions{
			AllowOther:    o.AllowOther,
			Options:       []string{"ro", "default_permissions"},
			FsName:        sourceName(o.Source),
			Name:          "lorafs",
			MaxWrite:      maxRequest,
			MaxBackground: 64,   // must exceed the requests of a read-ahead window
			DisableSplice: true, // at 1 MiB it logs an error for every read
			DisableXAttrs: true,
			MaxStackDepth: 2, // backing files may lie on an overlay
			PanicHandler:  s.tree.panicked,
			Logger:        logger,
		},
	}
	raw := gofs.NewNodeFS(s.root, options)
	target, err := attach(s.mountpoint, &options.MountOptions)
	if err != nil {
		return err
	}
	if s.fuse, err = fuse.NewServer(raw, target, &options.MountOptions); err != nil {
		return errors.Join(&MountError{Mountpoint: s.mountpoint, Err: err}, detach(s.mountpoint, true))
	}
	s.tree.backing.attach(s.fuse)
	go s.serve()
	return nil
}

// ready waits until the root can be listed. It reads its own mount with system calls
// only, and not for ever: for seconds in which this process runs, since a machine may
// have been stopped, and then finds the time over and the answer on its way.
func (s *Server) ready() error {
	listed := make(chan error, 1)
	go func() { listed <- s.list() }()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for range int(readyTime / time.Second) {
		select {
		case err := <-listed:
			return err
		case <-s.done:
			return errors.New("the connection to the kernel ended")
		case <-second.C:
		}
	}
	return fmt.Errorf("not readable after %v", readyTime)
}

func (s *Server) list() error {
	if err := s.fuse.WaitMount(); err != nil {
		return err
	}
	return apart(func() error { return touchRoot(s.mountpoint) })
}

// tune does what makes reads faster and may be forbidden; then it is noted.
func (s *Server) tune() {
	if err := raiseReadAhead(s.mountpoint, readAheadKB); err != nil {
		s.notes = append(s.notes, fmt.Sprintf("read-ahead stays at the kernel's default: %v", err))
	}
	if host := s.root.someHost(); host != "" {
		if err := s.tryPassthrough(host); err != nil {
			s.notes = append(s.notes, fmt.Sprintf("unchanged files are copied instead of passed through: %v", err))
		}
	}
}

func (s *Server) tryPassthrough(host string) (err error) {
	f, err := os.Open(host)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if code := s.tree.backing.ask(f); code != 0 {
		return code
	}
	return nil
}

// someHost is the path of a file on disk that the tree shows.
func (r *root) someHost() string {
	for _, m := range r.models {
		for _, e := range m.Entries() {
			if e.Host != "" {
				return e.Host
			}
		}
	}
	return ""
}
