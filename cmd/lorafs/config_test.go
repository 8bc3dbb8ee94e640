package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// parsed runs the parser of mount on a command line.
func parsed(t *testing.T, args ...string) (mountOptions, error) {
	t.Helper()
	var o mountOptions
	app := newApp(testApp().io, cacheDefault)
	app.Command("mount").Action = func(c *cli.Context) (err error) {
		o, err = parseMount(c)
		return err
	}
	err := app.Run(permute(append([]string{"lorafs", "mount"}, args...), app))
	return o, err
}

func TestMountOptionsFromEverywhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lorafs.yaml")
	text := "cache-size: 3GiB\nthreads: 7\nrounding: once\nallow_unused: true\nadapter: [C, D]\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	o, err := parsed(t, "B", "A", "/mnt", "--threads", "5", "-o", "ro,rounding=twice,x-systemd.automount,config="+file, "-o", "allow_other")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"A", "C", "D"}; o.base != "B" || o.mountpoint != "/mnt" || !slices.Equal(o.adapters, want) {
		t.Errorf("got %q %q %q, want B %q /mnt", o.base, o.adapters, o.mountpoint, want)
	}
	if o.threads != 5 || o.cacheBytes != 3<<30 || !o.allowOther || !o.merge.AllowUnused || o.merge.AllowNonFinite {
		t.Errorf("got %+v", o)
	}
	if want := map[uint8]string{2: "twice"}; want[uint8(o.merge.Rounding)] == "" {
		t.Errorf("rounding is %d: -o must win over the file", o.merge.Rounding)
	}
}

func TestFstabLine(t *testing.T) {
	o, err := parsed(t, "B", "/mnt", "-o", `rw,nosuid,dev,noauto,_netdev,adapter=/a\,b,adapter=C`)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/a,b", "C"}; !slices.Equal(o.adapters, want) {
		t.Errorf("adapters %q, want %q", o.adapters, want)
	}
}

func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct{ yaml, option, want string }{
		{"cachesize: 1", "", `unknown option "cachesize"`},
		{"threads: many", "", `"many" is no value`},
		{"threads:", "", "it has no value"},
		{"threads: {a: 1}", "", "a value or a list of values is wanted"},
		{"threads: 1\nthreads: 2", "", "already defined"},
		{"config: other.yaml", "", `unknown option "config"`},
		{"", "nosuch", `unknown option "nosuch"`},
		{"", "threads=0", "at least one is needed"},
		{"", `a\`, "ends with a backslash"},
		{"", "=x", "an option without a name"},
		{"", "cache_size=lots", "is no size"},
		{"", "rounding=up", "known are peft, once, twice"},
		{"", "config=/nonexistent/lorafs.yaml", "no such file"},
	} {
		args := []string{"B", "A", "/mnt"}
		if tc.yaml != "" {
			file := filepath.Join(dir, "c.yaml")
			if err := os.WriteFile(file, []byte(tc.yaml), 0o644); err != nil {
				t.Fatal(err)
			}
			args = append(args, "--config", file)
		}
		if tc.option != "" {
			args = append(args, "-o", tc.option)
		}
		_, err := parsed(t, args...)
		if err == nil || !strings.Contains(err.Error(), tc.want) || exitStatus(err) != 2 {
			t.Errorf("yaml %q, -o %q: error %v, want usage error with %q", tc.yaml, tc.option, err, tc.want)
		}
	}
}

// Every flag of mount but those that say where the others stand can be set in the
// file and by -o.
func TestEveryFlagInConfig(t *testing.T) {
	values := map[string]string{"cache-size": "1", "threads": "1", "rounding": "once", "log-level": "info", "log-file": "x", "adapter": "x", "experts": "grouped",
		"combine": "linear", "density": "0.5,combine=ties", "majority-sign": "frequency,combine=ties,density=1", "seed": "7,combine=dare_linear,density=0.5"}
	for _, f := range newApp(testApp().io, cacheDefault).Command("mount").Flags {
		name := f.Names()[0]
		if slices.Contains(notInConfig, name) {
			continue
		}
		v, ok := values[name]
		if !ok {
			v = "true"
		}
		if _, err := parsed(t, "B", "A", "/mnt", "-o", name+"="+v); err != nil {
			t.Errorf("-o %s=%s: %v", name, v, err)
		}
	}
}

func FuzzMountOptions(f *testing.F) {
	f.Add("ro,cache_size=1GiB,adapter=a\\,b")
	f.Add(",,a=,b==c,\\\\")
	f.Fuzz(func(t *testing.T, list string) {
		got, err := parseMountOptions([]string{list})
		if err != nil {
			return
		}
		// Written back with every special character escaped, the list reads the same.
		escape := strings.NewReplacer(`\`, `\\`, ",", `\,`)
		var words []string
		for name, values := range got {
			for _, v := range values {
				words = append(words, escape.Replace(name+"="+v))
			}
		}
		again, err := parseMountOptions([]string{strings.Join(words, ",")})
		if err != nil || len(got) != len(again) || len(got) > 0 && !reflect.DeepEqual(got, again) {
			t.Fatalf("%q: %q, written back and read: %q, %v", list, got, again, err)
		}
	})
}
