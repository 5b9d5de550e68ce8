{{- /* The name of all objects. The labels keep the name flowbridge, by which the rules find the job. */ -}}
{{- define "flowbridge.name" -}}
{{- $own := .Values.nameOverride | default "flowbridge" }}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name $own) (contains $own .Release.Name) }}
{{- .Values.fullnameOverride | default $name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "flowbridge.selector" -}}
app.kubernetes.io/name: flowbridge
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "flowbridge.labels" -}}
{{ include "flowbridge.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- /* The file as it is mounted. What the chart adds stands behind the operator's text, whose lines keep their numbers. */ -}}
{{- define "flowbridge.file" -}}
{{- $text := .Values.config | trimSuffix "\n" }}
{{- if not (trim $text) }}
  {{- fail "config is empty: give a flowbridge.yaml by --set-file config=flowbridge.yaml (docs/guides/kubernetes.md)" }}
{{- end }}
{{- $own := fromYaml $text }}
{{- with $own.Error }}{{ fail (printf "config is no YAML: %s" .) }}{{ end }}
{{- if not $own }}{{ fail "config has no section: write trunks, targets and routes" }}{{ end }}
{{- $text }}
{{ if not (hasKey $own "sip") }}
sip:
  listen: ["udp://${NODE_IP}:5060"]
{{- end }}
{{- if not (hasKey $own "media") }}
media:
  listen: ["${NODE_IP}"]
  ports: 10000-29999   # NodePorts begin at 30000
  engine: {{ .Values.engine }}
{{- end }}
{{- if not (hasKey $own "admin") }}
admin:
  {{- if .Values.podMonitor.enabled }}
  listen: "${NODE_IP}:8080"
  tokens:
    - {name: prometheus, file: /run/secrets/{{ .Values.podMonitor.tokenKey }}, rights: read}
    - {name: operator, file: /run/secrets/{{ .Values.podMonitor.operatorKey }}, rights: operate}
  {{- else }}
  listen: "127.0.0.1:8080"
  {{- end }}
{{- end }}
{{ end }}

{{- /* The same as JSON, without comments; what can't work is refused. */ -}}
{{- define "flowbridge.parsed" -}}
{{- $file := include "flowbridge.file" . | fromYaml }}
{{- if not (and (hasKey $file "sip") (hasKey $file "media") (hasKey $file "admin")) }}
  {{- fail "config has a form that nothing can be added to, like braces around all of it: write sip, media and admin into it" }}
{{- end }}
{{- toJson $file }}
{{- end }}

{{- /* Host and port of the admin API, as JSON. */ -}}
{{- define "flowbridge.admin" -}}
{{- $file := include "flowbridge.parsed" . | fromJson }}
{{- $listen := dig "listen" "127.0.0.1:8080" ($file.admin | default dict) | toString }}
{{- if not (regexMatch "^.+:[0-9]+$" $listen) }}
  {{- fail (printf "config: admin.listen is %q, and the probes need an address and a port, like 127.0.0.1:8080" $listen) }}
{{- end }}
{{- $host := regexReplaceAll ":[0-9]+$" $listen "" }}
{{- dict "host" $host "port" (regexFind "[0-9]+$" $listen | int) "loopback" (regexMatch "^(127\\.|\\[::1\\]$)" $host) | toJson }}
{{- end }}

{{- /* The ports of sip.listen, as JSON: protocol and port by name. */ -}}
{{- define "flowbridge.sip" -}}
{{- $file := include "flowbridge.parsed" . | fromJson }}
{{- $ports := dict }}
{{- $listen := dig "listen" "udp://0.0.0.0:5060" ($file.sip | default dict) }}
{{- if kindIs "string" $listen }}{{ $listen = list $listen }}{{ end }}
{{- range $listen }}
  {{- $transport := regexFind "^(udp|tcp|tls):" . | trimSuffix ":" }}
  {{- $port := regexFind "[0-9]+$" . }}
  {{- if or (not $transport) (not $port) (eq $port "0") }}
    {{- fail (printf "config: sip.listen has %q, and a host port needs a transport and a port, like udp://${NODE_IP}:5060" .) }}
  {{- end }}
  {{- $protocol := ternary "UDP" "TCP" (eq $transport "udp") }}
  {{- $name := printf "sip-%s-%s" $transport $port }}
  {{- $_ := set $ports $name (dict "protocol" $protocol "port" (int $port)) }}
{{- end }}
{{- toJson $ports }}
{{- end }}

{{- /* The first and the last port of media.ports, as JSON. */ -}}
{{- define "flowbridge.media" -}}
{{- $file := include "flowbridge.parsed" . | fromJson }}
{{- $ports := dig "ports" "10000-32767" ($file.media | default dict) | toString }}
{{- if not (regexMatch "^[0-9]+-[0-9]+$" $ports) }}
  {{- fail (printf "config: media.ports is %q; write the first and the last port, like 10000-29999" $ports) }}
{{- end }}
{{- $bounds := splitList "-" $ports }}
{{- dict "first" (first $bounds | int) "last" (last $bounds | int) "ports" $ports "engine" (dig "engine" "auto" ($file.media | default dict)) | toJson }}
{{- end }}

{{- /* A duration like 90s or 1m30s in whole seconds. */ -}}
{{- define "flowbridge.seconds" -}}
{{- $ms := 0.0 }}
{{- $units := dict "ms" 1.0 "s" 1000.0 "m" 60000.0 "h" 3600000.0 "d" 86400000.0 }}
{{- range regexFindAll "[0-9.]+(ms|s|m|h|d)" . -1 }}
  {{- $ms = addf $ms (mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[a-z]+$" .))) }}
{{- end }}
{{- divf $ms 1000.0 | ceil | int }}
{{- end }}

{{- /* What sip.drain_timeout gives to live calls, and 30 s for their BYE, the records and the kubelet. */ -}}
{{- define "flowbridge.grace" -}}
{{- $file := include "flowbridge.parsed" . | fromJson }}
{{- $drain := include "flowbridge.seconds" (dig "drain_timeout" "60s" ($file.sip | default dict) | toString) | int }}
{{- add $drain 30 }}
{{- end }}

{{- /* The keys of the Secret that the file names, as a JSON list. */ -}}
{{- define "flowbridge.keys" -}}
{{- $keys := list }}
{{- range regexFindAll "/run/secrets/[A-Za-z0-9._/-]+" (include "flowbridge.parsed" .) -1 | uniq | sortAlpha }}
  {{- $key := trimPrefix "/run/secrets/" . }}
  {{- if not (contains "/" $key) }}{{ $keys = append $keys $key }}{{ end }}
{{- end }}
{{- toJson $keys }}
{{- end }}

{{- define "flowbridge.secretName" -}}
{{- .Values.secret.existing | default (include "flowbridge.name" .) }}
{{- end }}

{{- /* Refuses values that would make pods that can't start, or that lose audio. */ -}}
{{- define "flowbridge.check" -}}
{{- if not .Values.image }}
  {{- fail "image is empty: give the image that you have built and pushed, like --set image=registry.example/flowbridge:1.2.3" }}
{{- end }}
{{- $parsed := include "flowbridge.parsed" . }}
{{- $media := include "flowbridge.media" . | fromJson }}
{{- if .Values.nodePorts }}
  {{- $bounds := splitList "-" .Values.nodePorts }}
  {{- if and (ge (int $media.last) (first $bounds | int)) (le (int $media.first) (last $bounds | int)) }}
    {{- fail (printf "config: media.ports %s meets the ports of Services (nodePorts: %s), which would take RTP away; write media.ports: 10000-29999, or your cluster's range into nodePorts" $media.ports .Values.nodePorts) }}
  {{- end }}
{{- end }}
{{- if and (eq $media.engine "kernel") (ne .Values.engine "kernel") }}
  {{- fail "config has media.engine: kernel, which needs capabilities: give --set engine=kernel" }}
{{- end }}
{{- if and (eq .Values.engine "kernel") (eq $media.engine "userspace") }}
  {{- fail "engine is kernel, and config has media.engine: userspace: write kernel or auto there, or leave the capabilities away" }}
{{- end }}
{{- if and (eq .Values.kind "DaemonSet") (not .Values.storage.hostPath) }}
  {{- fail "a DaemonSet has no claims: give a directory of the nodes, like --set storage.hostPath=/var/lib/flowbridge" }}
{{- end }}
{{- if and .Values.secret.existing .Values.secret.values }}
  {{- fail "secret has both existing and values: keep one of the two" }}
{{- end }}
{{- range include "flowbridge.keys" . | fromJsonArray }}
  {{- if not (or $.Values.secret.existing (hasKey $.Values.secret.values .)) }}
    {{- fail (printf "config names /run/secrets/%s: give a Secret that has the key %s (--set secret.existing=NAME), or the secret itself (secret.values.%s)" . . .) }}
  {{- end }}
{{- end }}
{{- $env := list "NODE_IP" "NODE_NAME" "POD_NAME" }}
{{- range .Values.env }}{{ $env = append $env .name }}{{ end }}
{{- $named := regexFindAll "\\$\\{[A-Za-z0-9_]+\\}" $parsed -1 }}
{{- $named = concat $named (regexFindAll "\"(token|password)_env\":\"[^\"]+" $parsed -1) }}
{{- range $named }}
  {{- $name := regexFind "[A-Za-z0-9_]+}?$" . | trimSuffix "}" }}
  {{- if not (has $name $env) }}
    {{- fail (printf "config names the variable %s, which the pod does not have: add it to env, with its value or a key of a Secret" $name) }}
  {{- end }}
{{- end }}
{{- $admin := include "flowbridge.admin" . | fromJson }}
{{- if and .Values.podMonitor.enabled $admin.loopback }}
  {{- fail "podMonitor is enabled, and Prometheus does not reach admin.listen of config: leave the section admin away, or write \"${NODE_IP}:8080\" and tokens" }}
{{- end }}
{{- end }}

{{- /* Changes when a section changes that counts after a restart only, or at each change. */ -}}
{{- define "flowbridge.checksum" -}}
{{- $file := include "flowbridge.parsed" . | fromJson }}
{{- if eq .Values.restart "needed" }}
  {{- $file = pick $file "sip" "media" "recording" "store" "fleet" "hooks" "telemetry" "admin" }}
{{- end }}
{{- toJson $file | sha256sum }}
{{- end }}
