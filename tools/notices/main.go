// Command notices writes the licenses of all that our programs are made of, for
// every system that they are built for: the texts that must come with a binary.
//
//	cd tools && go run ./notices -out ../internal/notices/THIRD_PARTY_NOTICES
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	out := flag.String("out", "../internal/notices/THIRD_PARTY_NOTICES", "file to write")
	flag.Parse()
	text, err := notices("..")
	if err == nil {
		err = os.WriteFile(*out, text, 0o644)
	}
	if err != nil {
		log.Fatalln("notices:", err)
	}
}

// notices finds each license text once, with the modules that it is of.
func notices(root string) ([]byte, error) {
	texts := map[string][]string{}
	for _, system := range []string{"linux", "darwin", "windows"} {
		if err := collect(root, system, texts); err != nil {
			return nil, err
		}
	}
	return write(texts), nil
}

// collect adds the texts of what is linked on one system.
func collect(root, system string, texts map[string][]string) error {
	cmd := exec.Command("go", "list", "-e", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", "./cmd/...")
	cmd.Dir, cmd.Env, cmd.Stderr = root, append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0"), os.Stderr
	list, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go list for %s: %w", system, err)
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	dir := strings.TrimSpace(string(goroot))
	lines := append(strings.Split(strings.TrimSpace(string(list)), "\n"), "The Go standard library\t"+dir+"\t"+dir)
	for _, line := range lines {
		part := strings.Split(line, "\t")
		if len(part) != 3 {
			continue // a package of the standard library, or of ours
		}
		if err := addModule(part[0], part[1], part[2], texts); err != nil {
			return err
		}
	}
	return nil
}

// addModule adds the texts of a package and of the folders above it, up to its
// module's.
func addModule(name, module, pkg string, texts map[string][]string) error {
	found := 0
	for dir := pkg; strings.HasPrefix(dir, module); dir = filepath.Dir(dir) {
		files, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, f := range files {
			if f.IsDir() || !isLicense(f.Name()) {
				continue
			}
			data, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				return err
			}
			found++
			if text := clean(data); !slices.Contains(texts[text], name) {
				texts[text] = append(texts[text], name)
			}
		}
	}
	if found == 0 {
		return fmt.Errorf("%s: there is no license in %s", name, module)
	}
	return nil
}

func isLicense(name string) bool {
	return regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying|notice|patents|copyright)([-_.].*)?$`).MatchString(name) && !strings.HasSuffix(name, ".go")
}

// clean makes one of texts that differ in line endings and outer white space.
func clean(data []byte) string {
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	return strings.TrimSpace(string(bytes.ToValidUTF8(data, []byte("?"))))
}

func write(texts map[string][]string) []byte {
	var parts []string
	for text, names := range texts {
		slices.Sort(names)
		parts = append(parts, strings.Join(names, "\n")+"\n\n"+text+"\n")
	}
	slices.Sort(parts)
	const rule = "================================================================================\n"
	return []byte("What the programs of Indelible are made of besides its own code, and under which licenses.\n" +
		"Made by tools/notices; do not edit.\n\n" + rule + strings.Join(parts, "\n"+rule))
}
