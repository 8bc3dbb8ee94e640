package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"lorafs/lazymerge/kernel"
)

func versionCommand(io stdio) *cli.Command {
	return &cli.Command{
		Name:   "version",
		Usage:  "print the version, the commit and the kernel that computes",
		Flags:  []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error { return runVersion(c, io) },
	}
}

type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Kernel   string `json:"kernel"`
}

func runVersion(c *cli.Context, io stdio) error {
	if err := wantArgs(c, 0, 0); err != nil {
		return err
	}
	v := readVersion()
	if c.Bool("json") {
		return io.writeJSON(v)
	}
	commit := v.Commit
	if commit == "" {
		commit = "unknown"
	} else if v.Modified {
		commit += " (modified)"
	}
	fmt.Fprintf(io.out, "lorafs %s\ncommit   %s\ngo       %s\nplatform %s\nkernel   %s\n", v.Version, commit, v.Go, v.Platform, v.Kernel)
	return nil
}

func readVersion() versionInfo {
	v := versionInfo{
		Version:  buildVersion(),
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Kernel:   kernel.Default.Name,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	return v
}

// buildVersion is the module version, "(devel)" for a build from a checkout that
// has none.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
