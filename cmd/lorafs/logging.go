package main

import (
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"strings"
)

// openLog makes the logger of a mount. It writes to the file when one is named,
// else to stderr in the foreground and to the system's log in the background,
// where nobody reads stderr. file is nil without --log-file.
func openLog(path, level string, foreground bool, stderr io.Writer) (log *slog.Logger, file *os.File, err error) {
	o := &slog.HandlerOptions{}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil || strings.ContainsAny(level, "+-") {
		return nil, nil, &usageError{command: "mount", err: fmt.Errorf("--log-level %q: known are debug, info, warn, error", level)}
	}
	o.Level = l
	if path != "" {
		file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, nil, fmt.Errorf("open log: %w", err)
		}
		return slog.New(slog.NewTextHandler(file, o)), file, nil
	}
	if foreground {
		return slog.New(slog.NewTextHandler(stderr, o)), nil, nil
	}
	system, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_WARNING, "lorafs")
	if err != nil {
		return slog.New(slog.DiscardHandler), nil, nil
	}
	return slog.New(slog.NewTextHandler(system, o)), nil, nil
}
