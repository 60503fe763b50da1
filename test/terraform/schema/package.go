package schema

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strings"
)

var providerVersion = regexp.MustCompile(`registry\.terraform\.io/providers/[a-z]+/[a-z]+/([0-9.]+)`)

// Read returns what an npm package says of a provider and of those of its resources
// that are wanted; data sources are named as data.TYPE. One that is missing is an error.
func Read(tgz, provider string, wanted []string) (Provider, error) {
	p := Provider{
		Name: provider, Resources: map[string]Block{}, Data: map[string]Block{}, Ephemeral: map[string]Block{},
	}
	for name, block := range Ephemeral(provider) {
		p.Ephemeral[name] = block
	}
	folders := map[string]string{"provider": ""}
	for _, w := range wanted {
		folders[folder(provider, w)] = w
	}
	found, err := scripts(tgz, folders)
	if err != nil {
		return p, err
	}
	for name, w := range folders {
		source, ok := found[name]
		if !ok {
			return p, fmt.Errorf("%s: there is no %s %s", tgz, provider, w)
		}
		block, err := parse(source)
		if err != nil {
			return p, fmt.Errorf("%s: %s: %w", tgz, name, err)
		}
		switch kind, isData := strings.CutPrefix(w, "data."); {
		case w == "":
			p.Config = config(block)
			p.Version = firstMatch(providerVersion, source)
		case isData:
			p.Data[kind] = block
		default:
			p.Resources[w] = block
		}
	}
	if p.Version == "" {
		return p, fmt.Errorf("%s: the provider's version is nowhere", tgz)
	}
	return p, nil
}

// config is a provider's own block, of which nothing is computed.
func config(b Block) Block {
	for name, a := range b.Attributes {
		if a.Computed && !a.Optional {
			delete(b.Attributes, name)
			continue
		}
		a.Computed = false
		b.Attributes[name] = a
	}
	return b
}

// folder is where the package has a resource: aws_db_instance is in db-instance, and
// data.aws_region in data-aws-region.
func folder(provider, resource string) string {
	name, isData := strings.CutPrefix(resource, "data.")
	if isData {
		name = "data_" + name
	} else {
		name = strings.TrimPrefix(name, provider+"_")
	}
	return strings.ReplaceAll(name, "_", "-")
}

// scripts returns the TypeScript of the wanted folders. The package has it in the
// source maps, with the comments that the compiler drops: they alone tell what is
// computed.
func scripts(tgz string, folders map[string]string) (map[string]string, error) {
	f, err := os.Open(tgz)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		// package/lib/FOLDER/index.js; large resources have their structs in a folder below.
		parts := strings.Split(h.Name, "/")
		if len(parts) < 4 || path.Ext(h.Name) != ".js" {
			continue
		}
		name := parts[2]
		if _, ok := folders[name]; !ok {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		text, err := typescript(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		found[name] += text
	}
}

func typescript(js []byte) (string, error) {
	_, encoded, ok := bytes.Cut(js, []byte("\n//# sourceMappingURL=data:application/json;base64,"))
	if !ok {
		return "", errors.New("there is no source map")
	}
	var m struct {
		Sources []string `json:"sourcesContent"`
	}
	text, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(encoded)))
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return "", err
	}
	if len(m.Sources) != 1 {
		return "", fmt.Errorf("the source map has %d sources", len(m.Sources))
	}
	return m.Sources[0], nil
}

func firstMatch(r *regexp.Regexp, s string) string {
	if m := r.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return ""
}
