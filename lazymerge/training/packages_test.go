package training

import (
	"strings"
	"testing"
)

func TestAgainst(t *testing.T) {
	for _, c := range []struct {
		file, text string
		want       relation
	}{
		{"requirements.txt", "transformers==4.57.6", below},
		{"requirements.txt", "transformers == 5.0.0 # pinned", atLeast},
		{"requirements.txt", "transformers==5.0.0rc0", below},
		{"requirements.txt", "transformers[torch]==4.40 ; python_version > '3.8'", below},
		{"requirements.txt", "Transformers>=4.40", unknown},
		{"requirements.txt", "transformers>=5.1", atLeast},
		{"requirements.txt", "transformers>=4.40,<5", below},
		{"requirements.txt", "transformers<=4.99", below},
		{"requirements.txt", "transformers~=4.40", below},
		{"requirements.txt", "transformers~=4.40.0", below},
		{"requirements.txt", "transformers==4.*", below},
		{"requirements.txt", "transformers==5.*", atLeast},
		{"requirements.txt", "transformers!=4.40", unknown},
		{"requirements.txt", "transformers", unknown},
		{"requirements.txt", "transformers @ git+https://github.com/huggingface/transformers", unknown},
		{"requirements.txt", "# transformers==4.40", unknown},
		{"requirements.txt", "sentence-transformers==2.2.0", unknown},
		{"requirements.txt", "transformers-stream-generator==0.0.5", unknown},
		{"requirements.txt", "transformers==4.40 \\\n    --hash=sha256:aa", below},
		{"requirements.txt", "transformers==4.40\ntransformers==5.1", unknown},
		{"requirements.txt", "transformers>=4.40\ntransformers==5.1", atLeast},
		{"pip-freeze.txt", "torch==2.4.0+cu121\ntransformers==4.46.3\n", below},
		{"pip_list.txt", "Package      Version\n------------ -------\ntransformers 4.46.3\n", below},
		{"environment.yml", "dependencies:\n  - python=3.11\n  - transformers=4.40\n  - pip:\n", below},
		{"environment.yml", "dependencies:\n  - transformers=4.40.1=pyhd8ed1ab_0\n", below},
		{"environment.yml", "dependencies:\n  - pip:\n    - transformers==5.2\n", atLeast},
		{"poetry.lock", "[[package]]\nname = \"transformers\"\nversion = \"4.46.3\"\n", below},
		{"uv.lock", "[[package]]\nname = \"x\"\nversion = \"1.0\"\n\n[[package]]\nname = \"transformers\"\nversion = \"5.1.0\"\n", atLeast},
		{"pyproject.toml", "dependencies = [\n  \"torch\",\n  \"transformers>=4.40,<5\",\n]\n", below},
		{"pyproject.toml", "dependencies = [\"torch\", \"transformers==4.40\"]\n", below},
		{"pyproject.toml", "[tool.poetry.dependencies]\ntransformers = \"4.46.3\"\n", below},
		{"pyproject.toml", "[tool.poetry.dependencies]\ntransformers = \"^4.46\"\n", below},
		{"pyproject.toml", "[tool.poetry.dependencies]\ntransformers = {extras = [\"torch\"], version = \"~4.46\"}\n", below},
		{"README.md", "### Framework versions\n\n- PEFT 0.11.1\n- Transformers 4.41.0\n", below},
		{"README.md", "It needs transformers 4.41.0 or later.\n", unknown},
	} {
		p := packages{}
		p.readPackages(c.file, []byte(c.text))
		if got, _ := p.against("transformers", "5.0.0"); got != c.want {
			t.Errorf("%s %q: %d, want %d (%+v)", c.file, c.text, got, c.want, p)
		}
	}
}

func FuzzPackages(f *testing.F) {
	f.Add("transformers==4.40\nname = \"safetensors\"\nversion = \"0.4\"\n- Transformers 5.0\n")
	f.Fuzz(func(t *testing.T, text string) {
		p := packages{}
		p.readPackages("f", []byte(text))
		r, from := p.against("transformers", "5.0.0")
		if r != unknown && !strings.Contains(strings.ToLower(text), "transformers") {
			t.Errorf("%+v from a list without the package", from)
		}
	})
}
