package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// ignoredMountOptions are those of mount(8) and systemd that fstab lines carry and
// that mean nothing to a tree that nobody can write to. rw is among them since
// mount(8) adds it by itself.
var ignoredMountOptions = []string{
	"async", "atime", "auto", "default_permissions", "defaults", "dev", "diratime", "exec", "fail", "group",
	"lazytime", "loud", "mand", "noatime", "noauto", "nodev", "nodiratime", "noexec", "nofail", "nogroup",
	"nolazytime", "nomand", "noowner", "norelatime", "nosuid", "nouser", "nousers", "owner", "relatime", "ro",
	"rw", "silent", "strictatime", "suid", "sync", "user", "users", "_netdev",
}

// notInConfig are the flags that say where the others stand.
var notInConfig = []string{"o", "config", "help"}

// applyConfig completes the flags of c from -o and then from the YAML file: what
// stands on the command line wins over -o, and -o over the file.
func applyConfig(c *cli.Context) error {
	usage := func(err error) error { return &usageError{command: c.Command.Name, err: err} }
	options, err := parseMountOptions(c.StringSlice("o"))
	if err != nil {
		return usage(err)
	}
	if config, ok := options["config"]; ok {
		if err := setFlag(c, "-o", "config", config[len(config)-1:]); err != nil {
			return usage(err)
		}
		delete(options, "config")
	}
	if err := setFlags(c, "-o", options); err != nil {
		return usage(err)
	}
	file := c.String("config")
	if file == "" {
		return nil
	}
	values, err := readConfig(file)
	if err != nil {
		return usage(err)
	}
	if err := setFlags(c, file, values); err != nil {
		return usage(err)
	}
	return nil
}

// settings are flag values by flag name, before they are checked.
type settings map[string][]string

// setFlags sets the flags that are not set yet. Names may have underscores for
// dashes, as mount options usually do.
func setFlags(c *cli.Context, source string, values settings) error {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		flag := strings.ReplaceAll(name, "_", "-")
		known := slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), flag) })
		if !known || slices.Contains(notInConfig, flag) {
			return fmt.Errorf("%s: unknown option %q", source, name)
		}
		if err := setFlag(c, source, flag, values[name]); err != nil {
			return err
		}
	}
	return nil
}

// bare is the value of an option without "=". No argument can hold a zero byte.
const bare = "\x00"

// setFlag sets a flag that is not set yet.
func setFlag(c *cli.Context, source, flag string, values []string) error {
	if c.IsSet(flag) {
		return nil
	}
	for _, v := range values {
		if v == bare {
			if flagKinds(c.Command.Flags)[flag] {
				return fmt.Errorf("%s: option %q needs a value", source, flag)
			}
			v = "true"
		}
		if err := c.Set(flag, v); err != nil {
			return fmt.Errorf("%s: option %q: %q is no value for it: %w", source, flag, v, err)
		}
	}
	return nil
}

// parseMountOptions reads "k=v,k2" lists. A comma or backslash in a value is
// written with a backslash in front, as libfuse does.
func parseMountOptions(lists []string) (settings, error) {
	out := make(settings)
	for _, list := range lists {
		words, err := splitOptions(list)
		if err != nil {
			return nil, err
		}
		for _, word := range words {
			name, value, hasValue := strings.Cut(word, "=")
			if ignoredOption(name) {
				continue
			}
			if name == "" {
				return nil, fmt.Errorf("-o %q: an option without a name", list)
			}
			if !hasValue {
				out[name] = append(out[name], bare)
				continue
			}
			out[name] = append(out[name], value)
		}
	}
	return out, nil
}

func ignoredOption(name string) bool {
	return slices.Contains(ignoredMountOptions, name) ||
		strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-") || name == "comment"
}

func splitOptions(list string) ([]string, error) {
	var words []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
		}
		word.Reset()
	}
	for i := 0; i < len(list); i++ {
		switch c := list[i]; c {
		case ',':
			end()
		case '\\':
			if i++; i == len(list) {
				return nil, fmt.Errorf("-o %q ends with a backslash", list)
			}
			word.WriteByte(list[i])
		default:
			word.WriteByte(c)
		}
	}
	end()
	return words, nil
}

// readConfig reads a YAML map of flag names to values.
func readConfig(file string) (settings, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var raw map[string]yaml.Node
	if err := yaml.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	out := make(settings, len(raw))
	for name, node := range raw {
		values, err := scalars(node)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: option %q: %w", file, node.Line, name, err)
		}
		out[name] = values
	}
	return out, nil
}

func scalars(node yaml.Node) ([]string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return nil, errors.New("it has no value")
		}
		return []string{node.Value}, nil
	case yaml.SequenceNode:
		var out []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, errors.New("a list holds values only")
			}
			out = append(out, item.Value)
		}
		return out, nil
	}
	return nil, errors.New("a value or a list of values is wanted")
}

// mountHelperArgs turns the command line of mount(8) into ours: it runs
// "lorafs SOURCE MOUNTPOINT -o OPTIONS" for the type fuse.lorafs, and a link
// called mount.lorafs (or mount.fuse.lorafs) the same way for the type lorafs.
// SOURCE is the base; the adapters stand in the options.
func mountHelperArgs(argv []string, app *cli.App) []string {
	if len(argv) == 0 {
		return argv
	}
	asHelper := strings.HasPrefix(filepath.Base(argv[0]), "mount.")
	if !asHelper {
		bare := len(argv) >= 4 && !strings.HasPrefix(argv[1], "-") && app.Command(argv[1]) == nil
		if !bare || !slices.ContainsFunc(argv[3:], func(w string) bool { return strings.HasPrefix(w, "-o") }) {
			return argv
		}
	}
	out := []string{argv[0], "mount"}
	for i := 1; i < len(argv); i++ {
		switch w := argv[i]; w {
		case "-s", "-n", "-v", "-w", "-r": // sloppy, no mtab, verbose, rw, ro: nothing to do
		case "-t":
			i++
		default:
			out = append(out, w)
		}
	}
	return out
}
