package main

import (
	"fmt"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"
)

// The scripts ask the program itself for the words that fit, so they need no
// change when a command gains a flag; where it has none, files are completed.
const bashCompletion = `_lorafs() {
  local word="${COMP_WORDS[COMP_CWORD]}" words
  words="$("${COMP_WORDS[@]:0:COMP_CWORD}" ${word:+"$word"} ` + completionArg + ` 2>/dev/null)"
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -o bashdefault -F _lorafs lorafs
`

const zshCompletion = `#compdef lorafs
_lorafs() {
  local -a found
  found=("${(@f)$("${(@)words[1,CURRENT-1]}" ${words[CURRENT]:+"${words[CURRENT]}"} ` + completionArg + ` 2>/dev/null)}")
  if (( ${#found} )) && [[ -n "${found[1]}" ]]; then
    _describe 'lorafs' found
  else
    _files
  fi
}
compdef _lorafs lorafs
`

func completionCommand(io stdio) *cli.Command {
	return &cli.Command{
		Name:        "completion",
		Usage:       "print the completion script for a shell",
		ArgsUsage:   "bash|zsh|fish",
		Description: "bash: lorafs completion bash > /etc/bash_completion.d/lorafs\nzsh:  source <(lorafs completion zsh)\nfish: lorafs completion fish > ~/.config/fish/completions/lorafs.fish",
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1); err != nil {
				return err
			}
			return runCompletion(c, io)
		},
	}
}

func runCompletion(c *cli.Context, io stdio) error {
	shells := map[string]func() (string, error){
		"bash": func() (string, error) { return bashCompletion, nil },
		"zsh":  func() (string, error) { return zshCompletion, nil },
		"fish": c.App.ToFishCompletion,
	}
	script, ok := shells[c.Args().First()]
	if !ok {
		var known []string
		for name := range shells {
			known = append(known, name)
		}
		sort.Strings(known)
		return &usageError{command: "completion", err: fmt.Errorf("unknown shell %q; known are %s", c.Args().First(), strings.Join(known, ", "))}
	}
	text, err := script()
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(io.out, text)
	return err
}
