package trust

import (
	"bytes"
	"encoding/base64"
	"strings"
	"text/template"
)

// The lines of the snippets are kept short enough for a terminal.
//
// Kyverno's and policy-controller's key attestors read what cosign v2 writes,
// and so what went through Rekor v1. policy-controller takes ECDSA keys of logs
// only, asks the last log of a TrustRoot, and admits none without a certificate
// or timestamp authority.

const cosignText = `# cosign and the transparency log {{.Origin}}
# at {{.URL}}
#
# Run these in the folder with trusted_root.json{{if .Signs}} and signing_config.json{{end}}.
# cosign.key and cosign.pub are your own; cosign generate-key-pair makes them.
# Nothing below needs the network to verify, but for images their registry.
{{if .Signs}}
# ---- cosign v3 ----

# A file:
cosign sign-blob --yes --key cosign.key \
  --signing-config signing_config.json --trusted-root trusted_root.json \
  --bundle FILE.sigstore.json FILE
cosign verify-blob --key cosign.pub --trusted-root trusted_root.json \
  --bundle FILE.sigstore.json FILE

# A statement about a file:
cosign attest-blob --yes --key cosign.key \
  --signing-config signing_config.json --trusted-root trusted_root.json \
  --predicate PREDICATE.json --type TYPE \
  --bundle FILE.att.sigstore.json FILE
cosign verify-blob-attestation --key cosign.pub \
  --trusted-root trusted_root.json --type TYPE \
  --bundle FILE.att.sigstore.json FILE

# A container image:
cosign sign --yes --key cosign.key \
  --signing-config signing_config.json --trusted-root trusted_root.json \
  IMAGE@DIGEST
cosign verify --key cosign.pub --trusted-root trusted_root.json IMAGE@DIGEST
{{end}}{{if .V1}}
# ---- cosign v2, by Rekor v1 ----

# A file:
cosign sign-blob --yes --key cosign.key --rekor-url {{.URL}} \
  --bundle FILE.bundle FILE
SIGSTORE_REKOR_PUBLIC_KEY=rekor-v1.pem \
  cosign verify-blob --key cosign.pub --rekor-url {{.URL}} \
  --bundle FILE.bundle FILE

# A container image:
cosign sign --yes --key cosign.key --rekor-url {{.URL}} \
  IMAGE@DIGEST
SIGSTORE_REKOR_PUBLIC_KEY=rekor-v1.pem \
  cosign verify --key cosign.pub --rekor-url {{.URL}} \
  IMAGE@DIGEST
{{end}}{{if .V2}}
# With a certificate instead of a key, Rekor v2 needs a timestamp authority:
# add it to trusted_root.json (timestampAuthorities) and to
# signing_config.json (tsaUrls).
{{end}}`

const logcliText = `# logcli and the transparency log {{.Origin}}
# at {{.URL}}

# Sign a file and log it, and verify it offline:
logcli add --url {{.URL}} --log-key log.vkey FILE
logcli verify --log-key log.vkey FILE

# Is everything about the log as its clients need it?
logcli doctor --url {{.URL}} --log-key log.vkey

# Audit all of it:
logcli fsck --url {{.URL}} --log-key log.vkey
`

const kyvernoText = `# Kyverno: admit only images signed by your key and logged in
# {{.Origin}}
#
# Put your own image names and cosign.pub in. Kyverno looks for signatures in
# the form of cosign v2; cosign v3 makes them so:
#
#   cosign sign --key cosign.key --new-bundle-format=false \
#     --use-signing-config=false --rekor-url {{.URL}} IMAGE@DIGEST
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: signed-and-logged
spec:
  webhookConfiguration:
    timeoutSeconds: 30
  rules:
    - name: signed-and-logged
      match:
        any:
          - resources:
              kinds:
                - Pod
      verifyImages:
        - imageReferences:
            - "registry.example.com/*"
          failureAction: Enforce
          attestors:
            - count: 1
              entries:
                - keys:
                    publicKeys: |-
                      (the lines of cosign.pub)
                    rekor:
                      url: {{.URL}}
                      pubkey: |-
{{.V1PEM}}
`

const policyControllerText = `# Sigstore's policy-controller: admit only images signed by your key and
# logged in {{.Origin}}
#
# Put your own image names and cosign.pub in. With keys, policy-controller looks
# for signatures in the form of cosign v2; cosign v3 makes them so:
#
#   cosign sign --key cosign.key --new-bundle-format=false \
#     --use-signing-config=false --rekor-url {{.URL}} IMAGE@DIGEST
#
# A TrustRoot must have a certificate authority, used or not. Put yours in
# (organization, commonName, the chain as PEM in base64), or any made by
#
#   openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
#     -keyout /dev/null -subj "/O=unused/CN=unused" | base64 | tr -d '\n'
#
# It trusts nobody here: the authority below is a key.
apiVersion: policy.sigstore.dev/v1alpha1
kind: TrustRoot
metadata:
  name: indelible
spec:
  sigstoreKeys:
    certificateAuthorities:
      - subject:
          organization: unused
          commonName: unused
        uri: https://unused.example.com
        certChain: (the certificate in base64)
    tLogs:
      - baseURL: {{.URL}}
        hashAlgorithm: sha-256
        publicKey: {{.V1Base64}}
---
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata:
  name: signed-and-logged
spec:
  images:
    - glob: "registry.example.com/**"
  authorities:
    - name: signed-and-logged
      key:
        hashAlgorithm: sha256
        data: |-
          (the lines of cosign.pub)
      ctlog:
        url: {{.URL}}
        trustRootRef: indelible
`

// words are what the snippets are filled with. All but Origin, which stands in
// comments only, is of harmless characters; an origin has no line breaks.
type words struct {
	Origin, URL, V1PEM, V1Base64 string
	V1, V2, Signs                bool
}

func (m material) snippets() []File {
	w := words{Origin: m.Origin, URL: m.base, V1: m.v1 != nil, V2: m.RekorV2, Signs: m.v1 != nil || m.RekorV2}
	list := []File{
		{"cosign.txt", plain, "Command lines for cosign v3 and v2.", nil},
		{"logcli.txt", plain, "Command lines for logcli.", filled(logcliText, w)},
	}
	if m.v1 != nil {
		data := m.v1.pem()
		w.V1PEM = indent(string(bytes.TrimSpace(data)), 24)
		w.V1Base64 = base64.StdEncoding.EncodeToString(data)
		list = append(list,
			File{"kyverno.yaml", yaml, "A Kyverno policy: only images that are signed and logged here.", filled(kyvernoText, w)},
			File{"policy-controller.yaml", yaml, "The same for Sigstore's policy-controller.", filled(policyControllerText, w)})
	}
	list[0].Data = filled(cosignText, w)
	return list
}

// filled fills a snippet. The templates are constants, and every one of them is
// made by the tests.
func filled(text string, w words) []byte {
	var out bytes.Buffer
	if err := template.Must(template.New("").Parse(text)).Execute(&out, w); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func indent(s string, n int) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(s, "\n", "\n"+pad)
}
