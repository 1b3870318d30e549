{{- define "pytrace-ebpf.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "pytrace-ebpf.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "pytrace-ebpf.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "pytrace-ebpf.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "pytrace-ebpf.selector" -}}
app.kubernetes.io/name: {{ include "pytrace-ebpf.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pytrace-ebpf.labels" -}}
{{ include "pytrace-ebpf.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "pytrace-ebpf.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "pytrace-ebpf.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "pytrace-ebpf.kubeVersion" -}}
{{- default .Capabilities.KubeVersion.Version .Values.kubeVersionOverride -}}
{{- end -}}

{{/* agent.toml. A JSON string is a TOML string too. */}}
{{- define "pytrace-ebpf.config" -}}
[otlp]
endpoint = {{ .Values.otlp.endpoint | toJson }}
protocol = {{ .Values.otlp.protocol | toJson }}
compression = {{ .Values.otlp.compression | default "gzip" | toJson }}
{{- if and .Values.otlp.tlsSecret .Values.otlp.mutualTls }}
tls = { ca = "/etc/pytrace-ebpf-tls/ca.crt", cert = "/etc/pytrace-ebpf-tls/tls.crt", key = "/etc/pytrace-ebpf-tls/tls.key" }
{{- else if .Values.otlp.tlsSecret }}
tls = { ca = "/etc/pytrace-ebpf-tls/ca.crt" }
{{- end }}

[http]
listen = {{ printf "%s:%d" (ternary "0.0.0.0" "127.0.0.1" .Values.http.exposed) (int .Values.http.port) | toJson }}
{{- with .Values.config }}

{{ . | trim }}
{{- end }}
{{- end -}}
