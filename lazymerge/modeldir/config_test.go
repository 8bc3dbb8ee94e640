package modeldir

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestBaseConfig(t *testing.T) {
	for text, wrong := range map[string]string{
		`{"model_type": "llama"}`: "",
		" {}\n":                   "",
		`{"a": [NaN, -Infinity, Infinity], "b": "\"NaN", "c": 1}`: "",
		"":                          "empty",
		" \n":                       "empty",
		"[]":                        "not a JSON object",
		"null":                      "not a JSON object",
		`{"a": 1`:                   "not a JSON object",
		`{"a": Nan}`:                "not a JSON object",
		"{} {}":                     "not a JSON object",
		"<html>":                    "not a JSON object",
		strings.Repeat("[", 100000): "not a JSON object",
		"\xef\xbb\xbf{}":            "not a JSON object",
	} {
		dir := tree{"config.json": text, "model.safetensors": weights(t)}.write(t, t.TempDir())
		_, err := OpenBase(dir)
		var config *ConfigError
		switch {
		case wrong == "" && err != nil:
			t.Errorf("%.40q: %v", text, err)
		case wrong != "" && (!errors.As(err, &config) || !strings.Contains(err.Error(), wrong)):
			t.Errorf("%.40q: got %v, want %q", text, err, wrong)
		case wrong != "" && config.Path != filepath.Join(dir, "config.json"):
			t.Errorf("%.40q: path %q", text, config.Path)
		}
	}
}

func FuzzCheckConfig(f *testing.F) {
	f.Add([]byte(`{"a": [NaN, "\\", -Infinity]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got := withoutWords(text); len(got) != len(text) {
			t.Fatalf("%q became %q", text, got)
		}
		_ = checkConfig(text)
	})
}
