package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// daemonChild is the program "daemon-child": a background process that behaves as
// its argument says.
func daemonChild() {
	pipe, err := daemonPipe()
	if err != nil || pipe == nil {
		fmt.Fprintln(os.Stderr, "no pipe:", err)
		os.Exit(9)
	}
	switch os.Args[1] {
	case "ready":
		if err := reportReady(pipe, nil, "all is well"); err != nil {
			os.Exit(9)
		}
	case "fail":
		os.Exit(2)
	case "quit":
		os.Exit(0)
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "hang":
		terminated := make(chan os.Signal, 1)
		signal.Notify(terminated, syscall.SIGTERM)
		mustWrite(os.Args[2], fmt.Sprint(os.Getpid()))
		<-terminated
		os.Exit(1)
	case "stay":
		log, err := os.Create(os.Args[2])
		if err != nil {
			os.Exit(9)
		}
		fmt.Fprintln(os.Stderr, "before")
		if err := reportReady(pipe, log, ""); err != nil {
			os.Exit(9)
		}
		fmt.Fprintln(os.Stderr, "behind", os.Getenv(readyVariable), syscall.Getpgrp() == os.Getpid())
		var stop [1]byte
		f, _ := os.Open(os.Args[3])
		_, _ = f.Read(stop[:])
	}
}

func mustWrite(name, text string) {
	if err := os.WriteFile(name+".tmp", []byte(text), 0o644); err != nil {
		panic(err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		panic(err)
	}
}

func TestDaemonReady(t *testing.T) {
	summary, err := startDaemon(t.Context(), []string{"daemon-child", "ready"})
	if err != nil || summary != "all is well" {
		t.Errorf("got %q, %v", summary, err)
	}
}

func TestDaemonFailure(t *testing.T) {
	for how, want := range map[string]string{
		"fail": "ended with status 2",
		"quit": "ended before the mount was ready",
		"die":  "died before the mount was ready: signal: killed",
	} {
		_, err := startDaemon(t.Context(), []string{"daemon-child", how})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", how, err, want)
		}
	}
	var child *childError
	_, err := startDaemon(t.Context(), []string{"daemon-child", "fail"})
	if !errors.As(err, &child) || stdioForTest().finish(err) != 2 {
		t.Errorf("error %v does not carry the child's status", err)
	}
}

func stdioForTest() stdio { return testApp().io }

// An interrupted parent ends the child and waits for it.
func TestDaemonInterrupted(t *testing.T) {
	started := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := startDaemon(ctx, []string{"daemon-child", "hang", started})
		done <- err
	}()
	pid, err := strconv.Atoi(waitForFile(t, started))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child is still there: %v", err)
	}
}

func waitForFile(t *testing.T, name string) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if b, err := os.ReadFile(name); err == nil && len(b) > 0 {
			return string(b)
		}
	}
	t.Fatalf("%s was not written", name)
	return ""
}

// A daemon lets go of the descriptors that it was started with, is the leader of
// its own process group, and does not hand on that it is a child.
func TestDaemonDetaches(t *testing.T) {
	dir := t.TempDir()
	log, stop := filepath.Join(dir, "log"), filepath.Join(dir, "stop")
	if err := syscall.Mkfifo(stop, 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	_, err = startDaemon(t.Context(), []string{"daemon-child", "stay", log, stop})
	os.Stderr = stderr
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	// The read ends only when no process holds the write end.
	var lines []string
	for sc := bufio.NewScanner(r); sc.Scan(); {
		lines = append(lines, sc.Text())
	}
	if want := "before"; strings.Join(lines, "|") != want {
		t.Errorf("stderr holds %q, want %q", lines, want)
	}
	if got, want := waitForFile(t, log), "behind  true\n"; got != want {
		t.Errorf("log holds %q, want %q", got, want)
	}
	end, err := os.OpenFile(stop, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	end.Close()
}
