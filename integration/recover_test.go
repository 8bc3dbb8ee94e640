package integration

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lorafs/lazymerge/recovery"
)

// TestPEFTLoadsRecovered rebuilds the adapter of every real checkpoint and lets PEFT load
// it on its base.
func TestPEFTLoadsRecovered(t *testing.T) {
	python := needPython(t)
	const truth = "../lazymerge/checkpoint/testdata"
	found, err := filepath.Glob(truth + "/*/checkpoint-2")
	if err != nil {
		t.Fatal(err)
	}
	options := map[string]recovery.Options{"plain-sharded": {Alpha: "6"}, "plain-two-adapters": {Adapter: "policy"}}
	without := map[string]bool{"fsdp1-local": true, "fsdp2-ranks": true, "fsdp1-full-adapter": true} // refused
	out, count := t.TempDir(), 0
	for _, dir := range found {
		name := filepath.Base(filepath.Dir(dir))
		if without[name] {
			continue
		}
		if _, err := recovery.Adapter(t.Context(), dir, filepath.Join(out, name), options[name], recovery.Hooks{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		count++
	}
	text, err := exec.Command(python, "checkpoints/load.py", "--recovered", out, "--truth", truth).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, dir := range found {
		name := filepath.Base(filepath.Dir(dir))
		if !without[name] && !strings.Contains(string(text), "\n"+name+" ") && !strings.HasPrefix(string(text), name+" ") {
			t.Errorf("PEFT did not load %s\n%s", name, text)
		}
	}
	if count < 20 {
		t.Errorf("only %d adapters", count)
	}
}
