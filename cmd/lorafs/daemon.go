package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// A background mount is the program started again, in a session of its own, with
// the write end of a pipe as descriptor 3. Until the tree is readable the child
// shares the terminal, so its findings appear where the user looks; then it lets
// go of stdout and stderr and writes "ready" and a summary into the pipe. A pipe
// that ends without "ready" is a failed start, whatever the reason, and the parent
// ends with the child's status.

// readyVariable holds the number of the descriptor to report on; it makes the
// program the child.
const (
	readyVariable   = "LORAFS_READY_FD"
	readyDescriptor = 3
	readyWord       = "ready\n"
)

// childError is a background process that ended before it was ready; it has
// printed why.
type childError struct{ status int }

func (e *childError) Error() string {
	return fmt.Sprintf("the background process ended with status %d", e.status)
}

// startDaemon runs the program with argv in the background and waits until the
// child is ready. It returns what the child wrote behind "ready".
func startDaemon(ctx context.Context, argv []string) (summary string, err error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own program for the background: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	child := exec.Cmd{
		Path:        exe,
		Args:        argv,
		Env:         append(os.Environ(), fmt.Sprintf("%s=%d", readyVariable, readyDescriptor)),
		Stderr:      os.Stderr,
		ExtraFiles:  []*os.File{w},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = child.Start()
	w.Close()
	if err != nil {
		return "", fmt.Errorf("start the background process: %w", err)
	}
	// The child is in another session, so the terminal's ^C does not reach it.
	stop := context.AfterFunc(ctx, func() { _ = child.Process.Signal(syscall.SIGTERM) })
	defer stop()
	said, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("wait for the background process: %w", err)
	}
	if summary, ready := strings.CutPrefix(string(said), readyWord); ready {
		return summary, child.Process.Release()
	}
	return "", failedStart(ctx, child.Wait())
}

func failedStart(ctx context.Context, err error) error {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &exit) && exit.Exited():
		return &childError{status: exit.ExitCode()}
	case err != nil:
		return fmt.Errorf("the background process died before the mount was ready: %w", err)
	}
	return errors.New("the background process ended before the mount was ready")
}

// daemonPipe is the pipe to report on, nil in a process that is no child.
func daemonPipe() (*os.File, error) {
	switch fd := os.Getenv(readyVariable); fd {
	case "":
		return nil, nil
	case fmt.Sprint(readyDescriptor):
		// Programs that this one starts must not take themselves for the child, nor
		// keep the pipe open.
		syscall.CloseOnExec(readyDescriptor)
		return os.NewFile(readyDescriptor, "ready pipe"), os.Unsetenv(readyVariable)
	default:
		return nil, fmt.Errorf("%s=%q is not set by lorafs", readyVariable, fd)
	}
}

// reportReady detaches the child from the terminal and tells the parent. An error
// means that nobody waits any more: the parent was killed.
func reportReady(pipe *os.File, log *os.File, summary string) error {
	if err := detach(log); err != nil {
		return fmt.Errorf("detach from the terminal: %w", err)
	}
	// A working directory would keep the file system busy that it lies on.
	if err := os.Chdir("/"); err != nil {
		return err
	}
	_, err := io.WriteString(pipe, readyWord+summary)
	return errors.Join(err, pipe.Close())
}

// detach points stdout and stderr at log, or at nothing: a daemon that kept them
// would keep a caller waiting who reads our output to its end. The runtime writes
// the trace of a crash to stderr, so the log gets it.
func detach(log *os.File) error {
	if log == nil {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer null.Close()
		log = null
	}
	return errors.Join(redirect(log, 1), redirect(log, 2))
}
