{{/* What values that fit the schema may still contradict. */}}
{{- define "indelible.server.check" -}}
{{- with .Values.server -}}
{{- if not .origin -}}
{{- fail "server.origin: it is missing; give the log's name, such as log.example.com, which never changes" -}}
{{- end -}}
{{- if eq .storage "sqlite" -}}
{{- if or (gt (int .replicas) 1) .autoscaling.enabled -}}
{{- fail (printf "server.replicas: SQLite runs one replica, not %d; for more, set server.storage=mysql" (ternary (int .autoscaling.maxReplicas) (int .replicas) .autoscaling.enabled)) -}}
{{- end -}}
{{- if .mysql.existingSecret -}}
{{- fail "server.mysql.existingSecret: it is given, and server.storage is sqlite; set server.storage=mysql, or leave it out" -}}
{{- end -}}
{{- else -}}
{{- if not .mysql.existingSecret -}}
{{- fail "server.mysql.existingSecret: it is missing; name a secret with the item dsn, user:password@tcp(host:3306)/database" -}}
{{- end -}}
{{- if not .keys.existingSecret -}}
{{- fail "server.keys.existingSecret: it is missing; all replicas sign with the same keys: make them with logcli keygen, and name their secret" -}}
{{- end -}}
{{- if and (eq .register.type "claim") (not .register.claim.existingClaim) -}}
{{- fail "server.register.claim.existingClaim: it is missing; with server.storage=mysql the register's claim is yours, so that no uninstall deletes it: name one, or set server.register.type to mysql or s3" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .register.type "mysql") (not .register.mysql.existingSecret) -}}
{{- fail "server.register.mysql.existingSecret: it is missing; name a secret with the DSN of a second database" -}}
{{- end -}}
{{- if and (eq .register.type "s3") (not (and .register.s3.bucket .register.s3.prefix)) -}}
{{- fail "server.register.s3: bucket or prefix is missing; give both" -}}
{{- end -}}
{{- if and (ne .register.type "mysql") .register.mysql.existingSecret -}}
{{- fail (printf "server.register.mysql.existingSecret: it is given, and server.register.type is %s; set server.register.type=mysql, or leave it out" .register.type) -}}
{{- end -}}
{{- if and (ne .register.type "s3") (or .register.s3.bucket .register.s3.prefix .register.s3.existingSecret) -}}
{{- fail (printf "server.register.s3: it is given, and server.register.type is %s; set server.register.type=s3, or leave it out" .register.type) -}}
{{- end -}}
{{- if and (ne .register.type "claim") .register.claim.existingClaim -}}
{{- fail (printf "server.register.claim.existingClaim: it is given, and server.register.type is %s; set server.register.type=claim, or leave it out" .register.type) -}}
{{- end -}}
{{- if and (or .keys.mldsaKey .keys.passwordKey) (not .keys.existingSecret) -}}
{{- fail "server.keys.existingSecret: it is missing; mldsaKey and passwordKey are items of it" -}}
{{- end -}}
{{- if and .mysql.tls.clientCertificate (not .mysql.tls.existingSecret) -}}
{{- fail "server.mysql.tls.existingSecret: it is missing; the client certificate is in it" -}}
{{- end -}}
{{- if and .tls.clientCA (not .tls.existingSecret) -}}
{{- fail "server.tls.existingSecret: it is missing; clientCA is an item of it" -}}
{{- end -}}
{{- if and .mirrors (not .witnessPolicy) -}}
{{- fail "server.mirrors: they are witnesses of server.witnessPolicy, which is missing; give both" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "indelible.rekorV1" -}}
{{- $setting := get .Values.server.settings "rekor-v1" -}}
{{- if ne (toString $setting) "false" }}true{{ end -}}
{{- end -}}

{{- define "indelible.register" -}}
{{- with .Values.server.register -}}
{{- if eq .type "claim" -}}
/var/lib/indelible-register/register
{{- else if eq .type "mysql" -}}
mysql:/etc/indelible/register/{{ .mysql.dsnKey }}
{{- else -}}
{{- $query := list -}}
{{- with .s3.endpoint }}{{ $query = append $query (printf "endpoint=%s" (urlquery .)) }}{{ end -}}
{{- with .s3.region }}{{ $query = append $query (printf "region=%s" (urlquery .)) }}{{ end -}}
s3://{{ .s3.bucket }}/{{ .s3.prefix }}{{ with $query }}?{{ join "&" . }}{{ end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The variables that init and the server share. */}}
{{- define "indelible.server.env" -}}
{{- $keys := .Values.server.keys -}}
- name: INDELIBLE_ORIGIN
  value: {{ .Values.server.origin | quote }}
- name: INDELIBLE_STORAGE
  value: {{ .Values.server.storage }}
- name: INDELIBLE_REGISTER
  value: {{ include "indelible.register" . | quote }}
{{- with .Values.server.mysql }}
{{- if .existingSecret }}
- name: INDELIBLE_MYSQL_DSN_FILE
  value: /etc/indelible/mysql/{{ .dsnKey }}
{{- if not (hasKey $.Values.server.settings "wait-for-database") }}
- name: INDELIBLE_WAIT_FOR_DATABASE
  value: 1m
{{- end }}
{{- end }}
{{- if .tls.existingSecret }}
- name: INDELIBLE_MYSQL_TLS_CA
  value: /etc/indelible/mysql-tls/ca.crt
{{- if .tls.clientCertificate }}
- name: INDELIBLE_MYSQL_TLS_CERT
  value: /etc/indelible/mysql-tls/tls.crt
