package config

import (
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Build is what a program was built from.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, 12 digits
	Go       string `json:"go"`
}

// ThisBuild is the build of the program that runs.
func ThisBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Build{Version: "(unknown)"}
	}
	b := Build{Version: info.Main.Version, Go: info.GoVersion}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value[:min(12, len(s.Value))]
		}
	}
	return b
}

// String is the version, the revision if it is known, and the Go version.
func (b Build) String() string {
	s := b.Version
	for _, more := range []string{b.Revision, b.Go} {
		if more != "" {
			s += " " + more
		}
	}
	return s
}

// AddVersion gives a program the flag --version.
func AddVersion(root *cobra.Command) {
	root.Version = ThisBuild().String()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
}
