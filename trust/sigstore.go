package trust

import (
	"bytes"
	"encoding/json"
	"net/url"
	"time"
)

// What follows is the JSON of Sigstore's protobuf-specs, trustroot/v1, as far
// as it is needed here.

type trustedRoot struct {
	MediaType string `json:"mediaType"`
	Tlogs     []tlog `json:"tlogs"`
}

type tlog struct {
	BaseURL       string    `json:"baseUrl"`
	HashAlgorithm string    `json:"hashAlgorithm"`
	PublicKey     publicKey `json:"publicKey"`
	LogID         logID     `json:"logId"`
}

type publicKey struct {
	RawBytes   []byte    `json:"rawBytes"`
	KeyDetails string    `json:"keyDetails"`
	ValidFor   timeRange `json:"validFor"`
}

type logID struct {
	KeyID []byte `json:"keyId"`
}

// timeRange has a start always: clients refuse a key without one.
type timeRange struct {
	Start string `json:"start"`
}

type signingConfig struct {
	MediaType       string    `json:"mediaType"`
	RekorTlogURLs   []service `json:"rekorTlogUrls"`
	RekorTlogConfig selection `json:"rekorTlogConfig"`
	TSAConfig       struct{}  `json:"tsaConfig"`
}

type service struct {
	URL             string    `json:"url"`
	MajorAPIVersion int       `json:"majorApiVersion"`
	ValidFor        timeRange `json:"validFor"`
	Operator        string    `json:"operator"`
}

type selection struct {
	Selector string `json:"selector"`
}

// since is where the validity of keys and services begins. By default it is
// the beginning of Unix time, and so no entry of the log's is too old.
func (m material) since() timeRange {
	at := m.Since
	if at.IsZero() {
		at = time.Unix(0, 0)
	}
	return timeRange{at.UTC().Truncate(time.Second).Format(time.RFC3339)}
}

func (m material) trustedRoot() []byte {
	root := trustedRoot{MediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}
	for _, k := range m.keys {
		root.Tlogs = append(root.Tlogs, m.tlog(k))
	}
	if m.v1 != nil {
		root.Tlogs = append(root.Tlogs, m.tlog(*m.v1))
	}
	return indented(root)
}

func (m material) tlog(k key) tlog {
	return tlog{
		BaseURL: m.base, HashAlgorithm: "SHA2_256",
		PublicKey: publicKey{RawBytes: k.spki, KeyDetails: k.details, ValidFor: m.since()},
		LogID:     logID{k.id[:]},
	}
}

// signingConfig names both APIs where both are served: clients take the highest
// version that they know.
func (m material) signingConfig() []byte {
	cfg := signingConfig{MediaType: "application/vnd.dev.sigstore.signingconfig.v0.2+json", RekorTlogConfig: selection{"ANY"}}
	if m.RekorV2 && m.SignBy != "v1" {
		cfg.RekorTlogURLs = append(cfg.RekorTlogURLs, m.service(2))
	}
	if m.v1 != nil && m.SignBy != "v2" {
		cfg.RekorTlogURLs = append(cfg.RekorTlogURLs, m.service(1))
	}
	return indented(cfg)
}

func (m material) service(version int) service {
	operator := m.Operator
	if u, err := url.Parse(m.base); err == nil && operator == "" {
		operator = u.Hostname()
	}
	return service{URL: m.base, MajorAPIVersion: version, ValidFor: m.since(), Operator: operator}
}

// monitorConfig is a MonitorConfig.
// SPEC: sigstore/protobuf-specs 0.5.2, sigstore_monitor.proto.
type monitorConfig struct {
	RekorLogs []monitoredLog `json:"rekorLogs"`
}

type monitoredLog struct {
	ReadURL         string `json:"readUrl"`
	LogOrigin       string `json:"logOrigin"`
	MajorAPIVersion int    `json:"majorApiVersion"`
}

func (m material) monitorConfig() []byte {
	return indented(monitorConfig{[]monitoredLog{{m.base, m.Origin, 2}}})
}

// indented is JSON for people to read too. Nothing of what is given to it can
// fail to be written.
func indented[T trustedRoot | signingConfig | monitorConfig](v T) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return out.Bytes()
}
