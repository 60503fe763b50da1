package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	monitorpb "github.com/sigstore/protobuf-specs/gen/pb-go/monitor/v1"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"indelible/mirror/source"
	"indelible/monitor"
)

// monitorYAML is a configuration file: any flag, and what flags cannot say.
type monitorYAML struct {
	URLs     []string          `yaml:"urls"`
	Patterns []patternYAML     `yaml:"patterns"`
	Flags    map[string]string `yaml:",inline"`
}

type patternYAML struct {
	Name           string `yaml:"name"`
	Identity       string `yaml:"identity"`
	IdentityGlob   string `yaml:"identity-glob"`
	IdentityRegexp string `yaml:"identity-regexp"`
	Issuer         string `yaml:"issuer"`
	IssuerGlob     string `yaml:"issuer-glob"`
	IssuerRegexp   string `yaml:"issuer-regexp"`
	Key            string `yaml:"key"`
	Digest         string `yaml:"digest"`
	Module         string `yaml:"module"`
	Domain         string `yaml:"domain"`
}

func (y patternYAML) pattern() monitor.Pattern {
	return monitor.Pattern{
		Name: y.Name, Key: y.Key, Digest: y.Digest, Module: y.Module, Domain: y.Domain,
		Identity: monitor.Text{Exact: y.Identity, Glob: y.IdentityGlob, Regexp: y.IdentityRegexp},
		Issuer:   monitor.Text{Exact: y.Issuer, Glob: y.IssuerGlob, Regexp: y.IssuerRegexp},
	}
}

// read reads the configuration file. A flag that was given has the word before the
// file.
func (m *monitorFlags) read(cmd *cobra.Command) (patterns []monitor.Pattern, urls []string, err error) {
	if m.config == "" {
		return nil, nil, nil
	}
	data, err := readFile(m.config, maxTrust)
	if err != nil {
		return nil, nil, usagef("--config: %w", err)
	}
	y, err := parseMonitorYAML(data)
	if err == nil {
		err = m.apply(cmd, y.Flags)
	}
	if err != nil {
		return nil, nil, usagef("--config %s: %w", m.config, err)
	}
	for _, one := range y.Patterns {
		patterns = append(patterns, one.pattern())
	}
	return patterns, y.URLs, nil
}

func parseMonitorYAML(data []byte) (y monitorYAML, err error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&y); err != nil && !errors.Is(err, io.EOF) {
		return y, err
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return y, errors.New("it has a second document; give one")
	}
	return y, nil
}

// apply sets the flags that a file names.
func (m *monitorFlags) apply(cmd *cobra.Command, values map[string]string) error {
	for name, value := range values {
		f := cmd.Flags().Lookup(name)
		if f == nil || name == "config" || name == "help" {
			return fmt.Errorf("there is no setting %q; a key is a flag of logcli monitor, urls or patterns", name)
		}
		if f.Changed {
			continue
		}
		if err := f.Value.Set(value); err != nil {
			return fmt.Errorf("%s %q: %w", name, value, err)
		}
	}
	return nil
}

// sigstoreLog is a log that a MonitorConfig names.
type sigstoreLog struct {
	url, origin string
	format      source.Format
}

// readSigstoreConfig reads a MonitorConfig, and chooses the log of an origin, or the
// only one.
// SPEC: sigstore/protobuf-specs, sigstore_monitor.proto.
func readSigstoreConfig(file, origin string) (sigstoreLog, error) {
	data, err := readFile(file, maxTrust)
	if err != nil {
		return sigstoreLog{}, fmt.Errorf("--sigstore-config: %w", err)
	}
	logs, err := parseSigstoreConfig(data)
	if err != nil {
		return sigstoreLog{}, fmt.Errorf("--sigstore-config %s: it is not a MonitorConfig: %w", file, err)
	}
	var origins []string
	var found []sigstoreLog
	for _, l := range logs {
		origins = append(origins, fmt.Sprintf("%q", l.origin))
		if origin == "" || l.origin == origin {
			found = append(found, l)
		}
	}
	if len(found) != 1 {
		return sigstoreLog{}, fmt.Errorf("--sigstore-config %s names %d logs that could be meant, of %s: give --origin", file, len(found), strings.Join(origins, ", "))
	}
	return found[0], nil
}

func parseSigstoreConfig(data []byte) (logs []sigstoreLog, err error) {
	var c monitorpb.MonitorConfig
	if err := protojson.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	for _, l := range c.GetRekorLogs() {
		format := map[uint32]source.Format{1: source.RekorV1, 2: source.Tiles}[l.GetMajorApiVersion()]
		if format == "" {
			return nil, fmt.Errorf("the Rekor log %q has the API version %d; 1 and 2 are known", l.GetLogOrigin(), l.GetMajorApiVersion())
		}
		at := strings.TrimRight(l.GetReadUrl(), "/")
		if format == source.Tiles && !strings.HasSuffix(at, "/api/v2") {
			at += "/api/v2" // where Rekor v2 has its tiles
		}
		logs = append(logs, sigstoreLog{at, l.GetLogOrigin(), format})
	}
	for _, l := range c.GetCtLogs() {
		logs = append(logs, sigstoreLog{l.GetReadUrl(), l.GetLogOrigin(), source.StaticCT})
	}
	return logs, nil
}
