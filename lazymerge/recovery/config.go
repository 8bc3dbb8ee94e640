package recovery

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const configName = "adapter_config.json"

var checkpointName = regexp.MustCompile(`^checkpoint-(\d{1,18})$`)

// findConfig looks for the config of an adapter near a checkpoint: in its directory, the
// one above (which is the checkpoint's, when path is that of a step), the run's, and in
// the run's other checkpoints, the newest first. PEFT gives an adapter that is not called
// "default" a sub-directory of its name; alone says that the model has no other, whose
// config the one of the directory itself could be. "" when there is none.
func findConfig(path, adapter string, alone bool) string {
	dir := path
	if st, err := os.Stat(path); err == nil && !st.IsDir() {
		dir = filepath.Dir(path)
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	dirs := []string{dir, filepath.Dir(dir)}
	run := ""
	switch {
	case checkpointName.MatchString(filepath.Base(dir)):
		run = filepath.Dir(dir)
	case checkpointName.MatchString(filepath.Base(filepath.Dir(dir))):
		run = filepath.Dir(filepath.Dir(dir))
		dirs = append(dirs, run)
	}
	if run != "" {
		dirs = append(dirs, siblings(run)...)
	}
	subs := []string{"."}
	if adapter != "" && filepath.IsLocal(adapter) {
		subs = []string{adapter, "."}
		if !alone && adapter != "default" {
			subs = subs[:1]
		}
	}
	for _, d := range dirs {
		for _, sub := range subs {
			if file := filepath.Join(d, sub, configName); regular(file) {
				return file
			}
		}
	}
	return ""
}

// siblings are the checkpoints of a run, the newest first.
func siblings(run string) []string {
	entries, err := os.ReadDir(run)
	if err != nil {
		return nil
	}
	steps := make(map[string]int64)
	var dirs []string
	for _, e := range entries {
		if m := checkpointName.FindStringSubmatch(e.Name()); m != nil {
			dir := filepath.Join(run, e.Name())
			steps[dir], _ = strconv.ParseInt(m[1], 10, 64)
			dirs = append(dirs, dir)
		}
	}
	slices.SortFunc(dirs, func(a, b string) int {
		if steps[a] != steps[b] {
			return int(max(min(steps[b]-steps[a], 1), -1))
		}
		return strings.Compare(a, b)
	})
	return dirs
}

func regular(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// sameAlpha checks that the alpha asked for, "" for none, is that of a config's text.
// Error: *AlphaConflictError.
func sameAlpha(checkpoint, config string, text []byte, kind, asked string) error {
	if asked == "" {
		return nil
	}
	var fields struct {
		Alpha json.RawMessage `json:"lora_alpha"`
	}
	if err := json.Unmarshal(text, &fields); err != nil {
		return fmt.Errorf("reading lora_alpha of %q: %w", config, err)
	}
	has := string(fields.Alpha)
	if has == "" && kind == "LORA" {
		has = "8" // what PEFT takes
	}
	a, errA := strconv.ParseFloat(has, 64)
	b, errB := strconv.ParseFloat(asked, 64)
	if errA != nil || errB != nil || a != b {
		return &AlphaConflictError{Checkpoint: checkpoint, Config: config, Has: has, Asked: asked}
	}
	return nil
}
