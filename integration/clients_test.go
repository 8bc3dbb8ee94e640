package integration

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestPEFTConfirmsGoldens makes the golden data again with the real PEFT and
// compares it with what is committed.
func TestPEFTConfirmsGoldens(t *testing.T) {
	runPython(t, "peft/goldens.py", "--check", "testdata/goldens")
}

// TestRealClients lets safetensors, transformers and the usual tools read
// mounts; see clients/real_clients.py.
func TestRealClients(t *testing.T) {
	for _, check := range []string{"safetensors", "generation", "memory", "views"} {
		t.Run(check, func(t *testing.T) {
			needFUSE(t)
			runPython(t, "clients/real_clients.py", "--lorafs", program(t), "--only", check)
		})
	}
}

func runPython(t *testing.T, args ...string) {
	t.Helper()
	python := needPython(t)
	// Long enough for the first run, which prepares models.
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, args...)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "HF_HUB_OFFLINE=1", "PYTHONWARNINGS=ignore", "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
