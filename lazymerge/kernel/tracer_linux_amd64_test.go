//go:build !purego

package kernel_test

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tracer runs a program whose tile instructions raise SIGILL, and interprets them.
type tracer struct {
	threads map[int]*tileUnit
	pid     int            // of the thread whose instruction it is
	count   map[string]int // instructions interpreted
}

// errForbidden says that programs cannot be traced here.
var errForbidden = errors.New("tracing is forbidden")

func forbidden(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("%w: %w", errForbidden, err)
	}
	return err
}

// run starts cmd and returns its status. It must have no pipes: cmd.Wait is not called.
func (tr *tracer) run(cmd *exec.Cmd) (unix.WaitStatus, error) {
	runtime.LockOSThread() // the one that traces; it ends with its goroutine
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return 0, forbidden(err)
	}
	main := cmd.Process.Pid
	defer cmd.Process.Release() //nolint:errcheck // nothing is waited for
	var status unix.WaitStatus
	if _, err := wait(main, &status); err != nil {
		return 0, err
	}
	if err := unix.PtraceSetOptions(main, unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		return 0, errors.Join(forbidden(err), cmd.Process.Kill())
	}
	tr.threads, tr.count = map[int]*tileUnit{main: {}}, map[string]int{}
	if err := resume(main, 0); err != nil {
		return 0, err
	}
	for {
		pid, err := wait(-1, &status)
		if err != nil {
			return 0, err
		}
		if status.Exited() || status.Signaled() {
			delete(tr.threads, pid)
			if pid == main {
				return status, nil
			}
			continue
		}
		signal, err := tr.stopped(pid, status)
		if err != nil {
			return 0, errors.Join(err, cmd.Process.Kill())
		}
		if err := resume(pid, signal); err != nil {
			return 0, err
		}
	}
}

// stopped handles a thread that has stopped, and returns the signal that it gets.
func (tr *tracer) stopped(pid int, status unix.WaitStatus) (unix.Signal, error) {
	signal := status.StopSignal()
	unit, known := tr.threads[pid]
	if !known { // a new thread begins with SIGSTOP
		tr.threads[pid] = &tileUnit{}
		if signal == unix.SIGSTOP {
			return 0, nil
		}
		unit = tr.threads[pid]
	}
	switch {
	case signal == unix.SIGTRAP && status.TrapCause() > 0:
		return 0, nil // it made a thread
	case signal == unix.SIGILL:
		tr.pid = pid
		return tr.interpret(unit)
	}
	return signal, nil
}

// interpret executes the instruction that raised SIGILL, if it is for tiles.
func (tr *tracer) interpret(unit *tileUnit) (unix.Signal, error) {
	var regs unix.PtraceRegsAmd64
	if err := unix.PtraceGetRegsAmd64(tr.pid, &regs); err != nil {
		return 0, err
	}
	code := make([]byte, 16)
	n, err := tr.move([][]byte{code}, regs.Rip, 0, unix.ProcessVMReadv)
	if err != nil {
		return 0, err
	}
	in, ok := decodeTile(code[:n])
	if !ok {
		return unix.SIGILL, nil
	}
	where := regs.Rip
	regs.Rip += uint64(in.length)
	m := machine{
		register: func(n int) uint64 { return *register(&regs, n) },
		next:     regs.Rip,
		read:     tr.mover(unix.ProcessVMReadv),
		write:    tr.mover(unix.ProcessVMWritev),
	}
	if err := unit.run(&in, &m); err != nil {
		return 0, fmt.Errorf("%s at %#x: %w", in.name, where, err)
	}
	tr.count[in.name]++
	return 0, unix.PtraceSetRegsAmd64(tr.pid, &regs)
}

type transfer func(pid int, local []unix.Iovec, remote []unix.RemoteIovec, flags uint) (int, error)

// mover moves rows as a whole.
func (tr *tracer) mover(how transfer) func(rows [][]byte, at, stride uint64) error {
	return func(rows [][]byte, at, stride uint64) error {
		n, err := tr.move(rows, at, stride, how)
		for _, row := range rows {
			n -= len(row)
		}
		if err != nil || n != 0 {
			return fmt.Errorf("memory at %#x, stride %d: %d bytes missing: %v", at, stride, -n, err)
		}
		return nil
	}
}

func (tr *tracer) move(rows [][]byte, at, stride uint64, how transfer) (int, error) {
	local, remote := make([]unix.Iovec, len(rows)), make([]unix.RemoteIovec, len(rows))
	for i, row := range rows {
		local[i] = unix.Iovec{Base: unsafe.SliceData(row), Len: uint64(len(row))}
		remote[i] = unix.RemoteIovec{Base: uintptr(at + uint64(i)*stride), Len: len(row)}
	}
	return how(tr.pid, local, remote, 0)
}

// register is one by its number in instructions.
func register(r *unix.PtraceRegsAmd64, n int) *uint64 {
	return []*uint64{
		&r.Rax, &r.Rcx, &r.Rdx, &r.Rbx, &r.Rsp, &r.Rbp, &r.Rsi, &r.Rdi,
		&r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15,
	}[n]
}

// wait waits for what this thread started or traces, and for nothing of others.
func wait(pid int, status *unix.WaitStatus) (int, error) {
	for {
		pid, err := unix.Wait4(pid, status, unix.WALL|unix.WNOTHREAD, nil)
		if err != unix.EINTR {
			return pid, err
		}
	}
}

// resume continues a thread, unless it is gone.
func resume(pid int, signal unix.Signal) error {
	if err := unix.PtraceCont(pid, int(signal)); err != unix.ESRCH {
		return err
	}
	return nil
}