- name: INDELIBLE_MYSQL_TLS_KEY
  value: /etc/indelible/mysql-tls/tls.key
{{- end }}
{{- end }}
{{- end }}
{{- if $keys.existingSecret }}
- name: INDELIBLE_LOG_KEY
  value: /etc/indelible/keys/{{ $keys.logKey }}
{{- with $keys.passwordKey }}
- name: INDELIBLE_LOG_KEY_PASSWORD_FILE
  value: /etc/indelible/keys/{{ . }}
{{- end }}
{{- with $keys.mldsaKey }}
- name: INDELIBLE_MLDSA_KEY
  value: /etc/indelible/keys/{{ . }}
{{- end }}
{{- end }}
{{- if include "indelible.rekorV1" . }}
{{- if $keys.rekorV1KMS }}
- name: INDELIBLE_REKOR_V1_KEY
  value: {{ $keys.rekorV1KMS | quote }}
{{- else if $keys.existingSecret }}
- name: INDELIBLE_REKOR_V1_KEY
  value: /etc/indelible/keys/{{ $keys.rekorV1Key }}
{{- end }}
{{- end }}
{{- include "indelible.settings" .Values.server.settings }}
{{- with .Values.server.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "indelible.server.envFrom" -}}
{{- $from := .Values.server.envFrom -}}
{{- with .Values.server.register -}}
{{- if and (eq .type "s3") .s3.existingSecret -}}
{{- $from = append $from (dict "secretRef" (dict "name" .s3.existingSecret)) -}}
{{- end -}}
{{- end -}}
{{- with $from -}}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "indelible.server.mounts" -}}
{{- with .Values.server -}}
{{- if eq .storage "sqlite" }}
- {name: data, mountPath: /var/lib/indelible}
{{- end }}
{{- if eq .register.type "claim" }}
- {name: register, mountPath: /var/lib/indelible-register}
{{- else if eq .register.type "mysql" }}
- {name: register, mountPath: /etc/indelible/register, readOnly: true}
{{- end }}
{{- if .mysql.existingSecret }}
- {name: mysql, mountPath: /etc/indelible/mysql, readOnly: true}
{{- end }}
{{- if .mysql.tls.existingSecret }}
- {name: mysql-tls, mountPath: /etc/indelible/mysql-tls, readOnly: true}
{{- end }}
{{- if .keys.existingSecret }}
- {name: keys, mountPath: /etc/indelible/keys, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- define "indelible.server.volumes" -}}
{{- $keys := .Values.server.keys -}}
{{- with .Values.server -}}
{{- if and (eq .register.type "claim") .register.claim.existingClaim }}
- name: register
  persistentVolumeClaim:
    claimName: {{ .register.claim.existingClaim }}
{{- else if eq .register.type "mysql" }}
{{ include "indelible.secret" (list "register" .register.mysql.existingSecret (list .register.mysql.dsnKey)) }}
{{- end }}
{{- if .mysql.existingSecret }}
{{ include "indelible.secret" (list "mysql" .mysql.existingSecret (list .mysql.dsnKey)) }}
{{- end }}
{{- if .mysql.tls.existingSecret }}
{{ include "indelible.secret" (list "mysql-tls" .mysql.tls.existingSecret (ternary (list "ca.crt" "tls.crt" "tls.key") (list "ca.crt") .mysql.tls.clientCertificate)) }}
{{- end }}
{{- end }}
{{- if $keys.existingSecret }}
{{- $items := list $keys.logKey }}
{{- if and (include "indelible.rekorV1" .) (not $keys.rekorV1KMS) }}{{ $items = append $items $keys.rekorV1Key }}{{ end }}
{{- with $keys.mldsaKey }}{{ $items = append $items . }}{{ end }}
{{- with $keys.passwordKey }}{{ $items = append $items . }}{{ end }}
{{ include "indelible.secret" (list "keys" $keys.existingSecret $items) }}
{{- end }}
{{- end -}}

{{/* init creates a log with a key that is there already only at an install: later, a database without the log is a mistake. */}}
{{- define "indelible.init.args" -}}
{{- if and .Release.IsInstall .Values.server.init.adoptKey .Values.server.keys.existingSecret -}}
[init, --adopt-key]
{{- else -}}
[init]
{{- end -}}
{{- end -}}

{{- define "indelible.init" -}}
- name: init
  {{- include "indelible.container" (list . .Values.server.image) | nindent 2 }}
  args: {{ include "indelible.init.args" . }}
  env:
    {{- include "indelible.server.env" . | nindent 4 }}
  {{- with include "indelible.server.envFrom" . }}
  {{- . | nindent 2 }}
  {{- end }}
  volumeMounts:
    {{- include "indelible.server.mounts" . | trim | nindent 4 }}
  resources:
    {{- toYaml .Values.server.init.resources | nindent 4 }}
{{- end -}}
