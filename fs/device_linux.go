package fs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const devFuse = "/dev/fuse"

// attach mounts at path and returns the connection to the kernel in the form that
// go-fuse takes for a mountpoint: it mounts too, but loses the reason of a failure.
func attach(path string, o *fuse.MountOptions) (target string, err error) {
	fd, err := mountDirect(path, o)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		fd, err = mountHelped(path, o)
	}
	if err != nil {
		return "", err
	}
	return "/dev/fd/" + strconv.Itoa(fd), nil
}

// mountDirect mounts with mount(2), which takes CAP_SYS_ADMIN.
func mountDirect(path string, o *fuse.MountOptions) (fd int, err error) {
	fd, err = unix.Open(devFuse, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return -1, &FUSEMissingError{Part: devFuse, Err: err}
	case err != nil:
		return -1, &PermissionError{Op: "open", Path: devFuse, Err: err}
	}
	if !isFUSE(fd) {
		return -1, errors.Join(&FUSEMissingError{Part: devFuse, Err: errNotFUSE}, unix.Close(fd))
	}
	data := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,max_read=%d,default_permissions",
		fd, unix.S_IFDIR, os.Geteuid(), os.Getegid(), o.MaxWrite)
	if o.AllowOther {
		data += ",allow_other"
	}
	err = unix.Mount(o.FsName, path, fsType, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, data)
	if err == nil {
		return fd, nil
	}
	if e := unix.Close(fd); e != nil {
		return -1, e
	}
	switch {
	case errors.Is(err, unix.ENODEV):
		return -1, &FUSEMissingError{Part: "the kernel's file system fuse", Err: err}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return -1, &PermissionError{Op: "mount", Path: path, Err: err}
	}
	return -1, &MountError{Mountpoint: path, Err: err}
}

var errNotFUSE = errors.New("is another file")

// isFUSE tells the device from what a sandbox puts in its place, as /dev/null.
func isFUSE(fd int) bool {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(10, 229)
}

// mountHelped has the setuid helper mount, for a user who may not.
func mountHelped(path string, o *fuse.MountOptions) (fd int, err error) {
	helper, err := findHelper()
	if err != nil {
		return -1, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return -1, &MountError{Mountpoint: path, Err: err}
	}
	defer ours.Close()
	options := append([]string{"nosuid", "nodev", "fsname=" + escapeOption.Replace(o.FsName), "subtype=" + o.Name,
		"max_read=" + strconv.Itoa(o.MaxWrite)}, o.Options...)
	if o.AllowOther {
		options = append(options, "allow_other")
	}
	cmd := exec.Command(helper, "-o", strings.Join(options, ","), "--", path)
	cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3")
	cmd.ExtraFiles = []*os.File{theirs}
	var said bytes.Buffer
	cmd.Stderr = &said
	err = errors.Join(cmd.Run(), theirs.Close())
	if err != nil {
		return -1, helperError(path, helperWords(said.String()), o.AllowOther, err)
	}
	fd, err = receive(ours)
	if err != nil {
		return -1, helperError(path, helperWords(said.String()), o.AllowOther, err)
	}
	return fd, nil
}

// escapeOption writes a value into the helper's list of options.
var escapeOption = strings.NewReplacer(`\`, `\\`, `,`, `\,`)

// sourceName is the first column of /proc/mounts. mount -a takes a line of fstab for
// mounted when it finds the line's source there.
func sourceName(source string) string {
	if source == "" {
		return fsName
	}
	return source
}

func findHelper() (string, error) {
	for _, name := range []string{"fusermount3", "/bin/fusermount3", "/usr/bin/fusermount3", "fusermount"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", &FUSEMissingError{Part: "fusermount3", Err: exec.ErrNotFound}
}

// helperWords is what the helper said, without its name.
func helperWords(said string) string {
	var words []string
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if _, rest, ok := strings.Cut(line, "fusermount3: "); ok {
			line = rest
		}
		if line != "" {
			words = append(words, line)
		}
	}
	return strings.Join(words, "; ")
}

func helperError(path, words string, allowOther bool, err error) error {
	switch {
	case allowOther && strings.Contains(words, "allow_other"):
		return &PermissionError{Op: "allow_other", Path: path, Reason: words, Err: err}
	case strings.Contains(words, "device not found"), strings.Contains(words, "modprobe"):
		return &FUSEMissingError{Part: devFuse, Err: errors.New(words)}
	case strings.Contains(words, "open "+devFuse):
		return &PermissionError{Op: "open", Path: devFuse, Err: unix.EACCES}
	case strings.Contains(words, "ermission denied"), strings.Contains(words, "not permitted"), strings.Contains(words, "no write access"), strings.Contains(words, "owned by"):
		return &PermissionError{Op: "mount", Path: path, Reason: words, Err: err}
	}
	return &MountError{Mountpoint: path, Reason: words, Err: err}
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "fusermount"), os.NewFile(uintptr(fds[1]), "fusermount"), nil
}

// receive takes the descriptor that the helper has sent before it ended.
func receive(from *os.File) (fd int, err error) {
	var data [1]byte
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(from.Fd()), data[:], control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return -1, os.NewSyscallError("recvmsg", err)
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			return fds[0], nil
		}
	}
	return -1, errors.New("the helper sent no connection")
}

// detach unmounts path. An error that wraps errBusy means that somebody uses it.
func detach(path string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	switch err := unix.Unmount(path, flags); {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("unmount %s: %w", path, errBusy)
	case errors.Is(err, unix.EINVAL):
		return &NotMountedError{Path: path}
	case errors.Is(err, unix.EPERM):
		return detachHelped(path, lazy)
	default:
		return &os.PathError{Op: "unmount", Path: path, Err: err}
	}
}

func detachHelped(path string, lazy bool) error {
	helper, err := findHelper()
	if err != nil {
		return err
	}
	how := "-u"
	if lazy {
		how = "-uz"
	}
	out, err := exec.Command(helper, how, "--", path).CombinedOutput()
	words := helperWords(string(out))
	switch {
	case err == nil:
		return nil
	case strings.Contains(words, "busy"):
		return fmt.Errorf("unmount %s: %w", path, errBusy)
	}
	return &PermissionError{Op: "unmount", Path: path, Reason: words, Err: err}
}

// refusePolls makes the kernel ask once whether files can be polled, which go-fuse
// denies for good. Otherwise the runtime would ask while it blocks a processor when
// this process opens a file of its own mount. The name is go-fuse's.
func refusePolls(path string) error {
	fd, err := openRetrying(filepath.Join(path, ".go-fuse-epoll-hack"), unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	if errors.Is(err, syscall.EINTR) {
		err = nil
	}
	return errors.Join(err, unix.Close(fd))
}
