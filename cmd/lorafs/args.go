package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// completionArg is what the shell scripts of `lorafs completion` append; the words
// in front of it are half typed and must stay in their order.
const completionArg = "--generate-bash-completion"

// permute moves the flags of a command line in front of its arguments, since the
// flag package stops at the first argument and would take a later flag for one.
// "--" ends the flags; short flags may be bundled (-la) and carry their value
// (-oro).
func permute(argv []string, app *cli.App) []string {
	if len(argv) < 2 || argv[len(argv)-1] == completionArg {
		return argv
	}
	cmd := app.Command(argv[1])
	if cmd == nil {
		return argv
	}
	known := flagKinds(cmd.Flags)
	flags, args, complete := splitFlags(argv[2:], known)
	out := append([]string{argv[0], argv[1]}, flags...)
	if !complete || wantHelp(flags) {
		return out // the flag package says which flag lacks its value, and seeks help on arguments
	}
	return append(append(out, "--"), args...)
}

func wantHelp(flags []string) bool {
	return slices.ContainsFunc(flags, func(f string) bool { return f == "-h" || f == "-help" || f == "--help" })
}

// flagKinds maps every name of every flag to whether it takes a value.
func flagKinds(flags []cli.Flag) map[string]bool {
	kinds := map[string]bool{"help": false, "h": false}
	for _, f := range flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			kinds[name] = !isBool
		}
	}
	return kinds
}

// splitFlags parts words into flags with their values and arguments. It is not
// complete when the last flag lacks its value.
func splitFlags(words []string, known map[string]bool) (flags, args []string, complete bool) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		if w == "--" {
			return flags, append(args, words[i+1:]...), true
		}
		if len(w) < 2 || w[0] != '-' {
			args = append(args, w)
			continue
		}
		bundle := unbundle(w, known)
		flags = append(flags, bundle...)
		if known[strings.TrimLeft(bundle[len(bundle)-1], "-")] {
			if i++; i == len(words) {
				return flags, args, false
			}
			flags = append(flags, words[i])
		}
	}
	return flags, args, true
}

// unbundle splits -la into -l -a and -oro into -o ro. What it does not know stays
// as it is, so that the flag package names it in its error.
func unbundle(word string, known map[string]bool) []string {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if _, whole := known[name]; whole || strings.HasPrefix(word, "--") {
		return []string{word}
	}
	var out []string
	for i, letter := range word[1:] {
		takesValue, ok := known[string(letter)]
		if !ok {
			return []string{word}
		}
		out = append(out, "-"+string(letter))
		rest := word[1+i+len(string(letter)):]
		if takesValue && rest != "" {
			// One word, so that a value that begins with a dash is not read as a flag.
			out[len(out)-1] += "=" + rest
			return out
		}
	}
	return out
}
